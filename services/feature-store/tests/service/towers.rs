//! Models whose user tower reads a feature service: every way to an embedding reads it as of its moment, by definitions
//! that give what the model was trained on.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::{RefreshScope, RefreshState, ReloadFeatureDefinitionsRequest};
use finrank_feature_store::BUILT_IN_DEFINITIONS;
use finrank_model::{
    AttributeValue, Bundle, Embedding,
    features::{Definitions, FeatureSet, ProtectedFeatures},
};
use finrank_store::{features::TowerFeatures, records};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{bundle_fitted_to, days_ago, users, viewed},
};

fn towers(definitions: &str) -> TowerFeatures {
    let definitions = Definitions::parse(definitions).unwrap();
    let refuse = ProtectedFeatures::Refuse;
    let set = FeatureSet::of_service(&definitions, "towers", "marketing", refuse).unwrap();
    TowerFeatures::compile(&definitions, Arc::new(set)).unwrap()
}

/// A random model that reads the service `towers`, fitted to counts from 0 to 39.
fn model(version: &str) -> Bundle {
    let features = towers(BUILT_IN_DEFINITIONS);
    let mut users = users(40);
    for (number, user) in users.iter_mut().enumerate() {
        let values = features.set().features.iter().map(|_| Some(AttributeValue::Number(number as f64)));
        user.features = features.set().row(values);
    }
    bundle_fitted_to(&users, version, 1)
}

/// What the model's tower makes of everyone who is known, with the features of a moment.
async fn computed(store: &FeatureStore, bundle: &Bundle, moment: DateTime<Utc>) -> BTreeMap<String, Vec<u8>> {
    let store = &store.database.store;
    let mut users = records::user_records(store, None, None, 1000).await.unwrap();
    towers(BUILT_IN_DEFINITIONS).complete(store.pool(), &mut users, moment).await.unwrap();
    let ids = users.iter().map(|user| user.user_id.to_string());
    ids.zip(bundle.user.encode(&users).unwrap().iter().map(Embedding::to_le_bytes)).collect()
}

async fn stored(store: &FeatureStore, query: &'static str) -> BTreeMap<String, Vec<u8>> {
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as(query).fetch_all(store.database.store.pool()).await.unwrap();
    rows.into_iter().collect()
}

async fn moment(store: &FeatureStore, query: &'static str) -> DateTime<Utc> {
    sqlx::query_scalar(query).fetch_one(store.database.store.pool()).await.unwrap()
}

/// Twenty-five customers, of whom u0003 has looked at a page.
async fn filled() -> FeatureStore {
    let mut store = FeatureStore::start_defining(BUILT_IN_DEFINITIONS).await;
    store.fill(25, 6).await;
    store.write_events(vec![viewed("v1", "u0003", days_ago(1))]).await;
    store
}

#[tokio::test]
async fn whole_refreshes_and_those_of_changes_read_features_as_of_their_moment() {
    let mut store = filled().await;
    let bundle = store.register(model("m1")).await;

    let whole = store.refresh("m1").await;
    store.write_events(vec![viewed("v2", "u0004", days_ago(2)), viewed("v3", "u0003", days_ago(2))]).await;
    let changes = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    let changes = store.watch_refresh(changes.run_id).await.pop().unwrap();

    assert_eq!((whole.state(), changes.state()), (RefreshState::Complete, RefreshState::Complete));
    let first = moment(&store, "select min(summarised_at) from refresh_runs").await;
    let second = moment(&store, "select max(summarised_at) from refresh_runs").await;
    let at_first = computed(&store, &bundle, first).await;
    let at_second = computed(&store, &bundle, second).await;
    let of_first =
        "select user_id, vector from user_embeddings where run_id = (select min(run_id) from refresh_runs)";
    let of_second =
        "select user_id, vector from user_embeddings where run_id = (select max(run_id) from refresh_runs)";
    assert_eq!(stored(&store, of_first).await, at_first);
    let of_second = stored(&store, of_second).await;
    assert_eq!(of_second.keys().collect::<Vec<_>>(), ["u0003", "u0004"]);
    for (id, vector) in of_second {
        assert_eq!(vector, at_second[&id], "{id}");
        assert_ne!(vector, at_first[&id], "{id} has looked at more pages");
    }
}

#[tokio::test]
async fn live_embeddings_read_features_as_of_their_step() {
    let mut store = FeatureStore::start_filled_live(25, 6).await;
    let bundle = store.register(model("m1")).await;
    store.refresh("m1").await;

    store.write_events(vec![viewed("v2", "u0004", days_ago(1))]).await;
    store.until_live("m1").await;

    let step = moment(&store, "select known_at from live_user_embeddings").await;
    let live = stored(&store, "select user_id, vector from live_user_embeddings").await;
    assert_eq!(live.len(), 1);
    assert_eq!(live["u0004"], computed(&store, &bundle, step).await["u0004"]);
    let whole = stored(&store, "select user_id, vector from user_embeddings").await;
    assert_ne!(live["u0004"], whole["u0004"]);
}

#[tokio::test]
async fn a_refresh_is_refused_by_definitions_that_do_not_give_what_the_model_reads() {
    let mut store = filled().await;
    store.register(model("m1")).await;
    store.register_model("reads-none", 1).await;

    let others = BUILT_IN_DEFINITIONS
        .replace("window = \"7days\"", "window = \"14days\"")
        .replace("name = \"viewed_30d\"", "name = \"looked_at_30d\"");
    store.redefine(&others);
    store.client.reload_feature_definitions(ReloadFeatureDefinitionsRequest {}).await.unwrap();

    let refused = store.start_refresh("m1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "MODEL_FEATURES_UNUSABLE");
    assert_eq!(
        refused.message(),
        "model version m1 reads features that cannot be given any more: \
         customer_activity:viewed_7d is now count of viewed within 14days, was count of viewed within 7days; \
         customer_activity:viewed_30d is declared no more"
    );
    assert_eq!(store.count("select count(*) from refresh_runs").await, 0, "nothing was begun");
    assert_eq!(store.refresh("reads-none").await.state(), RefreshState::Complete);
}

#[tokio::test]
async fn an_act_that_is_sent_again_because_its_answer_was_lost_counts_once() {
    let mut store = filled().await;
    let act = viewed("v2", "u0004", days_ago(1));

    let first = store.write_events(vec![act.clone()]).await;
    let again = store.write_events(vec![act.clone(), act]).await;

    assert_eq!((first.accepted, again.accepted, again.duplicate), (1, 0, 2));
    let mut users = records::user_records(&store.database.store, None, None, 1000).await.unwrap();
    let features = towers(BUILT_IN_DEFINITIONS);
    features.complete(store.database.store.pool(), &mut users, Utc::now()).await.unwrap();
    assert_eq!(users[4].features.value(0), Some(&AttributeValue::Number(1.0)));
}
