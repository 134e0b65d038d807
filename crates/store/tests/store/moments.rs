//! Customers as of any moment against a brute-force reading of random histories, with late, corrected and retracted
//! statements; and acquisitions in the order of time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{AttributeValue, Attributes, ProductId, UserId, UserRecord, features::FeatureRow};
use finrank_store::{
    Store,
    features::Asked,
    moments::{self, Acquisition},
    records,
    scratch::ScratchDatabase,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::Runtime;

/// Times are seconds since 1970.
const TIMES: i64 = 6;
const USERS: [&str; 2] = ["u", "v"];

#[derive(Clone, Debug)]
struct Said {
    user: &'static str,
    event_time: i64,
    revision: i32,
    known_at: i64,
    retracted: bool,
    /// What the customer's only attribute is.
    income: i32,
}

#[derive(Clone, Debug)]
struct Happened {
    user: &'static str,
    event: i32,
    revision: i32,
    known_at: i64,
    retracted: bool,
    event_time: i64,
    product: &'static str,
    kind: &'static str,
}

/// In the order in which it was stored; of one key only the first counts.
#[derive(Clone, Debug)]
struct History {
    said: Vec<Said>,
    happened: Vec<Happened>,
}

fn histories() -> impl Strategy<Value = History> {
    let said = (select(&USERS), 0..TIMES, 0..3, 0..TIMES, any::<bool>(), 0..100).prop_map(
        |(user, event_time, revision, known_at, retracted, income)| {
            let retracted = retracted && revision > 0;
            Said { user, event_time, revision, known_at, retracted, income }
        },
    );
    let kinds = select(&["acquired", "acquired", "closed", "viewed"][..]);
    let what = (select(&["p", "q"][..]), kinds, 0..TIMES);
    let happened = (select(&USERS), 0..5, 0..3, 0..TIMES, any::<bool>(), what).prop_map(
        |(user, event, revision, known_at, retracted, (product, kind, event_time))| {
            let retracted = retracted && revision > 0;
            Happened { user, event, revision, known_at, retracted, event_time, product, kind }
        },
    );
    (vec(said, 0..8), vec(happened, 0..16)).prop_map(|(mut said, mut happened)| {
        let mut seen = std::collections::BTreeSet::new();
        said.retain(|said| seen.insert((said.user, said.event_time, said.revision)));
        let mut seen = std::collections::BTreeSet::new();
        happened.retain(|event| seen.insert((event.user, event.event, event.revision)));
        History { said, happened }
    })
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

impl History {
    async fn write(&self, store: &Store) {
        sqlx::raw_sql("delete from customer_statements; delete from event_statements")
            .execute(store.pool())
            .await
            .unwrap();
        for said in &self.said {
            sqlx::query(
                "insert into customer_statements (user_id, event_time, revision, known_at, retracted, attributes)
                 values ($1, $2, $3, $4, $5, jsonb_build_object('income', $6::int))",
            )
            .bind(said.user)
            .bind(at(said.event_time))
            .bind(said.revision)
            .bind(at(said.known_at))
            .bind(said.retracted)
            .bind(said.income)
            .execute(store.pool())
            .await
            .unwrap();
        }
        for event in &self.happened {
            sqlx::query(
                "insert into event_statements
                     (user_id, event_id, revision, known_at, retracted, event_time, product_id, kind, quantity)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, 1)",
            )
            .bind(event.user)
            .bind(format!("e{}", event.event))
            .bind(event.revision)
            .bind(at(event.known_at))
            .bind(event.retracted)
            .bind(at(event.event_time))
            .bind(event.product)
            .bind(event.kind)
            .execute(store.pool())
            .await
            .unwrap();
        }
    }

    /// By loops over all that was stated.
    fn record(&self, user: &str, as_of: i64, known_at: i64) -> Option<UserRecord> {
        let mut standing: BTreeMap<i64, &Said> = BTreeMap::new();
        for said in self.said.iter().filter(|said| said.user == user && said.known_at < known_at) {
            let stands = standing.entry(said.event_time).or_insert(said);
            if said.revision > stands.revision {
                *stands = said;
            }
        }
        let said = standing.values().rev().find(|said| !said.retracted && said.event_time <= as_of)?;
        let income = AttributeValue::Number(said.income.into());
        Some(UserRecord {
            user_id: UserId::parse(user).unwrap(),
            attributes: Attributes::new([("income".to_owned(), income)]).unwrap(),
            held: self.held(user, as_of, known_at),
            features: FeatureRow::default(),
        })
    }

    fn held(&self, user: &str, as_of: i64, known_at: i64) -> Vec<ProductId> {
        let mut standing: BTreeMap<i32, (usize, &Happened)> = BTreeMap::new();
        let known = |event: &Happened| event.user == user && event.known_at < known_at;
        for (stored, event) in self.happened.iter().enumerate().filter(|(_, event)| known(event)) {
            let stands = standing.entry(event.event).or_insert((stored, event));
            if event.revision > stands.1.revision {
                *stands = (stored, event);
            }
        }
        let mut latest: BTreeMap<&str, (i64, &str, usize)> = BTreeMap::new();
        for (stored, event) in standing.values() {
            let counts = !event.retracted && event.event_time <= as_of && event.kind != "viewed";
            let this = (event.event_time, event.kind, *stored);
            if counts && latest.get(event.product).is_none_or(|other| (this.0, this.1) > (other.0, other.1)) {
                latest.insert(event.product, this);
            }
        }
        let held = latest.into_iter().filter(|(_, (_, kind, _))| *kind == "acquired");
        held.map(|(product, _)| ProductId::parse(product).unwrap()).collect()
    }
}

#[test]
fn customers_are_at_any_moment_what_a_brute_force_reading_gives() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create());
    let store = &database.store;
    let moments = || (0..TIMES).flat_map(|as_of| (0..=TIMES).map(move |known_at| (as_of, known_at)));
    let asked =
        |user: &str, as_of, known_at| Asked { id: user.to_owned(), as_of: at(as_of), known_at: at(known_at) };
    let all = || moments().flat_map(|(as_of, known_at)| USERS.map(|user| (user, as_of, known_at)));

    let outcome = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() }).run(
        &histories(),
        |history| {
            runtime.block_on(history.write(store));
            let asked: Vec<Asked> =
                all().map(|(user, as_of, known_at)| asked(user, as_of, known_at)).collect();

            let read = runtime.block_on(moments::user_records(store, &asked)).unwrap();

            let expected: Vec<_> =
                all().map(|(user, as_of, known_at)| history.record(user, as_of, known_at)).collect();
            prop_assert_eq!(read.len(), expected.len());
            let last = expected.len() - USERS.len();
            let now: Vec<UserRecord> = expected[last..].iter().flatten().cloned().collect();
            for ((asked, read), expected) in asked.iter().zip(read).zip(expected) {
                prop_assert_eq!(read, expected, "{:?}", asked);
            }
            let of_a_refresh = runtime.block_on(records::user_records(store, None, None, 10)).unwrap();
            prop_assert_eq!(of_a_refresh, now, "at the present moment they are a refresh's");
            Ok(())
        },
    );

    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn acquisitions_come_in_the_order_of_time_page_by_page_and_each_once() {
    let database = ScratchDatabase::create().await;
    sqlx::query(
        "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity)
         values ('u', 'e1', 'p', 'acquired', to_timestamp(2), 1), ('u', 'e2', 'p', 'acquired', to_timestamp(2), 1),
                ('u', 'e3', 'P', 'acquired', to_timestamp(2), 1), ('v', 'e1', 'p', 'acquired', to_timestamp(1), 1),
                ('v', 'e2', 'p', 'viewed', to_timestamp(1), 1), ('v', 'e3', 'p', 'acquired', to_timestamp(3), 1)",
    )
    .execute(database.store.pool())
    .await
    .unwrap();

    let mut paged: Vec<Acquisition> = Vec::new();
    loop {
        let page = moments::acquisitions(&database.store, paged.last(), 1).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }

    let told: Vec<String> = paged
        .iter()
        .map(|each| format!("{}{}{}", each.at.timestamp(), each.user_id, each.product_id))
        .collect();
    assert_eq!(told, ["1vp", "2uP", "2up", "3vp"]);
    let whole = moments::acquisitions(&database.store, None, 100).await.unwrap();
    assert_eq!(whole, paged);
}
