//! Which model version readers get, and the registry's contract.

use chrono::{TimeDelta, Utc};
use finrank_contracts::{
    feature::v1::{EntityKind, SnapshotReason},
    model::v1::{
        CompareModelsRequest, GateVerdict, GetModelRequest, ListModelsRequest, ListPromotionsRequest,
        PromoteModelRequest, Promotion, PromotionAction, RollbackModelRequest,
        model_registry_service_client::ModelRegistryServiceClient,
    },
};
use finrank_model::{ModelVersion, Sha256Digest, policy::DEFAULT_POLICY};
use finrank_store::models::{self, GateResult, NewCheck, NewWaiver, Verdict};
use serde_json::json;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{customer_message, user},
    watching::{snapshot, watch},
};

pub(crate) fn registry(store: &FeatureStore) -> ModelRegistryServiceClient<Channel> {
    ModelRegistryServiceClient::new(store.channel.clone())
}

/// Records that a model version's gates ended so, beside what is served now.
pub(crate) async fn check(store: &FeatureStore, version: &str, verdict: Verdict) {
    let model_version = ModelVersion::parse(version).unwrap();
    let postgres = &store.database.store;
    let model = models::get(postgres, &model_version).await.unwrap().unwrap();
    let serving = models::serving(postgres).await.unwrap();
    let check = NewCheck {
        model_version: &model_version,
        bundle: Sha256Digest::parse(&model.bundle_sha256).unwrap(),
        compared_with: serving.as_ref(),
        policy: DEFAULT_POLICY,
        results: &[GateResult {
            gate: "selection-ratio/loan/age".to_owned(),
            verdict,
            measured: Some(0.6),
            bound: Some(0.8),
            explanation: "the ratio is 0.6, 0.2 below the 0.8 asked for".to_owned(),
            waivable: true,
        }],
        tables: json!({}),
        checked_by: "ci",
        valid_for: TimeDelta::hours(1),
    };
    models::record_check(postgres, &check).await.unwrap();
}

async fn promote(store: &FeatureStore, version: &str) -> Result<Promotion, Status> {
    let model_version = version.to_owned();
    let request = PromoteModelRequest { model_version, promoted_by: "alice".into(), reason: String::new() };
    Ok(registry(store).promote_model(request).await?.into_inner().promotion.unwrap())
}

pub(crate) async fn promote_passing(store: &FeatureStore, version: &str) {
    check(store, version, Verdict::Pass).await;
    promote(store, version).await.unwrap();
}

pub(crate) async fn roll_back(store: &FeatureStore) -> Result<Promotion, Status> {
    let request = RollbackModelRequest { promoted_by: "alice".into(), reason: "worse".into() };
    Ok(registry(store).rollback_model(request).await?.into_inner().promotion.unwrap())
}

/// Whose embedding of a customer is read where no model version is named.
async fn served(store: &mut FeatureStore) -> String {
    let found = store.embeddings(EntityKind::User, &["u0000"], "").await.unwrap();
    let embedding = found.results[0].embedding.as_ref().unwrap();
    let generation = found.generation.unwrap();
    assert_eq!(embedding.model_version, generation.model_version);
    generation.model_version
}

pub(crate) fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn what_is_refreshed_and_not_promoted_is_not_served() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    promote_passing(&store, "m1").await;
    let mut watched = watch(&mut store, "").await;
    let first = snapshot(&mut watched).await;

    store.refresh("m2").await;
    let still = served(&mut store).await;
    promote_passing(&store, "m2").await;

    let switched = snapshot(&mut watched).await;
    assert_eq!(still, "m1");
    assert_eq!(first.generation.model_version, "m1");
    assert_eq!(switched.generation.model_version, "m2");
    assert_eq!(switched.reason, SnapshotReason::ModelVersionChanged);
    assert_eq!(served(&mut store).await, "m2");
}

#[tokio::test]
async fn a_refresh_that_names_no_version_is_one_of_the_serving_version() {
    let mut store = FeatureStore::start_filled(2, 2).await;
    store.register_model("m1", 1).await;
    promote_passing(&store, "m1").await;
    store.register_model("m2", 2).await;

    let run = store.refresh("").await;

    assert_eq!(run.model_version, "m1");
}

#[tokio::test]
async fn a_rollback_needs_no_refresh_however_often_another_version_was_refreshed() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    promote_passing(&store, "m1").await;
    store.refresh("m2").await;
    promote_passing(&store, "m2").await;
    // Two generations are kept beside those that promotions need.
    for _ in 0..3 {
        store.refresh("m2").await;
    }
    let mut watched = watch(&mut store, "").await;
    snapshot(&mut watched).await;

    let rolled = roll_back(&store).await.unwrap();

    let switched = snapshot(&mut watched).await;
    assert_eq!((rolled.model_version.as_str(), rolled.action()), ("m1", PromotionAction::Rollback));
    assert_eq!(switched.generation.model_version, "m1");
    assert_eq!(served(&mut store).await, "m1");
}

#[tokio::test]
async fn the_serving_generation_outlives_refreshes_of_what_is_not_served() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    promote_passing(&store, "m1").await;

    for _ in 0..3 {
        store.refresh("m2").await;
    }

    assert_eq!(served(&mut store).await, "m1");
}

#[tokio::test]
async fn what_another_server_kept_in_memory_is_not_served_after_a_promotion() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    promote_passing(&store, "m1").await;
    store.refresh("m2").await;
    let other = store.second_server().await;
    // Read twice, so that it is in the other server's memory.
    let read = async || {
        let request = finrank_contracts::feature::v1::BatchGetEmbeddingsRequest {
            entity: EntityKind::User.into(),
            ids: vec!["u0000".to_owned()],
            ..Default::default()
        };
        let found = other.clone().batch_get_embeddings(request).await.unwrap().into_inner();
        found.generation.unwrap().model_version
    };
    assert_eq!((read().await, read().await), ("m1".to_owned(), "m1".to_owned()));

    promote_passing(&store, "m2").await;

    for _ in 0..200 {
        if read().await == "m2" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the other server goes on with what it kept");
}

#[tokio::test]
async fn a_customer_written_since_is_fresh_after_a_rollback() {
    let mut store = FeatureStore::start_filled_live(3, 2).await;
    let bundle = store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    promote_passing(&store, "m1").await;
    store.refresh("m2").await;
    promote_passing(&store, "m2").await;
    store.write_customers(vec![customer_message(&user(30), 100)]).await;
    store.until_live("m1").await;

    roll_back(&store).await.unwrap();

    let found = store.embeddings(EntityKind::User, &["u0030"], "").await.unwrap();
    let attributes_only = finrank_model::UserRecord { held: Vec::new(), ..user(30) };
    let computed = bundle.user.encode(&[attributes_only]).unwrap();
    assert_eq!(found.results[0].embedding.as_ref().unwrap().values, computed[0].as_slice());
}

#[tokio::test]
async fn refusals_say_what_stands_against_a_promotion() {
    let mut store = FeatureStore::start_filled(2, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;

    let unchecked = promote(&store, "m1").await.unwrap_err();
    check(&store, "m1", Verdict::Fail).await;
    let failed = promote(&store, "m1").await.unwrap_err();
    let unknown = promote(&store, "m9").await.unwrap_err();
    let nothing = roll_back(&store).await.unwrap_err();
    store.refresh("m1").await;
    check(&store, "m2", Verdict::Pass).await;
    let early = promote(&store, "m2").await.unwrap_err();
    store.replace_bundle("m2", 3);
    let other = promote(&store, "m2").await.unwrap_err();
    let nobody = PromoteModelRequest { model_version: "m1".into(), ..Default::default() };
    let nobody = registry(&store).promote_model(nobody).await.unwrap_err();

    let refused = (Code::FailedPrecondition, "PROMOTION_REFUSED".to_owned());
    assert_eq!(reason(&unchecked), refused);
    assert_eq!(reason(&failed), refused);
    assert_eq!(
        failed.message(),
        "m1 is not promoted: selection-ratio/loan/age: the ratio is 0.6, 0.2 below the 0.8 asked for"
    );
    assert_eq!(reason(&unknown), (Code::NotFound, "MODEL_VERSION_NOT_FOUND".to_owned()));
    assert_eq!(reason(&nothing), (Code::FailedPrecondition, "ROLLBACK_REFUSED".to_owned()));
    assert_eq!(reason(&early), refused);
    assert!(early.message().contains("no refresh is whole"), "{early}");
    assert_eq!(reason(&other), (Code::FailedPrecondition, "BUNDLE_UNUSABLE".to_owned()));
    assert_eq!(reason(&nobody), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
}

#[tokio::test]
async fn the_registry_tells_models_checks_waivers_and_history() {
    let store = FeatureStore::start().await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    promote_passing(&store, "m1").await;
    check(&store, "m2", Verdict::Fail).await;
    let m2 = ModelVersion::parse("m2").unwrap();
    let waiver = NewWaiver {
        model_version: &m2,
        gate: "selection-ratio/loan/age",
        reason: "looked at by hand",
        asked_by: "alice",
        approved_by: "bob",
        expires_at: Utc::now() + TimeDelta::hours(1),
    };
    let waiver_id = models::grant(&store.database.store, &waiver).await.unwrap();

    let promoted = promote(&store, "m2").await.unwrap();
    let mut registry = registry(&store);
    let listed = registry.list_models(ListModelsRequest {}).await.unwrap().into_inner();
    let shown =
        registry.get_model(GetModelRequest { model_version: "m2".into() }).await.unwrap().into_inner();
    let compared = CompareModelsRequest { model_version: "m1".into(), ..Default::default() };
    let compared = registry.compare_models(compared).await.unwrap().into_inner();
    let page = ListPromotionsRequest { page_size: 1, ..Default::default() };
    let first = registry.list_promotions(page.clone()).await.unwrap().into_inner();
    let page = ListPromotionsRequest { page_token: first.next_page_token, ..page };
    let second = registry.list_promotions(page).await.unwrap().into_inner();

    assert_eq!(promoted.waiver_ids, [waiver_id]);
    assert_eq!(promoted.policy_sha256, Sha256Digest::of(DEFAULT_POLICY.as_bytes()).to_string());
    let versions: Vec<&str> = listed.models.iter().map(|model| model.model_version.as_str()).collect();
    assert_eq!(versions, ["m2", "m1"]);
    assert_eq!((listed.serving_version.as_str(), listed.rollback_version.as_str()), ("m2", "m1"));
    let check = shown.check.unwrap();
    assert_eq!((check.compared_with.as_str(), check.results[0].verdict()), ("m1", GateVerdict::Fail));
    assert_eq!(shown.waivers[0].approved_by, "bob");
    assert_eq!((compared.model_version.as_str(), compared.other_version.as_str()), ("m1", "m2"));
    assert_eq!(first.promotions, [promoted]);
    assert_eq!(second.promotions[0].model_version, "m1");
    assert_eq!(second.next_page_token, "");
}
