//! Nobody is offered what they may not be sold, and one can show why: through real servers, by the built-in policy and by
//! others that take its place.

use std::{collections::HashSet, fs, path::PathBuf};

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Product, ProductClass, attribute_value::Kind},
    feature::v1::{WriteCustomersRequest, WriteProductsRequest},
    ranking::v1::{
        EligibilityVerdict, ExplainEligibilityRequest, ExplainEligibilityResponse, ProductEligibility,
        RankingBasis, RecommendRequest, RecommendResponse, ReloadPolicyRequest,
        ranking_service_client::RankingServiceClient,
    },
};
use finrank_policy::BUILT_IN_POLICY;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::OnceCell;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use crate::world::{Server, World, eventually};

/// When most of what is written here is true: near enough for an assessment to be good, in the past.
const LATELY: i64 = 1_760_000_000;
/// Too long ago for any assessment.
const LONG_AGO: i64 = 1_500_000_000;

/// A world of its own, to which customers and funds are written that no other test should meet.
pub(crate) async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(async || {
            let world = World::create().await;
            write(&world).await;
            world
        })
        .await
}

async fn write(world: &World) {
    let flag = |flag| AttributeValue { kind: Some(Kind::Flag(flag)) };
    let number = |number| AttributeValue { kind: Some(Kind::Number(number)) };
    let text = |text: &str| AttributeValue { kind: Some(Kind::Text(text.to_owned())) };
    let of = |user_id: &str, seconds, attributes: Vec<(&str, AttributeValue)>| Customer {
        user_id: user_id.to_owned(),
        attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        event_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    };
    let known = |tolerance| {
        vec![
            ("risk_tolerance", number(tolerance)),
            ("age", number(40.0)),
            ("annual_income", number(50_000.0)),
            ("savings", number(20_000.0)),
            ("region", text("north")),
        ]
    };
    let customers = vec![
        of("careful", LATELY, known(2.0)),
        of("bold", LATELY, known(5.0)),
        of("long-assessed", LONG_AGO, known(5.0)),
        of("unknown", LATELY, vec![]),
        of("mistyped", LATELY, vec![("risk_tolerance", text("5")), ("age", number(40.0))]),
        of("left-alone", LATELY, [known(5.0), vec![("marketing_objection", flag(true))]].concat()),
        of("unprofiled", LATELY, [known(5.0), vec![("profiling_objection", flag(true))]].concat()),
    ];
    let fund = |grade: u32, attributes: Vec<(&str, AttributeValue)>| Product {
        product_id: format!("fund-r{grade}"),
        product_class: ProductClass::Wealth.into(),
        name: format!("A fund of grade R{grade}"),
        risk_grade: Some(grade),
        attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        event_time: Some(prost_types::Timestamp { seconds: LATELY, nanos: 0 }),
        ..Default::default()
    };
    let minimum = |minor| vec![("minimum_amount", number(minor)), ("currency", text("EUR"))];
    let products =
        vec![fund(1, minimum(1_000_000.0)), fund(2, minimum(1_000_001.0)), fund(3, vec![]), fund(5, vec![])];
    let mut store = world.feature_store().await;
    store.write_customers(tokio_stream::iter([WriteCustomersRequest { customers }])).await.unwrap();
    store.write_products(tokio_stream::iter([WriteProductsRequest { products }])).await.unwrap();
    eventually("customers and funds are served", async || {
        let answer = world.ranking().await.recommend(asked("bold")).await;
        answer.is_ok_and(|answer| offered(&answer.into_inner()).contains("fund-r5"))
    })
    .await;
}

fn asked(user_id: &str) -> RecommendRequest {
    RecommendRequest { user_id: user_id.to_owned(), k: 500, ..Default::default() }
}

fn offered(answer: &RecommendResponse) -> HashSet<String> {
    answer.items.iter().map(|item| item.product_id.clone()).collect()
}

async fn recommend(ranking: &mut RankingServiceClient<Channel>, user_id: &str) -> RecommendResponse {
    // An embedding of who was written a moment ago may still be on its way.
    eventually("the customer is served", async || ranking.clone().recommend(asked(user_id)).await.is_ok())
        .await;
    ranking.recommend(asked(user_id)).await.unwrap().into_inner()
}

async fn explain(
    ranking: &mut RankingServiceClient<Channel>,
    user_id: &str,
    product_ids: &[&str],
) -> ExplainEligibilityResponse {
    let request = ExplainEligibilityRequest {
        user_id: user_id.to_owned(),
        product_ids: product_ids.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    ranking.explain_eligibility(request).await.unwrap().into_inner()
}

fn reason(product: &ProductEligibility, rule: &str) -> String {
    let finding = product.against.iter().find(|finding| finding.rule == rule);
    finding.unwrap_or_else(|| panic!("{rule} does not stand against {product:?}")).reason.clone()
}

#[tokio::test]
async fn a_product_above_the_customers_tolerance_never_comes() {
    let mut ranking = world().await.ranking().await;

    let careful = recommend(&mut ranking, "careful").await;
    let explained = explain(&mut ranking, "careful", &["fund-r1", "fund-r2", "fund-r3", "fund-r5"]).await;

    let funds: Vec<&str> = careful
        .items
        .iter()
        .map(|item| item.product_id.as_str())
        .filter(|product_id| product_id.starts_with("fund-"))
        .collect();
    assert_eq!(funds, ["fund-r1"]);
    let verdicts: Vec<EligibilityVerdict> =
        explained.products.iter().map(ProductEligibility::verdict).collect();
    let (eligible, excluded) = (EligibilityVerdict::Eligible, EligibilityVerdict::Excluded);
    assert_eq!(verdicts, [eligible, excluded, excluded, excluded]);
    assert_eq!(
        reason(&explained.products[2], "INVESTMENT_RISK"),
        "risk_tolerance is 2 (of 2025-10-09), and the product's risk is R3"
    );
    // Half of 20,000.00 EUR is 1,000,000 cents, and not one more.
    assert!(reason(&explained.products[1], "INVESTMENT_MINIMUM").contains("1000001 EUR"));
    assert!(explained.products[1].against[0].regulation.contains("MiFID"));
}

#[tokio::test]
async fn what_is_offered_is_what_the_explanation_calls_eligible() {
    let world = world().await;
    let mut ranking = world.ranking().await;

    let users = ["careful", "bold", "long-assessed", "unknown", "mistyped", "unprofiled"];
    let users = users.into_iter().chain(world.user_ids[..40].iter().map(String::as_str));
    for user_id in users {
        let answer = recommend(&mut ranking, user_id).await;
        let explained = explain(&mut ranking, user_id, &[]).await;

        let by_verdict = |verdict| {
            let of = explained.products.iter().filter(move |product| product.verdict() == verdict);
            of.map(|product| product.product_id.clone()).collect::<HashSet<String>>()
        };
        assert_eq!(offered(&answer), by_verdict(EligibilityVerdict::Eligible), "{user_id}");
        assert_eq!(answer.eligible_count as usize, answer.items.len());
        let in_review = by_verdict(EligibilityVerdict::HumanReview).len();
        assert_eq!(answer.human_review_count as usize, in_review, "{user_id}");
        assert_eq!(answer.policy, explained.policy);
    }
}

#[tokio::test]
async fn an_assessment_that_has_expired_excludes_investments_and_nothing_else() {
    let mut ranking = world().await.ranking().await;

    let answer = recommend(&mut ranking, "long-assessed").await;
    let explained = explain(&mut ranking, "long-assessed", &["fund-r1"]).await;

    assert!(!answer.items.is_empty());
    assert!(answer.items.iter().all(|item| item.product_class() != ProductClass::Wealth));
    assert!(answer.exclusions.iter().any(|count| count.rule == "INVESTMENT_RISK" && count.products >= 4));
    assert_eq!(reason(&explained.products[0], "INVESTMENT_RISK"), "risk_tolerance is older than 1095days");
    let tolerance = explained.facts.iter().find(|fact| fact.name == "risk_tolerance").unwrap();
    assert_eq!((tolerance.standing.as_str(), tolerance.value.as_str()), ("EXPIRED", "5"));
    assert_eq!(tolerance.dated.unwrap().seconds, LONG_AGO);
}

#[tokio::test]
async fn what_is_missing_or_of_another_type_counts_as_the_strictest_case() {
    let mut ranking = world().await.ranking().await;

    let unknown = recommend(&mut ranking, "unknown").await;
    let mistyped = explain(&mut ranking, "mistyped", &["fund-r1"]).await;

    assert!(!unknown.items.is_empty());
    assert!(unknown.items.iter().all(|item| item.product_class() == ProductClass::Insurance));
    assert_eq!(mistyped.products[0].verdict(), EligibilityVerdict::Excluded);
    assert!(mistyped.products[0].against.iter().all(|finding| finding.unknown), "{mistyped:?}");
    assert_eq!(reason(&mistyped.products[0], "INVESTMENT_RISK"), "risk_tolerance is not stated");
}

#[tokio::test]
async fn who_objects_to_marketing_is_offered_nothing_and_who_objects_to_profiling_what_most_hold() {
    let mut ranking = world().await.ranking().await;

    let left_alone = recommend(&mut ranking, "left-alone").await;
    let unprofiled = recommend(&mut ranking, "unprofiled").await;
    let bold = recommend(&mut ranking, "bold").await;

    assert!(left_alone.items.is_empty(), "{left_alone:?}");
    assert!(left_alone.exclusions.iter().any(|count| count.rule == "MARKETING_OBJECTION"));
    assert_eq!(unprofiled.ranking_basis(), RankingBasis::Popularity);
    assert_eq!(bold.ranking_basis(), RankingBasis::Profile);
    assert_eq!(offered(&unprofiled), offered(&bold), "objecting changes the order alone");
    assert!(unprofiled.items.iter().all(|item| item.score == 0.0 && item.proof.is_some()));
    assert_eq!(unprofiled.versions.unwrap().user_generation, 0);
    // Nobody holds the funds that were just written.
    let last: Vec<&str> =
        unprofiled.items[unprofiled.items.len() - 3..].iter().map(|item| item.product_id.as_str()).collect();
    assert!(last.iter().filter(|product_id| product_id.starts_with("fund-")).count() >= 3, "{last:?}");
}

#[tokio::test]
async fn every_item_carries_its_proof() {
    let mut ranking = world().await.ranking().await;

    let answer = recommend(&mut ranking, "bold").await;

    let policy = answer.policy.clone().unwrap();
    assert_eq!((policy.version.as_str(), policy.sha256.len()), ("built-in-1", 64));
    let mut digests = HashSet::new();
    for item in &answer.items {
        let proof = item.proof.as_ref().unwrap();
        assert_eq!(proof.policy.as_ref(), Some(&policy));
        assert_eq!(proof.verdict(), EligibilityVerdict::Eligible);
        assert!(proof.rules.iter().any(|rule| rule == "PRODUCT_STATUS"), "{proof:?}");
        assert!(proof.inputs.iter().all(|input| input.sha256.len() == 32), "{proof:?}");
        assert!(digests.insert(proof.sha256.clone()), "two items of one proof");
    }
    let fund = answer.items.iter().find(|item| item.product_id == "fund-r5").unwrap().proof.as_ref().unwrap();
    let tolerance = fund.inputs.iter().find(|input| input.name == "risk_tolerance").unwrap();
    assert_eq!(tolerance.dated.unwrap().seconds, LATELY);
    assert!(fund.rules.iter().any(|rule| rule == "INVESTMENT_RISK"));
    assert!(fund.rules.iter().all(|rule| !rule.starts_with("CREDIT")));
}

#[tokio::test]
async fn an_explanation_comes_in_pages_and_knows_who_is_not_there() {
    let mut ranking = world().await.ranking().await;
    let whole = explain(&mut ranking, "bold", &[]).await;

    let mut request =
        ExplainEligibilityRequest { user_id: "bold".to_owned(), page_size: 7, ..Default::default() };
    let mut paged = Vec::new();
    loop {
        let page = ranking.explain_eligibility(request.clone()).await.unwrap().into_inner();
        assert!(page.products.len() <= 7);
        paged.extend(page.products);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let nobody = ExplainEligibilityRequest { user_id: "nobody".to_owned(), ..Default::default() };
    let nobody = ranking.explain_eligibility(nobody).await.unwrap_err();
    let nothing = ExplainEligibilityRequest {
        product_ids: vec!["nothing".to_owned()],
        page_token: String::new(),
        ..request
    };
    let nothing = ranking.explain_eligibility(nothing).await.unwrap_err();

    assert_eq!(paged, whole.products);
    assert_eq!(nobody.code(), Code::NotFound);
    assert_eq!(nothing.get_details_bad_request().unwrap().field_violations[0].field, "product_ids[0]");
}

/// A ranking server with a policy's file of its own.
async fn with_policy(name: &str, policy: &str) -> (Server, RankingServiceClient<Channel>, PathBuf) {
    let world = world().await;
    let file = world.state.path().join(format!("{name}.toml"));
    fs::write(&file, policy).unwrap();
    let settings = world.state.path().join(format!("{name}-settings.toml"));
    fs::write(&settings, format!("[ranking.policy]\nfile = {:?}\n", file.to_str().unwrap())).unwrap();
    let args = [
        "serve",
        "ranking",
        "--listen",
        "127.0.0.1:0",
        "--feature-store",
        &world.feature_store_url,
        "--config",
        settings.to_str().unwrap(),
    ];
    let server = Server::start(&world.finrank(), &args);
    let ranking = RankingServiceClient::connect(server.url.clone()).await.unwrap();
    (server, ranking, file)
}

#[tokio::test]
async fn another_policy_is_in_force_at_once_and_a_broken_one_never() {
    let world = world().await;
    let (server, mut ranking, file) = with_policy("reloaded", BUILT_IN_POLICY).await;
    let before = recommend(&mut ranking, "bold").await;
    let run = |arguments: &[&str]| {
        world.finrank().run(&[&["policy"], arguments, &["--ranking", &server.url]].concat())
    };

    let stricter = BUILT_IN_POLICY
        .replace("built-in-1", "stricter-2")
        .replace("code = \"INVESTMENT_RISK\"", "code = \"INVESTMENT_RISK\"\non_failure = \"review\"")
        .replace("minimum = 18", "minimum = 41");
    fs::write(&file, &stricter).unwrap();
    let reloaded = run(&["reload"]);
    let after = recommend(&mut ranking, "bold").await;
    let careful = recommend(&mut ranking, "careful").await;
    let again = run(&["reload"]);
    fs::write(
        &file,
        stricter
            .replace("kind = \"held\"", "kind = \"hold\"\nfact = \"agee\"")
            .replace("percent = 50", "percent = 0"),
    )
    .unwrap();
    let broken = run(&["reload"]);
    let refusal = ranking.reload_policy(ReloadPolicyRequest {}).await.unwrap_err();
    let stays = recommend(&mut ranking, "bold").await;
    let explained = run(&["explain", "bold", "fund-r5"]);

    assert!(before.items.iter().any(|item| item.product_class() == ProductClass::Loan));
    assert!(String::from_utf8_lossy(&reloaded.stdout).contains("policy stricter-2"), "{reloaded:?}");
    assert!(after.items.iter().all(|item| item.product_class() != ProductClass::Loan));
    assert_eq!(after.policy.as_ref().unwrap().version, "stricter-2");
    assert!(careful.human_review_count > 0 && !offered(&careful).contains("fund-r5"));
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("nothing changes"), "{again:?}");
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(!broken.status.success());
    assert!(
        said.contains("rule[ALREADY_HELD].kind") && said.contains("rule[INVESTMENT_MINIMUM].percent"),
        "{said}"
    );
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(stays.policy, after.policy);
    assert_eq!(offered(&stays), offered(&after));
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("fund-r5") && explained.contains("eligible"), "{explained}");
}

#[tokio::test]
async fn a_hangup_has_the_policy_read_anew() {
    let (server, mut ranking, file) = with_policy("hung-up", BUILT_IN_POLICY).await;
    recommend(&mut ranking, "bold").await;

    fs::write(&file, BUILT_IN_POLICY.replace("built-in-1", "after-the-hangup")).unwrap();
    kill(Pid::from_raw(server.process_id()), Signal::SIGHUP).unwrap();

    eventually("the new policy is in force", async || {
        let answer = ranking.clone().recommend(asked("bold")).await.unwrap().into_inner();
        answer.policy.unwrap().version == "after-the-hangup"
    })
    .await;
}

#[tokio::test]
async fn nothing_is_offered_when_the_feature_store_does_not_know_what_the_policy_asks_for() {
    let elsewhere = BUILT_IN_POLICY.replace("service = \"eligibility\"", "service = \"elsewhere\"");
    let (_server, mut ranking, _) = with_policy("elsewhere", &elsewhere).await;
    let reason =
        |status: &tonic::Status| status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let refused = "ELIGIBILITY_FACTS_NOT_DECLARED";

    eventually("a catalogue is there", async || {
        let refusal = ranking.clone().recommend(asked("bold")).await.unwrap_err();
        reason(&refusal) == refused
    })
    .await;
    let refusal = ranking.recommend(asked("bold")).await.unwrap_err();

    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal:?}");
    assert!(refusal.message().contains("elsewhere"), "{refusal:?}");
}

#[tokio::test]
async fn a_file_is_checked_and_held_to_its_cases_without_a_server() {
    let world = world().await;
    let finrank = world.finrank();
    let (policy, cases) = (world.state.path().join("mine.toml"), world.state.path().join("mine.cases.toml"));
    let (policy_path, cases_path) = (policy.to_str().unwrap(), cases.to_str().unwrap());
    let expected = |expect: &str| {
        format!(
            "policy = \"mine.toml\"\n[[case]]\nname = \"a minor\"\nmoment = \"2026-06-01\"\n\
             customer = {{ age = 17, annual_income = 50000 }}\nproduct = {{ id = \"loan\", class = \"loan\" }}\n\
             expect = \"{expect}\"\nagainst = [\"CREDIT_AGE\"]\n"
        )
    };
    fs::write(&policy, BUILT_IN_POLICY).unwrap();
    fs::write(&cases, expected("excluded")).unwrap();

    let checked = finrank.succeed(&["policy", "check", policy_path]);
    let tested = finrank.succeed(&["policy", "test", cases_path]);
    fs::write(&cases, expected("eligible")).unwrap();
    let failed = finrank.fail(&["policy", "test", cases_path]);
    fs::write(
        &policy,
        BUILT_IN_POLICY.replace("minimum = 18", "minimum = \"18\"").replace("most = 20", "most = 0"),
    )
    .unwrap();
    let broken = finrank.fail(&["policy", "check", policy_path]);

    assert!(checked.contains("holds together") && checked.contains("INVESTMENT_RISK"), "{checked}");
    assert!(tested.contains("passes  a minor"), "{tested}");
    assert!(failed.contains("1 of 1 cases come out otherwise"), "{failed}");
    assert!(broken.contains("rule[CREDIT_AGE].minimum is not a finite number"), "{broken}");
    assert!(broken.contains("rule[CATEGORY_CAP].most is not 1 to"), "{broken}");
}
