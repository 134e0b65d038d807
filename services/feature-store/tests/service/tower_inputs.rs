//! What was fed to user towers: the inputs give the embeddings that are served, bit for bit, and say what of them may be told.

use std::sync::Arc;

use finrank_contracts::{
    common::v1::{AttributeValue as WireValue, attribute_value::Kind},
    feature::v1::{
        BatchGetTowerInputsRequest, BatchGetTowerInputsResponse, EntityKind, TowerInput, TowerInputs,
        TowerInputsResult, TowerInputsStatus,
    },
};
use finrank_feature_store::BUILT_IN_DEFINITIONS;
use finrank_model::{
    AttributeValue, Bundle, ProductId, UserId, UserRecord,
    features::{Definitions, FeatureRow, FeatureSet, ProtectedFeatures},
};
use finrank_serving::wire;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{bundle_fitted_to, customer_message, days_ago, user, users, viewed},
};

/// A random model that reads the service `towers`, fitted to counts from 0 to 39.
fn model() -> Bundle {
    let definitions = Definitions::parse(BUILT_IN_DEFINITIONS).unwrap();
    let set = FeatureSet::of_service(&definitions, "towers", "marketing", ProtectedFeatures::Refuse).unwrap();
    let set = Arc::new(set);
    let mut users = users(40);
    for (number, user) in users.iter_mut().enumerate() {
        user.features = set.row(set.features.iter().map(|_| Some(AttributeValue::Number(number as f64))));
    }
    bundle_fitted_to(&users, "m1", 1)
}

async fn inputs(
    store: &mut FeatureStore,
    user_ids: &[&str],
    purpose: &str,
) -> Result<BatchGetTowerInputsResponse, Status> {
    let request = BatchGetTowerInputsRequest {
        user_ids: user_ids.iter().map(ToString::to_string).collect(),
        model_version: String::new(),
        purpose: purpose.to_owned(),
    };
    Ok(store.client.batch_get_tower_inputs(request).await?.into_inner())
}

/// The record as the tower reads it.
fn record(bundle: &Bundle, user_id: &str, inputs: TowerInputs) -> UserRecord {
    let set = bundle.user.transform.feature_set();
    UserRecord {
        user_id: UserId::parse(user_id).unwrap(),
        attributes: wire::attributes(inputs.attributes).unwrap(),
        held: inputs.held_product_ids.into_iter().map(|id| ProductId::parse(id).unwrap()).collect(),
        features: set.map_or_else(FeatureRow::default, |set| {
            set.row(inputs.features.into_iter().map(wire::attribute))
        }),
    }
}

/// What the tower makes of the inputs, and what is served.
async fn computed_and_served(
    store: &mut FeatureStore,
    bundle: &Bundle,
    user_ids: &[&str],
) -> [Vec<Vec<f32>>; 2] {
    let fed = inputs(store, user_ids, "marketing").await.unwrap().results.into_iter();
    let records: Vec<UserRecord> = fed.map(|fed| record(bundle, &fed.user_id, fed.inputs.unwrap())).collect();
    let computed = bundle.user.encode(&records).unwrap();
    let served = store.embeddings(EntityKind::User, user_ids, "").await.unwrap().results.into_iter();
    [
        computed.iter().map(|embedding| embedding.as_slice().to_vec()).collect(),
        served.map(|result| result.embedding.unwrap().values).collect(),
    ]
}

#[tokio::test]
async fn the_tower_makes_of_its_inputs_the_embeddings_that_are_served_bit_for_bit() {
    let mut store = FeatureStore::start_filled_live(25, 6).await;
    store.write_events(vec![viewed("v1", "u0003", days_ago(1))]).await;
    let bundle = store.register(model()).await;
    store.refresh("m1").await;
    let everyone: Vec<String> = users(25).iter().map(|user| user.user_id.to_string()).collect();
    let everyone: Vec<&str> = everyone.iter().map(String::as_str).collect();

    let [of_the_generation, served] = computed_and_served(&mut store, &bundle, &everyone).await;
    assert_eq!(of_the_generation, served);
    store.write_events(vec![viewed("v2", "u0004", days_ago(2))]).await;
    let mut changed = user(5);
    changed.attributes = user(8).attributes;
    store.write_customers(vec![customer_message(&changed, 200)]).await;
    store.until_live("m1").await;
    let [live, served] = computed_and_served(&mut store, &bundle, &everyone).await;

    assert_eq!(live, served);
    let moved: Vec<&str> =
        (0..25).filter(|&at| live[at] != of_the_generation[at]).map(|at| everyone[at]).collect();
    assert_eq!(moved, ["u0004", "u0005"]);
}

#[tokio::test]
async fn answers_with_what_the_tower_reads_and_nothing_else_in_the_order_asked() {
    let mut store = FeatureStore::start_filled(12, 3).await;
    store.register_model("m1", 1).await;
    let run = store.refresh("m1").await;
    let number = WireValue { kind: Some(Kind::Number(42.0)) };
    let mut late = customer_message(&user(7), 200);
    late.attributes.insert("shoe_size".to_owned(), number);
    store.write_customers(vec![late, customer_message(&user(30), 100)]).await;

    let answer = inputs(&mut store, &["u0007", "ghost", "u0030", "u0007"], "marketing").await.unwrap();

    use TowerInputsStatus::{NotMaterialised, Present, UnknownEntity};
    let statuses: Vec<_> = answer.results.iter().map(TowerInputsResult::status).collect();
    assert_eq!(statuses, [Present, UnknownEntity, NotMaterialised, Present]);
    assert_eq!(answer.results[0], answer.results[3]);
    let fed = answer.results[0].inputs.as_ref().unwrap();
    let mut read: Vec<&str> = fed.attributes.keys().map(String::as_str).collect();
    read.sort_unstable();
    assert_eq!(
        read,
        ["owns_home", "region"],
        "of u0007 no income is known, and nobody asks for the size of shoes"
    );
    assert_eq!(fed.held_product_ids, ["p0000", "p0001", "p0002"]);
    assert_eq!((answer.model_version.as_str(), answer.generation), ("m1", run.run_id));
}

#[tokio::test]
async fn says_of_every_input_whether_it_is_protected_and_may_be_told_for_the_purpose() {
    let mut store = FeatureStore::start_defining(BUILT_IN_DEFINITIONS).await;
    store.fill(4, 3).await;
    store.register(model()).await;
    store.refresh("m1").await;

    let for_marketing = inputs(&mut store, &["u0001"], "marketing").await.unwrap();
    let for_fairness = inputs(&mut store, &["u0001"], "fairness_monitoring").await.unwrap();

    let said = |answer: &BatchGetTowerInputsResponse, says: fn(&TowerInput) -> bool| -> Vec<String> {
        answer.inputs.iter().filter(|input| says(input)).map(|input| input.name.clone()).collect()
    };
    let names: Vec<&str> = for_marketing.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(&names[..4], ["income", "owns_home", "region", "customer_activity:viewed_7d"]);
    assert_eq!(names.last(), Some(&"held"));
    assert_eq!(said(&for_marketing, |input| input.protected), ["region"]);
    assert_eq!(said(&for_marketing, |input| input.denied), ["region"]);
    assert_eq!(said(&for_fairness, |input| input.protected), ["region"]);
    let of_views: Vec<&str> = names.into_iter().filter(|name| name.contains(':')).collect();
    assert_eq!(said(&for_fairness, |input| input.denied), of_views);
    assert_eq!(for_marketing.results, for_fairness.results, "the tower reads all of it, whatever it is for");
}

#[tokio::test]
async fn refuses_a_purpose_that_is_not_declared_and_too_many_customers() {
    let mut store = FeatureStore::start_filled(2, 3).await;
    store.register_model("m1", 1).await;

    let before_a_refresh = inputs(&mut store, &["u0001"], "marketing").await.unwrap_err();
    store.refresh("m1").await;
    let curiosity = inputs(&mut store, &["u0001"], "curiosity").await.unwrap_err();
    let nobody = inputs(&mut store, &[], "marketing").await.unwrap_err();
    let many = inputs(&mut store, &["u0001"; 101], "marketing").await.unwrap_err();

    assert_eq!(before_a_refresh.code(), Code::FailedPrecondition);
    for (refusal, field, said) in [
        (curiosity, "purpose", "marketing"),
        (nobody, "user_ids", "1 to 100"),
        (many, "user_ids", "1 to 100"),
    ] {
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, field);
        assert!(refusal.message().contains(said), "{refusal:?}");
    }
}
