//! Records against a brute-force reading of the same history.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{
    AttributeValue, Attributes, EventKind, Product, ProductClass, ProductDraft, ProductId, ProductStatus,
    RiskGrade, UserId, UserRecord, features::FeatureRow,
};
use finrank_store::{Store, StoreError, records, scratch::ScratchDatabase};
use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use sqlx::types::Json;
use tokio::runtime::Runtime;

/// In the order of their bytes, which is not that of any dictionary.
const USERS: [&str; 5] = ["Z", "a", "a-1", "aa", "é"];
const PRODUCTS: [&str; 3] = ["P", "p", "ß"];

/// What happened, in the order in which it was stored.
#[derive(Clone, Debug)]
struct Happened {
    user: &'static str,
    product: &'static str,
    kind: EventKind,
    /// Few, so that many events share theirs.
    minute: i64,
}

/// Customers that are known, and events of these and of others.
#[derive(Clone, Debug)]
struct History {
    customers: BTreeSet<&'static str>,
    events: Vec<Happened>,
}

fn histories() -> impl Strategy<Value = History> {
    let kinds = select(vec![
        EventKind::Acquired,
        EventKind::Acquired,
        EventKind::Closed,
        EventKind::Closed,
        EventKind::Applied,
    ]);
    let event = (select(&USERS), select(&PRODUCTS), kinds, 0..3i64)
        .prop_map(|(user, product, kind, minute)| Happened { user, product, kind, minute });
    (btree_set(select(&USERS), 0..=USERS.len()), vec(event, 0..40))
        .prop_map(|(customers, events)| History { customers, events })
}

impl History {
    /// Who holds what, by going through the events one by one: a later time counts, and what is acquired and closed at
    /// one time is closed.
    fn records(&self) -> Vec<UserRecord> {
        let mut latest: BTreeMap<(&str, &str), &Happened> = BTreeMap::new();
        for event in &self.events {
            if !matches!(event.kind, EventKind::Acquired | EventKind::Closed) {
                continue;
            }
            let known = latest.entry((event.user, event.product)).or_insert(event);
            let closes = |event: &Happened| event.kind == EventKind::Closed;
            if (event.minute, closes(event)) > (known.minute, closes(known)) {
                *known = event;
            }
        }
        let holds = |user, product| {
            latest.get(&(user, product)).is_some_and(|event| event.kind == EventKind::Acquired)
        };
        let record = |user: &&'static str| UserRecord {
            user_id: UserId::parse(user).unwrap(),
            attributes: attributes(user),
            held: PRODUCTS
                .into_iter()
                .filter(|product| holds(*user, *product))
                .map(|product| ProductId::parse(product).unwrap())
                .collect(),
            features: FeatureRow::default(),
        };
        self.customers.iter().map(record).collect()
    }

    async fn write(&self, store: &Store) {
        let mut transaction = store.pool().begin().await.unwrap();
        for table in ["delete from customer_statements", "delete from event_statements"] {
            sqlx::query(table).execute(&mut *transaction).await.unwrap();
        }
        for user in &self.customers {
            sqlx::query(
                "insert into customer_statements (user_id, attributes, event_time) values ($1, $2, now())",
            )
            .bind(user)
            .bind(Json(attributes(user)))
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        for (number, event) in self.events.iter().enumerate() {
            // Ids fall while the order of storing rises, so that neither can stand in for the other.
            sqlx::query(
                "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity)
                 values ($1, $2, $3, $4, $5, 1)",
            )
            .bind(event.user)
            .bind(format!("{:04}", 9999 - number))
            .bind(event.product)
            .bind(event.kind.as_str())
            .bind(time(event.minute))
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        transaction.commit().await.unwrap();
    }
}

fn attributes(user: &str) -> Attributes {
    Attributes::new([("name".to_owned(), AttributeValue::Text(user.to_owned()))]).unwrap()
}

fn time(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

/// All records in a range, page by page as the documentation says.
async fn paged(
    store: &Store,
    from: Option<&UserId>,
    below: Option<&UserId>,
    limit: usize,
) -> Vec<UserRecord> {
    let mut records: Vec<UserRecord> = records::user_records(store, from, below, limit).await.unwrap();
    let mut page_is_full = records.len() == limit;
    while page_is_full {
        let last = records.last().map(|record| record.user_id.clone());
        let page = records::user_records(store, last.as_ref(), below, limit).await.unwrap();
        page_is_full = page.len() == limit;
        records.extend(page.into_iter().skip(1));
    }
    records
}

#[test]
fn agree_with_a_brute_force_reading_of_any_history() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create());
    let store = &database.store;
    let end = proptest::option::of(select(&USERS).prop_map(|user| UserId::parse(user).unwrap()));
    let cases = (histories(), end.clone(), end, 2..4usize);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };

    let outcome = TestRunner::new(config).run(&cases, |(history, from, below, limit)| {
        let read = runtime.block_on(async {
            history.write(store).await;
            paged(store, from.as_ref(), below.as_ref(), limit).await
        });

        let within = |record: &UserRecord| {
            from.as_ref().is_none_or(|from| record.user_id >= *from)
                && below.as_ref().is_none_or(|below| record.user_id < *below)
        };
        let expected: Vec<UserRecord> = history.records().into_iter().filter(within).collect();
        prop_assert_eq!(read, expected);
        Ok(())
    });

    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_product_comes_back_with_all_that_was_stored() {
    let database = ScratchDatabase::create().await;
    let full = ProductDraft {
        product_id: ProductId::parse("ß").unwrap(),
        product_class: ProductClass::Wealth,
        name: "Bond fund".to_owned(),
        description: "Bonds of many states".to_owned(),
        issuer: "A bank".to_owned(),
        risk_grade: Some(RiskGrade::new(2).unwrap()),
        status: ProductStatus::Withdrawn,
        attributes: attributes("ß"),
        event_time: time(7),
    };
    let bare = ProductDraft {
        product_id: ProductId::parse("P").unwrap(),
        description: String::new(),
        issuer: String::new(),
        risk_grade: None,
        attributes: Attributes::default(),
        ..full.clone()
    };
    let [full, bare] = [full, bare].map(|draft| draft.check().unwrap());
    for product in [&full, &bare] {
        write_product(&database.store, product).await;
    }

    let all = records::product_records(&database.store, None, None, 10).await.unwrap();
    let from = records::product_records(&database.store, Some(&full.product_id), None, 10).await.unwrap();
    let below = records::product_records(&database.store, None, Some(&full.product_id), 10).await.unwrap();
    let first = records::product_records(&database.store, None, None, 1).await.unwrap();

    assert_eq!(from, all[1..]);
    assert_eq!(below, all[..1]);
    assert_eq!(first, all[..1]);
    assert_eq!(all, [bare, full]);
}

#[tokio::test]
async fn a_row_that_no_writer_of_ours_wrote_is_an_error_that_names_its_table() {
    let database = ScratchDatabase::create().await;
    sqlx::query("insert into customer_statements (user_id, attributes, event_time) values ('', '{}', now())")
        .execute(database.store.pool())
        .await
        .unwrap();

    let error = records::user_records(&database.store, None, None, 10).await.unwrap_err();

    assert!(matches!(error, StoreError::StoredRow { table: "customers", .. }), "{error}");
}

async fn write_product(store: &Store, product: &Product) {
    sqlx::query(
        "insert into product_statements (product_id, product_class, name, description, issuer, risk_grade, status,
                               attributes, event_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(product.product_id.as_str())
    .bind(product.product_class.as_str())
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.issuer)
    .bind(product.risk_grade.map(|grade| i16::from(grade.get())))
    .bind(product.status.as_str())
    .bind(Json(&product.attributes))
    .bind(product.event_time)
    .execute(store.pool())
    .await
    .unwrap();
}
