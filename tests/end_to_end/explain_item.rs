//! Why this one, and why not this one: of what is offered, of what others were chosen over, and of what rules exclude.

use finrank_contracts::ranking::v1::{
    DecisionRecord, ExplainItemRequest, ExplainItemResponse, ExplanationStatus, ExplanationView,
    ExplanationWishes, ItemStanding, RecommendRequest, RecommendResponse, Scenario,
};
use prost::Message;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{decisions::kept, eligibility, world::World};

fn asked(k: u32) -> RecommendRequest {
    RecommendRequest { k, ..Default::default() }
}

async fn why(
    world: &World,
    user_id: &str,
    product_id: &str,
    request: RecommendRequest,
) -> Result<ExplainItemResponse, Status> {
    let request = ExplainItemRequest {
        user_id: user_id.to_owned(),
        product_id: product_id.to_owned(),
        request: Some(request),
    };
    Ok(world.ranking().await.explain_item(request).await?.into_inner())
}

/// Everything that a customer may be offered, and who it is: one whose scores are explained.
async fn everything(world: &World) -> RecommendResponse {
    let explain = Some(ExplanationWishes { view: ExplanationView::Reasons.into(), purpose: String::new() });
    for user_id in &world.user_ids[200..] {
        let request = RecommendRequest { user_id: user_id.clone(), explain: explain.clone(), ..asked(500) };
        let answer = world.ranking().await.recommend(request).await.unwrap().into_inner();
        if answer.items.len() > 3
            && answer.explanation.as_ref().unwrap().status() == ExplanationStatus::Explained
        {
            return answer;
        }
    }
    panic!("nobody's recommendations are explained");
}

#[tokio::test]
async fn what_is_offered_has_its_place_its_score_and_the_reasons_that_recommend_tells() {
    let world = World::shared().await;
    let all = everything(world).await;
    let second = &all.items[1];

    let explained = why(world, &all.user_id, &second.product_id, asked(3)).await.unwrap();

    let item = explained.item.unwrap();
    let score = item.score.unwrap();
    assert_eq!((item.standing(), item.rank, score.score_place), (ItemStanding::Offered, 2, 2));
    assert_eq!((score.score, score.retrieval_score), (second.score, second.retrieval_score));
    assert_eq!(explained.reasons, second.reasons);
    assert_eq!(explained.eligible_count, all.eligible_count);
    assert_eq!(explained.attributions, None);
}

#[tokio::test]
async fn what_others_were_chosen_over_has_its_place_and_what_speaks_against_it() {
    let world = World::shared().await;
    let all = everything(world).await;

    let mut adverse = 0;
    for (place, last) in all.items.iter().enumerate().skip(1).rev().take(3) {
        let explained = why(world, &all.user_id, &last.product_id, asked(1)).await.unwrap();

        let item = explained.item.unwrap();
        assert_eq!((item.standing(), item.rank), (ItemStanding::NotChosen, 0));
        assert_eq!(item.score.unwrap().score_place as usize, place + 1);
        assert!(explained.adverse_reasons.len() <= 4);
        assert!(explained.adverse_reasons.is_sorted_by(|one, next| one.contribution <= next.contribution));
        for reason in &explained.adverse_reasons {
            assert!(reason.contribution < 0.0, "{reason:?}");
            assert!(reason.text_en.contains("against"), "{reason:?}");
        }
        adverse += explained.adverse_reasons.len();
    }
    assert!(adverse > 0);
}

#[tokio::test]
async fn an_audit_of_an_item_adds_up_and_protected_inputs_are_no_reason_against_it() {
    let world = World::shared().await;
    let all = everything(world).await;
    let audit = ExplanationWishes { view: ExplanationView::Audit.into(), purpose: "marketing".to_owned() };
    let request = RecommendRequest { explain: Some(audit), ..asked(1) };

    let explained = why(world, &all.user_id, &all.items.last().unwrap().product_id, request).await.unwrap();

    let attributions = explained.attributions.unwrap();
    let sum = attributions.logit - attributions.baseline_logit;
    assert!((attributions.contributions_sum - sum).abs() < 1e-6);
    assert!((attributions.served_logit - explained.item.unwrap().score.unwrap().logit).abs() < 1e-9);
    let protected = attributions.inputs.iter().filter(|input| input.protected);
    let protected: Vec<&str> = protected.map(|input| input.reason_code.as_str()).collect();
    assert!(!protected.is_empty());
    let told = explained.reasons.iter().chain(&explained.adverse_reasons);
    assert!(told.into_iter().all(|reason| !protected.contains(&reason.code.as_str())));
}

#[tokio::test]
async fn what_rules_exclude_has_their_codes_and_no_gradients() {
    let world = eligibility::world().await;

    let excluded = why(world, "careful", "fund-r5", asked(5)).await.unwrap();
    let elsewhere = RecommendRequest {
        scenario: Scenario::Credit.into(),
        exclude_product_ids: vec!["fund-r5".to_owned()],
        ..asked(5)
    };
    let left_out = why(world, "bold", "fund-r5", elsewhere).await.unwrap();

    let status = |explained: &ExplainItemResponse| explained.explanation.as_ref().unwrap().status();
    for explained in [&excluded, &left_out] {
        let item = explained.item.as_ref().unwrap();
        assert_eq!((item.standing(), item.rank, item.score), (ItemStanding::Excluded, 0, None));
        assert_eq!(status(explained), ExplanationStatus::RuledOut);
        assert!(explained.reasons.is_empty() && explained.adverse_reasons.is_empty());
    }
    let rules = excluded.item.unwrap().eligibility.unwrap().against;
    assert!(rules.iter().any(|finding| finding.rule == "INVESTMENT_RISK"), "{rules:?}");
    let left_out = left_out.item.unwrap();
    assert_eq!(left_out.left_out_by, ["SCENARIO", "REQUEST"]);
    assert!(left_out.eligibility.unwrap().against.is_empty());
}

#[tokio::test]
async fn who_objects_to_profiling_is_told_so_and_nothing_of_scores() {
    let world = eligibility::world().await;

    let explained = why(world, "unprofiled", "fund-r5", asked(1)).await.unwrap();

    let item = explained.item.unwrap();
    assert_eq!((item.standing(), item.score), (ItemStanding::NotChosen, None));
    assert_eq!(explained.explanation.unwrap().status(), ExplanationStatus::ProfilingObjection);
    assert!(explained.reasons.is_empty() && explained.adverse_reasons.is_empty());
}

#[tokio::test]
async fn whoever_or_whatever_is_not_there_is_named_by_its_field() {
    let world = World::shared().await;
    let user_id = &world.user_ids[0];

    let nobody = why(world, "nobody", "loan-plus", asked(1)).await.unwrap_err();
    let nothing = why(world, user_id, "nothing", asked(1)).await.unwrap_err();
    let refused =
        why(world, "", "", RecommendRequest { user_id: user_id.clone(), k: 0, ..Default::default() });
    let refused = refused.await.unwrap_err();
    let without = why(world, user_id, "nothing", asked(0)).await.unwrap_err();

    let fields = |status: &Status| {
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    assert_eq!((nothing.code(), fields(&nothing)), (Code::NotFound, vec!["product_id".to_owned()]));
    assert_eq!(nobody.code(), Code::NotFound);
    assert_eq!(fields(&refused), ["user_id", "product_id", "request.user_id"]);
    assert_eq!(fields(&without), ["request.k"]);
}

#[tokio::test]
async fn asking_why_decides_nothing() {
    let world = World::shared().await;
    let all = everything(world).await;

    // So many no other test asks for.
    why(world, &all.user_id, &all.items[0].product_id, asked(317)).await.unwrap();
    let asked = RecommendRequest { user_id: all.user_id.clone(), ..asked(317) };
    let answer = world.ranking().await.recommend(asked).await.unwrap().into_inner();
    // What was decided before is written before.
    kept(world, &answer.decision_id).await;

    let records = "select record from decisions join decision_inputs using (decision_id) where user_id = $1";
    // The pool's own connections end with the test that made the world.
    let mut connection = PgConnection::connect(world.database.store.url()).await.unwrap();
    let records = sqlx::query_scalar(records).bind(&all.user_id).fetch_all(&mut connection);
    let records: Vec<Vec<u8>> = records.await.unwrap();
    let decided = records.iter().map(|record| DecisionRecord::decode(record.as_slice()).unwrap().k);
    assert_eq!(decided.filter(|&k| k == 317).count(), 1);
}

#[tokio::test]
async fn the_command_line_explains_an_item() {
    let world = World::shared().await;
    let all = everything(world).await;
    let product_id = all.items.last().unwrap().product_id.as_str();
    let ask = ["explain", "--user", &all.user_id, "--product", product_id, "-k", "1"];
    let ask = [&ask[..], &["--ranking", &world.ranking_url]].concat();

    let printed = world.finrank().succeed(&ask);
    let json = world.finrank().succeed(&[&ask[..], &["--json", "--audit", "marketing"]].concat());

    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["standing"].as_str(), report["rank"].as_u64()), (Some("not chosen"), Some(0)));
    assert!(printed.contains("not chosen"), "{printed}");
    for reason in report["adverse_reasons"].as_array().unwrap() {
        assert!(printed.contains(reason["code"].as_str().unwrap()), "{printed}");
    }
    assert!(!report["attributions"]["inputs"].as_array().unwrap().is_empty());
    let excluded = eligibility::world().await;
    let ask = ["explain", "--user", "careful", "--product", "fund-r5", "--ranking", &excluded.ranking_url];
    assert!(excluded.finrank().succeed(&ask).contains("INVESTMENT_RISK"));
}
