//! Writers who are killed between what they write and what follows from it.

use finrank_contracts::{
    common::v1::Product,
    feast::{
        server::{PushRequest, grpc_feature_server_client::GrpcFeatureServerClient},
        types::value::Val,
    },
    feature::v1::{WriteCustomersRequest, WriteProductsRequest},
};
use futures::stream;

use super::{
    days_ago, profile, push,
    push::{PRODUCT_TERMS, profile_of},
    text, value,
};
use crate::support::{
    FeatureStore,
    samples::{self, income, product, product_message},
};

/// Refuses what follows from a statement that is committed, as if the writer had been killed then.
async fn kill_writers_once_they_have_committed(store: &FeatureStore) {
    for table in ["customer_statements", "product_statements"] {
        let kill = format!(
            "create or replace function kill() returns trigger language plpgsql as
             $$ begin raise exception 'killed by the test'; end $$;
             create trigger kill before insert on {table} for each row
             when (new.pushed > 1) execute function kill()"
        );
        store.execute(&kill).await;
    }
}

async fn kill_no_more(store: &FeatureStore) {
    store.execute("drop trigger kill on customer_statements; drop trigger kill on product_statements").await;
}

#[tokio::test]
async fn a_whole_statement_shines_through_what_was_pushed_though_its_writer_is_killed() {
    let mut store = FeatureStore::start().await;
    push(&store, profile("u1", &days_ago(2), &[("savings", "2")])).await.unwrap();
    kill_writers_once_they_have_committed(&store).await;

    let late = WriteCustomersRequest { customers: vec![income("u1", 1.0, samples::days_ago(3), 0)] };
    store.client.write_customers(stream::iter([late])).await.unwrap_err();
    let left_behind = profile_of(&store, "u1").await;
    kill_no_more(&store).await;

    assert_eq!(left_behind, [None, Some(2.0)]);
    while profile_of(&store, "u1").await != [Some(1.0), Some(2.0)] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_push_rests_on_what_was_committed_while_it_was_under_way_though_its_writer_is_killed() {
    let store = FeatureStore::start().await;
    kill_writers_once_they_have_committed(&store).await;
    let mut gate = store.keep_from_writing("customer_statements").await;
    let pushing = {
        let (channel, row) = (store.channel.clone(), profile("u1", &days_ago(2), &[("savings", "2")]));
        tokio::spawn(async move { GrpcFeatureServerClient::new(channel).push(row).await })
    };
    store.until_someone_waits_to_write("customer_statements").await;

    let late = "insert into customer_statements (user_id, event_time, attributes)
                values ('u1', now() - interval '3 days', '{\"annual_income\": 1}')";
    sqlx::query(late).execute(&mut *gate).await.unwrap();
    gate.commit().await.unwrap();
    pushing.await.unwrap().unwrap_err();
    let left_behind = profile_of(&store, "u1").await;
    kill_no_more(&store).await;

    assert_eq!(left_behind, [None, Some(2.0)]);
    while profile_of(&store, "u1").await != [Some(1.0), Some(2.0)] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_product_that_was_named_anew_is_so_under_what_was_pushed_though_its_writer_is_killed() {
    let mut store = FeatureStore::start_defining(PRODUCT_TERMS).await;
    let named =
        |name: &str, seconds| Product { name: name.to_owned(), ..product_message(&product(1), seconds) };
    store.write_products(vec![named("before", 100)]).await;
    let typed_features = [
        ("product_id".to_owned(), text("p0001")),
        ("event_timestamp".to_owned(), value(Val::UnixTimestampVal(300))),
        ("fee".to_owned(), value(Val::DoubleVal(1.0))),
    ];
    let row = PushRequest {
        typed_features: typed_features.into(),
        stream_feature_view: "product_terms".to_owned(),
        to: "online".to_owned(),
        ..PushRequest::default()
    };
    push(&store, row).await.unwrap();
    kill_writers_once_they_have_committed(&store).await;

    let late = WriteProductsRequest { products: vec![named("after", 200)] };
    store.client.write_products(stream::iter([late])).await.unwrap_err();
    let left_behind = name(&store).await;
    kill_no_more(&store).await;

    assert_eq!(left_behind, "before");
    while name(&store).await != "after" {
        tokio::task::yield_now().await;
    }
}

/// The only product's name.
async fn name(store: &FeatureStore) -> String {
    sqlx::query_scalar("select name from products").fetch_one(store.database.store.pool()).await.unwrap()
}
