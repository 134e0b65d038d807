//! The export of all that is held on a person.

use finrank_contracts::{
    common::v1::Customer,
    feature::v1::{FeatureSelection, GetOnlineFeaturesRequest, export_customer_response::Item},
};
use finrank_feature_store::BUILT_IN_DEFINITIONS;

use super::{SaidOf, export, tables_that_name};
use crate::support::{
    FeatureStore,
    samples::{customer_message, user},
};

#[tokio::test]
async fn exports_every_statement_event_and_embedding() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let correction = Customer { revision: 1, ..customer_message(&user(3), 100) };
    store.write_customers(vec![correction.clone()]).await;

    let items = export(&mut store, "u0003").await.unwrap();

    let said: Vec<&Customer> = items
        .iter()
        .filter_map(|item| match item {
            Item::Customer(statement) => statement.customer.as_ref(),
            _ => None,
        })
        .collect();
    assert_eq!(said, [&customer_message(&user(3), 100), &correction]);
    let events = items.iter().filter(|item| matches!(item, Item::Event(_))).count();
    assert_eq!(events, user(3).held.len());
    let Some(Item::Embedding(embedding)) = items.last() else { panic!("{items:?}") };
    assert_eq!(embedding.embedding.as_ref().unwrap().model_version, "m1");
}

#[tokio::test]
async fn exports_something_of_every_table_that_names_the_customer() {
    let mut store = FeatureStore::start_configured(|config| {
        let file = config.models_dir.join("features.toml");
        let savings = "name = \"savings\"\n";
        let expected = format!("{savings}expect = {{ max = 0.5 }}\n");
        std::fs::write(&file, BUILT_IN_DEFINITIONS.replacen(savings, &expected, 1)).unwrap();
        config.features.definitions = Some(file);
        config.features.sample.one_in = 1;
        config.live.enabled = true;
    })
    .await;
    store.fill(25, 6).await;
    store.register_model("m1", 1).await;
    SaidOf { user_id: "u0003", seconds: 200 }.push(store.channel.clone()).await;
    let run = store.refresh("m1").await;
    let selection = FeatureSelection {
        feature_service: "offer_ranking".to_owned(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    };
    let entity_ids = vec!["u0003".to_owned()];
    let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids };
    store.client.get_online_features(request).await.unwrap();
    store
        .execute(
            "insert into decision_inputs values ('u0003', gen_random_uuid(), '');
             insert into decision_outcomes values ('u0003', gen_random_uuid(), 'o1', 'p0001', 'click', now());
             insert into shadow_decisions
             values ('u0003', gen_random_uuid(), now(), 'm2', '{p0001}', '{0.5}', '{p0002}', '{null}')",
        )
        .await;
    while store.count("select count(*) from served_samples").await == 0 {
        tokio::task::yield_now().await;
    }
    store.write_customers(vec![customer_message(&user(3), 300)]).await;
    while store.count("select count(*) from live_user_embeddings where user_id = 'u0003'").await == 0 {
        tokio::task::yield_now().await;
    }

    let items = export(&mut store, "u0003").await.unwrap();

    // What runs are cut into tells nothing of anybody that is not in what they have computed.
    let naming = tables_that_name(&store, "u0003").await.into_iter();
    let naming = naming.filter(|table| !["refresh_partitions", "refresh_changes"].contains(&table.as_str()));
    let mut exported: Vec<&str> = items.iter().map(table_of).collect();
    exported.sort_unstable();
    exported.dedup();
    assert_eq!(naming.collect::<Vec<_>>(), exported);
    let outlier = items.iter().find_map(|item| match item {
        Item::Outlier(outlier) => Some((outlier.feature.as_str(), outlier.run_id, outlier.value)),
        _ => None,
    });
    assert_eq!(outlier, Some(("customer_profile:savings", run.run_id, Some(1.0))));
    let statements = items.iter().filter_map(|item| match item {
        Item::Customer(statement) => Some((statement.pushed, statement.stated.join(","))),
        _ => None,
    });
    let came: Vec<_> = statements.collect();
    assert_eq!(came, [(0, String::new()), (1, "savings".to_owned()), (0, String::new())]);
}

/// Where an item comes from.
fn table_of(item: &Item) -> &'static str {
    match item {
        Item::Customer(_) => "customer_statements",
        Item::Event(_) => "event_statements",
        Item::Embedding(embedding) if embedding.run_id == 0 => "live_user_embeddings",
        Item::Embedding(_) => "user_embeddings",
        Item::Served(_) => "served_samples",
        Item::Decision(_) => "decision_inputs",
        Item::Outcome(_) => "decision_outcomes",
        Item::Outlier(_) => "feature_outliers",
        Item::Shadow(_) => "shadow_decisions",
    }
}
