//! What is answered when a customer's embedding cannot be had: real servers, and between them somebody who can make a real
//! feature store slow or silent in one rpc.

mod between;

use std::{collections::HashMap, fs, time::Duration};

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Product, ProductClass, attribute_value::Kind},
    feature::v1::{
        BatchGetHoldingsRequest, EraseCustomerRequest, WriteCustomersRequest, WriteProductsRequest,
        feature_store_service_client::FeatureStoreServiceClient,
    },
    ranking::v1::{
        BatchRecommendRequest, Degradation, DegradationReason, DegradationRung, EligibilityVerdict,
        ExplainEligibilityRequest, GetDecisionRequest, RankingBasis, RecommendRequest, RecommendResponse,
        batch_recommend_response::Outcome, ranking_service_client::RankingServiceClient,
    },
};
use finrank_store::{records, scratch::ScratchDatabase};
use prost_types::FieldMask;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use self::between::{Between, Fault};
use crate::world::{Finrank, Server, eventually};

type Ranking = RankingServiceClient<Channel>;

/// A feature store that computes no embeddings but in a refresh, so that who is written after it has none.
struct Place {
    _database: ScratchDatabase,
    state: TempDir,
    finrank: Finrank,
    feature_store: Server,
    user_ids: Vec<String>,
}

impl Place {
    async fn shared() -> &'static Place {
        static PLACE: OnceCell<Place> = OnceCell::const_new();
        PLACE.get_or_init(Place::create).await
    }

    async fn create() -> Place {
        let database = ScratchDatabase::create().await;
        let state = tempfile::tempdir().unwrap();
        let database_url = database.store.url().to_owned();
        let finrank = Finrank { state: state.path().to_owned(), database_url };
        let settings = state.path().join("feature_store.toml");
        fs::write(&settings, "[feature_store.live]\nenabled = false\n").unwrap();
        finrank.succeed(&["import", "--synthetic", "150,30,7"]);
        finrank.succeed(&["train", "--epochs", "1"]);
        let listen = ["serve", "feature-store", "--config", settings.to_str().unwrap()];
        let feature_store = Server::start(&finrank, &[&listen[..], &["--listen", "127.0.0.1:0"]].concat());
        finrank.succeed(&["refresh", "--feature-store", &feature_store.url]);
        let users = records::user_records(&database.store, None, None, 150).await.unwrap();
        let user_ids = users.into_iter().map(|user| user.user_id.into()).collect();
        Place { _database: database, state, finrank, feature_store, user_ids }
    }

    async fn feature_store(&self) -> FeatureStoreServiceClient<Channel> {
        FeatureStoreServiceClient::connect(self.feature_store.url.clone()).await.unwrap()
    }

    /// A ranking server of a test's own, with the settings of its ladder.
    async fn ranking(&self, name: &str, feature_store: &str, ladder: &str) -> (Server, Ranking) {
        let settings = self.state.path().join(format!("{name}.toml"));
        fs::write(&settings, format!("[ranking.degradation]\n{ladder}")).unwrap();
        let settings = settings.to_str().unwrap();
        let args = ["serve", "ranking", "--config", settings, "--listen", "127.0.0.1:0"];
        let server = Server::start(&self.finrank, &[&args[..], &["--feature-store", feature_store]].concat());
        let mut ranking = RankingServiceClient::connect(server.url.clone()).await.unwrap();
        let probe = self.user_ids.last().unwrap();
        eventually("ranking serves", async || ranking.recommend(asked(probe)).await.is_ok()).await;
        (server, ranking)
    }

    /// Writes a customer of whom enough is known for every product class.
    async fn write_customer(&self, user_id: &str) {
        let number = |number| AttributeValue { kind: Some(Kind::Number(number)) };
        let region = AttributeValue { kind: Some(Kind::Text("north".to_owned())) };
        let attributes = [
            ("risk_tolerance", number(3.0)),
            ("age", number(40.0)),
            ("annual_income", number(50_000.0)),
            ("savings", number(20_000.0)),
            ("region", region),
        ];
        let customer = Customer {
            user_id: user_id.to_owned(),
            attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            event_time: Some(prost_types::Timestamp { seconds: 1_760_000_000, nanos: 0 }),
            ..Default::default()
        };
        let stream = tokio_stream::iter([WriteCustomersRequest { customers: vec![customer] }]);
        self.feature_store().await.write_customers(stream).await.unwrap();
    }

    /// How many customers hold each product.
    async fn holders(&self) -> HashMap<String, usize> {
        let request = BatchGetHoldingsRequest { user_ids: self.user_ids.clone() };
        let results =
            self.feature_store().await.batch_get_holdings(request).await.unwrap().into_inner().results;
        let mut holders = HashMap::new();
        for product_id in results.into_iter().flat_map(|result| result.product_ids) {
            *holders.entry(product_id).or_default() += 1;
        }
        holders
    }
}

fn asked(user_id: &str) -> RecommendRequest {
    let debug = Some(FieldMask { paths: vec!["passed_rungs".to_owned()] });
    RecommendRequest { user_id: user_id.to_owned(), k: 500, debug, ..Default::default() }
}

async fn recommend(ranking: &mut Ranking, user_id: &str) -> RecommendResponse {
    ranking.recommend(asked(user_id)).await.unwrap().into_inner()
}

/// What one test writes while others ask.
const NEW_PRODUCT: &str = "zz-cover";

/// The products offered that were there from the beginning, each with its score.
fn offered(answer: &RecommendResponse) -> Vec<(&str, f64)> {
    let offered = answer.items.iter().map(|item| (item.product_id.as_str(), item.score));
    offered.filter(|(product_id, _)| *product_id != NEW_PRODUCT).collect()
}

fn rung(answer: &RecommendResponse) -> (DegradationRung, DegradationReason) {
    let degradation = answer.degradation.as_ref().unwrap();
    (degradation.rung(), degradation.reason())
}

fn passed(answer: &RecommendResponse) -> Vec<(DegradationRung, &str)> {
    let passed = &answer.debug.as_ref().unwrap().passed_rungs;
    passed.iter().map(|passed| (passed.rung(), passed.why.as_str())).collect()
}

fn reason(refusal: &Status) -> String {
    refusal.get_details_error_info().unwrap().reason
}

#[tokio::test]
async fn who_has_no_embedding_yet_is_offered_what_most_people_hold_until_a_refresh_and_a_new_product_is_ranked()
 {
    let place = Place::shared().await;
    let (_server, mut ranking) = place.ranking("new", &place.feature_store.url, "").await;
    place.write_customer("zz-new").await;

    let answer = recommend(&mut ranking, "zz-new").await;

    let expected = Degradation {
        rung: DegradationRung::Fallback.into(),
        reason: DegradationReason::NewCustomer.into(),
        age: None,
        segment: "all".to_owned(),
    };
    assert_eq!(answer.degradation.as_ref(), Some(&expected));
    assert_eq!(answer.ranking_basis(), RankingBasis::Popularity);
    assert_eq!(passed(&answer), [(DegradationRung::Stale, "NEW_CUSTOMER")]);
    let holders = place.holders().await;
    let held = |product_id: &str| holders.get(product_id).copied().unwrap_or_default();
    assert!(answer.items.is_sorted_by_key(|item| std::cmp::Reverse(held(&item.product_id))));
    assert!(held(&answer.items[0].product_id) > 0);
    let request = ExplainEligibilityRequest { user_id: "zz-new".to_owned(), ..Default::default() };
    let explained = ranking.explain_eligibility(request).await.unwrap().into_inner().products;
    let eligible = explained.iter().filter(|product| product.verdict() == EligibilityVerdict::Eligible);
    assert_eq!(answer.items.len(), eligible.count());
    assert!(answer.items.len() < explained.len(), "the policy stands against something");

    let (decision_id, include_inputs) = (answer.decision_id.clone(), false);
    eventually("the decision is kept with its rung", async || {
        let request = GetDecisionRequest { decision_id: decision_id.clone(), include_inputs };
        let kept = ranking.get_decision(request).await;
        kept.is_ok_and(|kept| kept.into_inner().record.unwrap().degradation.as_ref() == Some(&expected))
    })
    .await;

    let product = Product {
        product_id: NEW_PRODUCT.into(),
        product_class: ProductClass::Insurance.into(),
        name: "A new cover".into(),
        event_time: Some(prost_types::Timestamp { seconds: 1_760_000_000, nanos: 0 }),
        ..Default::default()
    };
    let stream = tokio_stream::iter([WriteProductsRequest { products: vec![product] }]);
    place.feature_store().await.write_products(stream).await.unwrap();
    place.finrank.succeed(&["refresh", "--feature-store", &place.feature_store.url]);
    eventually("both are ranked by the model", async || {
        let answer = recommend(&mut ranking, "zz-new").await;
        let new = answer.items.iter().find(|item| item.product_id == NEW_PRODUCT);
        answer.degradation.is_none()
            && answer.ranking_basis() == RankingBasis::Profile
            && new.is_some_and(|item| item.score > 0.0 && item.retrieval_score != 0.0)
    })
    .await;
}

#[tokio::test]
async fn who_cannot_be_looked_up_is_ranked_by_the_last_known_embedding_and_what_allows_never_degrades() {
    let place = Place::shared().await;
    let (between, feature_store) = Between::start(&place.feature_store.url).await;
    let (_server, mut ranking) = place.ranking("late", &feature_store, "embedding_wait = \"1s\"\n").await;
    let [seen, unseen] = [&place.user_ids[0], &place.user_ids[1]];
    let mut before = RecommendResponse::default();
    eventually("the customer is ranked by the model", async || {
        before = recommend(&mut ranking, seen).await;
        before.degradation.is_none()
    })
    .await;

    between.set("BatchGetEmbeddings", Fault::Refuses);
    let unavailable = recommend(&mut ranking, seen).await;
    between.set("BatchGetEmbeddings", Fault::Hangs);
    let late = recommend(&mut ranking, seen).await;
    let first = recommend(&mut ranking, unseen).await;

    assert_eq!(rung(&unavailable), (DegradationRung::Stale, DegradationReason::EmbeddingUnavailable));
    assert_eq!(rung(&late), (DegradationRung::Stale, DegradationReason::EmbeddingLate));
    for stale in [&unavailable, &late] {
        assert_eq!(stale.ranking_basis(), RankingBasis::Profile);
        assert!(stale.degradation.as_ref().unwrap().age.is_some());
        assert_eq!(offered(stale), offered(&before));
    }
    assert_eq!(rung(&first), (DegradationRung::Fallback, DegradationReason::EmbeddingLate));
    assert_eq!(passed(&first), [(DegradationRung::Stale, "NONE_KEPT")]);

    between.set("BatchGetHoldings", Fault::Refuses);
    let without_holdings = ranking.recommend(asked(seen)).await.unwrap_err();
    between.set("GetOnlineFeatures", Fault::Hangs);
    let mut in_time = Request::new(asked(seen));
    in_time.set_timeout(Duration::from_secs(1));
    let without_facts = ranking.recommend(in_time).await.unwrap_err();

    assert_eq!(reason(&without_holdings), "FEATURE_STORE_UNAVAILABLE");
    assert!(matches!(without_facts.code(), Code::DeadlineExceeded | Code::Cancelled), "{without_facts:?}");

    between.set("BatchGetEmbeddings", Fault::Refuses);
    let request = RecommendRequest { user_id: String::new(), ..asked("") };
    let batch = BatchRecommendRequest { user_ids: vec![seen.clone()], request: Some(request) };
    let mut answers = ranking.batch_recommend(tokio_stream::iter([batch])).await.unwrap().into_inner();
    let ended = answers.message().await.unwrap_err();

    assert_eq!(reason(&ended), "FEATURE_STORE_UNAVAILABLE", "a batch can be run again");
}

#[tokio::test]
async fn who_was_erased_is_not_ranked_by_what_was_known_of_them() {
    let place = Place::shared().await;
    let (between, feature_store) = Between::start(&place.feature_store.url).await;
    let (_server, mut ranking) = place.ranking("erased", &feature_store, "").await;
    let erased = &place.user_ids[2];
    eventually("the customer is ranked by the model", async || {
        recommend(&mut ranking, erased).await.degradation.is_none()
    })
    .await;

    let erase = EraseCustomerRequest { user_id: erased.clone() };
    place.feature_store().await.erase_customer(erase).await.unwrap();
    between.set("BatchGetEmbeddings", Fault::Refuses);
    let mut refusal = None;
    eventually("nobody knows them", async || {
        refusal = ranking.recommend(asked(erased)).await.err();
        refusal.is_some()
    })
    .await;
    place.write_customer(erased).await;
    let mut somebody_else = RecommendResponse::default();
    eventually("somebody else has come by the same id", async || {
        match ranking.recommend(asked(erased)).await {
            Ok(answer) => {
                somebody_else = answer.into_inner();
                true
            }
            Err(_) => false,
        }
    })
    .await;

    assert_eq!(reason(&refusal.unwrap()), "USER_NOT_FOUND");
    assert_eq!(rung(&somebody_else), (DegradationRung::Fallback, DegradationReason::EmbeddingUnavailable));
    assert_eq!(passed(&somebody_else), [(DegradationRung::Stale, "NONE_KEPT")]);
}

#[tokio::test]
async fn a_rung_that_the_settings_do_not_allow_is_passed_over_and_without_any_it_is_refused() {
    let place = Place::shared().await;
    let url = &place.feature_store.url;
    let none = "stale_embedding_up_to = \"0s\"\npopular = false\n";
    let (_strict, mut strict) = place.ranking("strict", url, none).await;
    let (_empty, mut empty) = place.ranking("empty", url, &format!("{none}empty = true\n")).await;
    place.write_customer("zz-settings").await;

    let refusal = strict.recommend(asked("zz-settings")).await;
    let nothing = recommend(&mut empty, "zz-settings").await;
    let request = RecommendRequest { user_id: String::new(), ..asked("") };
    let user_ids = vec!["zz-settings".to_owned(), place.user_ids[3].clone()];
    let batch = BatchRecommendRequest { user_ids, request: Some(request) };
    let mut answers = empty.batch_recommend(tokio_stream::iter([batch])).await.unwrap().into_inner();
    let mut rungs = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let Some(Outcome::Recommendation(answer)) = answer.outcome else { panic!("{answer:?}") };
        rungs.push(answer.degradation.map(|degradation| degradation.rung()));
    }

    assert_eq!(reason(&refusal.unwrap_err()), "USER_NOT_MATERIALISED");
    assert_eq!(rung(&nothing), (DegradationRung::Empty, DegradationReason::NewCustomer));
    let above = [(DegradationRung::Stale, "NEW_CUSTOMER"), (DegradationRung::Fallback, "NOT_ALLOWED")];
    assert_eq!(passed(&nothing), above);
    assert!(nothing.items.is_empty() && nothing.eligible_count > 0, "{nothing:?}");
    assert_eq!(rungs, [Some(DegradationRung::Empty), None]);
}
