//! What becomes of rows that clients write.

use crate::support::{
    FeatureStore,
    samples::{customer_message, event_message, product, product_message, user, users},
};
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, EventKind, Money, attribute_value::Kind},
    feature::v1::{BatchGetHoldingsRequest, WriteCustomersRequest},
};
use futures::{StreamExt as _, stream};
use tonic::{Code, Request};
use tonic_types::StatusExt;

#[tokio::test]
async fn counts_a_customer_written_twice_as_duplicate() {
    let mut store = FeatureStore::start().await;
    let customers: Vec<Customer> = users(3).iter().map(|user| customer_message(user, 100)).collect();

    let first = store.write_customers(customers.clone()).await;
    let second = store.write_customers(customers).await;

    assert_eq!((first.accepted, first.duplicate, first.rejected), (3, 0, 0));
    assert_eq!((second.accepted, second.duplicate, second.rejected), (0, 3, 0));
}

#[tokio::test]
async fn keeps_the_customer_with_the_later_time_in_whatever_order_they_arrive() {
    let mut store = FeatureStore::start().await;
    let income = |number, seconds| Customer {
        attributes: [("income".to_owned(), AttributeValue { kind: Some(Kind::Number(number)) })].into(),
        ..customer_message(&user(1), seconds)
    };

    let newer = store.write_customers(vec![income(2.0, 200)]).await;
    let older = store.write_customers(vec![income(1.0, 100)]).await;
    let kept_of_newer = stored_income(&store).await;
    let newest = store.write_customers(vec![income(3.0, 300)]).await;

    assert_eq!((newer.accepted, older.accepted, newest.accepted), (1, 1, 1));
    assert_eq!(kept_of_newer, 2.0);
    assert_eq!(stored_income(&store).await, 3.0);
}

#[tokio::test]
async fn takes_the_latest_of_one_messages_rows_for_a_customer() {
    let mut store = FeatureStore::start().await;
    let income = |number, seconds| Customer {
        attributes: [("income".to_owned(), AttributeValue { kind: Some(Kind::Number(number)) })].into(),
        ..customer_message(&user(1), seconds)
    };

    let summary = store.write_customers(vec![income(1.0, 100), income(3.0, 300), income(2.0, 200)]).await;

    assert_eq!((summary.accepted, summary.duplicate), (3, 0));
    assert_eq!(stored_income(&store).await, 3.0);
}

#[tokio::test]
async fn keeps_the_product_with_the_later_time() {
    let mut store = FeatureStore::start().await;
    let named = |name: &str, seconds| {
        let mut message = product_message(&product(1), seconds);
        message.name = name.to_owned();
        message
    };

    let summary = store.write_products(vec![named("newer", 200), named("older", 100)]).await;
    let again = store.write_products(vec![named("oldest", 50)]).await;

    assert_eq!((summary.accepted, again.accepted), (2, 1));
    let name: String =
        sqlx::query_scalar("select name from products").fetch_one(store.database.store.pool()).await.unwrap();
    assert_eq!(name, "newer");
}

#[tokio::test]
async fn keeps_the_first_of_two_events_with_one_id() {
    let mut store = FeatureStore::start().await;
    let event = |kind| event_message("e1", "u1", "p1", kind, 100);

    let first = store.write_events(vec![event(EventKind::Acquired), event(EventKind::Closed)]).await;
    let second = store.write_events(vec![event(EventKind::Closed)]).await;

    assert_eq!((first.accepted, first.duplicate, second.duplicate), (1, 1, 1));
    assert_eq!(holdings(&mut store, &["u1"]).await, [vec!["p1"]]);
}

#[tokio::test]
async fn keeps_an_events_quantity_and_amount() {
    let mut store = FeatureStore::start().await;
    let mut event = event_message("e1", "u1", "p1", EventKind::Acquired, 100);
    event.quantity = Some(3);
    event.amount = Some(Money { currency_code: "EUR".to_owned(), minor_units: 1234 });

    store.write_events(vec![event, event_message("e2", "u1", "p1", EventKind::Viewed, 100)]).await;

    let rows: Vec<(i32, Option<i64>, Option<String>)> =
        sqlx::query_as("select quantity, amount_minor, currency_code from events order by event_id")
            .fetch_all(store.database.store.pool())
            .await
            .unwrap();
    assert_eq!(rows, [(3, Some(1234), Some("EUR".to_owned())), (1, None, None)]);
}

#[tokio::test]
async fn names_a_bad_row_by_its_place_in_the_stream_and_keeps_the_rows_around_it() {
    let mut store = FeatureStore::start().await;
    let good = |index| customer_message(&user(index), 100);
    let mut not_a_number = good(3);
    not_a_number
        .attributes
        .insert("income".to_owned(), AttributeValue { kind: Some(Kind::Number(f64::NAN)) });
    let mut timeless = good(4);
    timeless.event_time = None;
    let messages = [
        WriteCustomersRequest { customers: vec![good(1), good(2)] },
        WriteCustomersRequest { customers: vec![not_a_number, timeless, good(5)] },
    ];

    let response = store.client.write_customers(stream::iter(messages)).await.unwrap();

    let summary = response.into_inner().summary.unwrap();
    assert_eq!((summary.accepted, summary.duplicate, summary.rejected), (3, 0, 2));
    let named: Vec<_> =
        summary.rejections.iter().map(|row| (row.row, row.id.as_str(), row.field.as_str())).collect();
    assert_eq!(named, [(2, "u0003", "attributes[income]"), (3, "u0004", "event_time")]);
    assert!(summary.rejections.iter().all(|row| !row.reason.is_empty()));
}

#[tokio::test]
async fn names_the_first_thousand_rejected_rows_and_counts_all() {
    let mut store = FeatureStore::start().await;
    let bad = WriteCustomersRequest { customers: vec![Customer::default(); 600] };

    let response = store.client.write_customers(stream::iter([bad.clone(), bad])).await.unwrap();

    let summary = response.into_inner().summary.unwrap();
    assert_eq!(summary.rejected, 1200);
    assert_eq!(summary.rejections.len(), 1000);
    assert_eq!(summary.rejections.last().unwrap().row, 999);
}

#[tokio::test]
async fn refuses_a_message_of_more_than_a_thousand_rows_and_keeps_the_messages_before_it() {
    let mut store = FeatureStore::start().await;
    let many = (0..1001).map(|index| customer_message(&user(index), 100)).collect();
    let messages = [
        WriteCustomersRequest { customers: vec![customer_message(&user(7), 100)] },
        WriteCustomersRequest { customers: many },
    ];

    let status = store.client.write_customers(stream::iter(messages)).await.unwrap_err();

    assert_eq!(status.code(), Code::InvalidArgument);
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields[0].field, "customers");
    let kept: Vec<String> = sqlx::query_scalar("select user_id from customers")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(kept, ["u0007"]);
}

#[tokio::test]
async fn ends_a_stream_that_falls_silent_and_keeps_what_it_brought() {
    let mut store = FeatureStore::start().await;
    let first = WriteCustomersRequest { customers: vec![customer_message(&user(7), 100)] };

    let status =
        store.client.write_customers(stream::iter([first]).chain(stream::pending())).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.get_details_error_info().unwrap().reason, "IDLE_STREAM");
    let kept: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn gives_a_stream_up_at_its_clients_deadline() {
    let mut store = FeatureStore::start().await;
    let mut request = Request::new(stream::pending::<WriteCustomersRequest>());
    // The header alone, since `set_timeout` would have the client itself give up.
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());

    let status = store.client.write_customers(request).await.unwrap_err();

    assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn holds_what_was_acquired_and_not_closed_since() {
    let mut store = FeatureStore::start().await;
    let event = |id: &str, product: &str, kind, seconds| event_message(id, "u1", product, kind, seconds);

    store
        .write_events(vec![
            event("e1", "kept", EventKind::Acquired, 100),
            event("e2", "closed", EventKind::Acquired, 100),
            event("e3", "closed", EventKind::Closed, 200),
            event("e4", "back", EventKind::Closed, 200),
            event("e5", "back", EventKind::Acquired, 300),
            event("e6", "seen", EventKind::Viewed, 400),
        ])
        .await;

    let held = holdings(&mut store, &["nobody", "u1", "u1"]).await;
    assert_eq!(held, [vec![], vec!["back", "kept"], vec!["back", "kept"]]);
}

async fn holdings(store: &mut FeatureStore, user_ids: &[&str]) -> Vec<Vec<String>> {
    let request = BatchGetHoldingsRequest { user_ids: user_ids.iter().map(|&id| id.to_owned()).collect() };
    let response = store.client.batch_get_holdings(request).await.unwrap().into_inner();
    let asked: Vec<&str> = response.results.iter().map(|result| result.user_id.as_str()).collect();
    assert_eq!(asked, user_ids);
    response.results.into_iter().map(|result| result.product_ids).collect()
}

async fn stored_income(store: &FeatureStore) -> f64 {
    sqlx::query_scalar("select (attributes ->> 'income')::double precision from customers")
        .fetch_one(store.database.store.pool())
        .await
        .unwrap()
}
