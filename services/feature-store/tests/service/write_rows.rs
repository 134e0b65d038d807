//! What becomes of every row, told message by message.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use finrank_contracts::{
    common::v1::{Customer, Event, EventKind},
    feature::v1::{
        RowResult, WriteCustomersRequest, WriteEventsRequest, WriteProductsRequest, WriteRowsRequest,
        WriteRowsResponse, write_rows_request::Rows,
    },
};
use futures::{Stream, StreamExt as _, stream};
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{at, customer_message, event_message, product, product_message, user, users},
};

fn customers(customers: Vec<Customer>) -> WriteRowsRequest {
    WriteRowsRequest { rows: Some(Rows::Customers(WriteCustomersRequest { customers })) }
}

fn events(events: Vec<Event>) -> WriteRowsRequest {
    WriteRowsRequest { rows: Some(Rows::Events(WriteEventsRequest { events })) }
}

/// The answers, one after the other.
async fn write(
    store: &FeatureStore,
    messages: impl Stream<Item = WriteRowsRequest> + Send + 'static,
) -> Result<Vec<WriteRowsResponse>, Status> {
    let mut answers = store.client.clone().write_rows(messages).await?.into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await? {
        told.push(answer);
    }
    Ok(told)
}

fn results(answers: &[WriteRowsResponse]) -> Vec<Vec<RowResult>> {
    answers.iter().map(|answer| answer.results().collect()).collect()
}

#[tokio::test]
async fn tells_of_every_row_of_every_kind_what_became_of_it() {
    use RowResult::{Accepted, Duplicate, Rejected};

    let store = FeatureStore::start().await;
    let said = |index| customer_message(&user(index), 100);
    let timeless = Customer { event_time: None, ..said(3) };
    let products = WriteProductsRequest { products: vec![product_message(&product(1), 100)] };
    let event = |id: &str| event_message(id, "u0001", "p0001", EventKind::Viewed, 100);
    let messages = [
        customers(vec![said(1), said(2), said(1), timeless]),
        WriteRowsRequest { rows: Some(Rows::Products(products)) },
        events(vec![event("e2"), event("e1"), event("e2"), Event::default()]),
        customers(vec![said(2), said(3)]),
    ];

    let answers = write(&store, stream::iter(messages)).await.unwrap();

    assert_eq!(
        results(&answers),
        [
            vec![Accepted, Accepted, Duplicate, Rejected],
            vec![Accepted],
            vec![Accepted, Accepted, Duplicate, Rejected],
            vec![Duplicate, Accepted],
        ]
    );
    let named: Vec<_> = answers.iter().flat_map(|answer| &answer.rejections).collect();
    let named: Vec<_> = named.iter().map(|row| (row.row, row.id.as_str(), row.field.as_str())).collect();
    assert_eq!(named, [(3, "u0003", "event_time"), (8, "", "event_id")]);
}

#[tokio::test]
async fn an_answered_row_is_kept_before_the_next_message_is_sent() {
    let store = FeatureStore::start().await;
    let (messages, sending) = mpsc::channel(1);
    messages.send(customers(vec![customer_message(&user(0), 100)])).await.unwrap();
    let answers = store.client.clone().write_rows(ReceiverStream::new(sending)).await;
    let mut answers = answers.unwrap().into_inner();

    for index in 1..4 {
        answers.message().await.unwrap().unwrap();
        let kept: i64 = sqlx::query_scalar("select count(*) from customers")
            .fetch_one(store.database.store.pool())
            .await
            .unwrap();
        assert_eq!(kept, index);
        messages.send(customers(vec![customer_message(&user(index as usize), 100)])).await.unwrap();
    }
}

#[tokio::test]
async fn names_a_message_that_is_none_and_keeps_those_before_it() {
    let store = FeatureStore::start().await;
    let messages = [customers(vec![customer_message(&user(1), 100)]), WriteRowsRequest { rows: None }];

    let refused = write(&store, stream::iter(messages)).await.unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "rows");
    let again =
        write(&store, stream::iter([customers(vec![customer_message(&user(1), 100)])])).await.unwrap();
    assert_eq!(results(&again), [[RowResult::Duplicate]]);
}

/// More than fit into the buffers of a connection.
const MESSAGES: usize = 120;

/// Messages of some 100 KiB, counted as they are taken.
fn counted(taken: &Arc<AtomicUsize>) -> impl Stream<Item = WriteRowsRequest> + Send + 'static {
    let taken = taken.clone();
    let message = customers(users(1000).iter().map(|user| customer_message(user, 100)).collect());
    stream::iter(0..MESSAGES).map(move |_| {
        taken.fetch_add(1, Ordering::SeqCst);
        message.clone()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_faster_than_rows_are_written_is_held_back() {
    let store = FeatureStore::start().await;
    let mut gate = store.database.store.pool().begin().await.unwrap();
    sqlx::query("lock table customer_statements in exclusive mode").execute(&mut *gate).await.unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let messages = counted(&taken);
    let mut client = store.client.clone();
    let writing = tokio::spawn(async move {
        let mut answers = client.write_rows(messages).await.unwrap().into_inner();
        let mut answered = 0;
        while answers.message().await.unwrap().is_some() {
            answered += 1;
        }
        answered
    });
    let waiting =
        "select count(*) from pg_locks where relation = 'customer_statements'::regclass and not granted";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *gate).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }

    // The first is being written. What else was taken lies in the buffers of the connection.
    let meanwhile = taken.load(Ordering::SeqCst);
    gate.commit().await.unwrap();

    assert_eq!(writing.await.unwrap(), MESSAGES);
    assert!(meanwhile < MESSAGES / 2, "{meanwhile} messages were taken while none was written");
    assert_eq!(taken.load(Ordering::SeqCst), MESSAGES);
}

/// A customer, when, and a revision.
type Said = (u8, i64, u32);

fn arrivals() -> impl Strategy<Value = Vec<Vec<Said>>> {
    let said = (0..3_u8, 0..4_i64, 0..3_u32);
    prop::collection::vec(prop::collection::vec(said, 1..6), 1..6)
}

#[test]
fn the_results_are_what_a_reading_finds_in_whatever_order_rows_and_repetitions_come() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&arrivals(), |messages| {
            let (told, kept) = runtime.block_on(write_and_read(&store, &messages));

            let mut known = BTreeMap::new();
            for (message, told) in messages.iter().zip(&told) {
                for (place, said) in message.iter().enumerate() {
                    // The first of a name says something new; which one it was is told by its income.
                    let first = !known.contains_key(said);
                    known.entry(*said).or_insert_with(|| place as i64);
                    let expected = if first { RowResult::Accepted } else { RowResult::Duplicate };
                    prop_assert_eq!(told[place], expected);
                }
            }
            prop_assert_eq!(told.len(), messages.len());
            prop_assert_eq!(kept, known.into_iter().collect::<BTreeSet<_>>());
            Ok(())
        })
        .unwrap();
}

/// Writes into an empty table, and reads what it holds then: of each name, which of a message's rows it was.
async fn write_and_read(
    store: &FeatureStore,
    messages: &[Vec<Said>],
) -> (Vec<Vec<RowResult>>, BTreeSet<(Said, i64)>) {
    store.execute("truncate customer_statements").await;
    let requests: Vec<WriteRowsRequest> = messages
        .iter()
        .map(|rows| customers(rows.iter().enumerate().map(|(place, said)| customer(place, *said)).collect()))
        .collect();
    let answers = write(store, stream::iter(requests)).await.unwrap();
    let rows: Vec<(String, i64, i32, i64)> = sqlx::query_as(
        "select user_id, extract(epoch from event_time)::bigint, revision, (attributes -> 'annual_income')::bigint
         from customer_statements",
    )
    .fetch_all(store.database.store.pool())
    .await
    .unwrap();
    let kept = rows.into_iter().map(|(user, time, revision, place)| {
        ((user[1..].parse().unwrap(), time, u32::try_from(revision).unwrap()), place)
    });
    (results(&answers), kept.collect())
}

fn customer(place: usize, (who, when, revision): Said) -> Customer {
    crate::support::samples::income(&format!("u{who}"), place as f64, at(when), revision)
}
