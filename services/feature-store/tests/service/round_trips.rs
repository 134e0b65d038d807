//! How often Postgres is asked: what goes over the wire is written down and counted.

use std::{collections::BTreeSet, time::Duration};

use finrank_contracts::feature::v1::{FeatureSelection, GetOnlineFeaturesRequest};
use finrank_store::{DatabaseConfig, Store, scratch::ScratchDatabase};

use crate::support::{
    FeatureStore,
    proxy::{Proxy, Said},
    samples::{days_ago, income, viewed},
};

const ONE_VIEW: &[&str] = &["customer_profile:annual_income"];
const THREE_VIEWS: &[&str] =
    &["customer_profile:annual_income", "customer_activity:viewed_7d", "customer_spending:acquired_365d"];

async fn ask(store: &mut FeatureStore, features: &[&str], ids: usize) {
    let selection = FeatureSelection {
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    };
    let entity_ids = (0..ids).map(|place| format!("u{place}")).collect();
    let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids };
    let answer = store.client.get_online_features(request).await.unwrap().into_inner();
    assert_eq!(answer.rows.len(), ids);
}

/// The name of a statement that reads features, where it is prepared.
fn prepared_reading(said: &Said) -> Option<&String> {
    match said {
        Said::Parse(name, sql) if sql.contains("feature_values") => Some(name),
        _ => None,
    }
}

#[tokio::test]
async fn a_request_is_one_round_trip_whatever_the_number_of_views_and_entities() {
    let database = ScratchDatabase::create().await;
    let proxy = Proxy::start(database.store.url()).await;
    let config = DatabaseConfig {
        url: proxy.url.clone(),
        // All over one connection, so that nothing else is said meanwhile.
        max_connections: 1,
        acquire_timeout: Duration::from_secs(30),
        ..DatabaseConfig::default()
    };
    let through = Store::connect(&config).await.unwrap();
    let mut store = FeatureStore::start_connected(database, through).await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1))]).await;

    for ids in [1, 10, 100, 1, 1, 1] {
        ask(&mut store, ONE_VIEW, ids).await;
        ask(&mut store, THREE_VIEWS, ids).await;
    }

    // What works in the background has connections of its own, and a statement's name means another one on each.
    let answers = |said: &Vec<Said>| said.iter().any(|said| prepared_reading(said).is_some());
    let said: Vec<Said> = proxy.said().into_iter().filter(answers).flatten().collect();
    let parsed: Vec<&String> = said.iter().filter_map(prepared_reading).collect();
    assert_eq!(parsed.len(), 2, "each shape is prepared once: {parsed:?}");
    let statements: BTreeSet<&String> = parsed.into_iter().collect();
    let (mut asked, mut waited_for) = (0, 0);
    for said in &said {
        match said {
            Said::Bind(name) if statements.contains(name) => {
                asked += 1;
                // The end of the question before, and its connection's check when it was given back, after the answer.
                assert!(waited_for <= 2, "the connection was asked something before this question");
            }
            Said::Parse(..) | Said::Execute => waited_for = 0,
            Said::Sync => waited_for += 1,
            _ => {}
        }
    }
    assert_eq!(asked, 12, "each request is one question");
}
