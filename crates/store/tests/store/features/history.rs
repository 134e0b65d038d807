//! Random histories, and what they say of any moment by plain loops.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use finrank_store::{
    Store,
    features::{Asked, FeatureStatus, FeatureValue, Value},
};
use proptest::{collection::btree_map, prelude::*};

use super::{nothing, present};

/// All that was ever stated. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// By customer, event time, number among what was pushed, and revision.
    customers: BTreeMap<(u8, i64, i32, i32), CustomerStatement>,
    /// By customer, event and revision.
    events: BTreeMap<(u8, u8, i32), EventStatement>,
}

#[derive(Clone, Debug)]
struct CustomerStatement {
    known_at: i64,
    retracted: bool,
    income: Option<i16>,
}

#[derive(Clone, Debug)]
struct EventStatement {
    known_at: i64,
    retracted: bool,
    event_time: i64,
    product: u8,
    kind: &'static str,
    quantity: i32,
    /// In euros; other events have an amount in dollars.
    euros: Option<i64>,
}

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

pub(super) fn histories() -> impl Strategy<Value = History> {
    let customer = (0..8_i64, any::<bool>(), any::<Option<i16>>())
        .prop_map(|(known_at, retracted, income)| CustomerStatement { known_at, retracted, income });
    let kinds = prop::sample::select(&["viewed", "acquired", "closed"][..]);
    let event = (0..8_i64, any::<bool>(), 0..8_i64, 0..2_u8, kinds, 1..4_i32, prop::option::of(-50..50_i64))
        .prop_map(|(known_at, retracted, event_time, product, kind, quantity, euros)| EventStatement {
            known_at,
            retracted,
            event_time,
            product,
            kind,
            quantity,
            euros,
        });
    let customers = btree_map((0..2_u8, 0..5_i64, 0..2_i32, 0..3_i32), customer, 0..10);
    let events = btree_map((0..2_u8, 0..6_u8, 0..3_i32), event, 0..16);
    (customers, events).prop_map(|(mut customers, mut events)| {
        for (&(.., revision), statement) in &mut customers {
            statement.retracted &= revision > 0;
        }
        for (&(.., revision), statement) in &mut events {
            statement.retracted &= revision > 0;
        }
        History { customers, events }
    })
}

impl History {
    pub(super) async fn write(&self, store: &Store) {
        for (&(user, event_time, pushed, revision), statement) in &self.customers {
            let attributes = statement
                .income
                .map_or_else(|| "{}".to_owned(), |income| format!(r#"{{"income": {income}}}"#));
            sqlx::query(
                "insert into customer_statements
                     (user_id, event_time, revision, retracted, known_at, attributes, pushed, stated)
                 values ($1, $2, $3, $4, $5, $6::jsonb, $7, case when $7 > 0 then '{income}'::text[] end)",
            )
            .bind(format!("u{user}"))
            .bind(at(event_time))
            .bind(revision)
            .bind(statement.retracted)
            .bind(at(statement.known_at))
            .bind(attributes)
            .bind(pushed)
            .execute(store.pool())
            .await
            .unwrap();
        }
        for (&(user, event, revision), statement) in &self.events {
            let (amount, currency) = match statement.euros {
                Some(euros) => (euros, "EUR"),
                None => (1_000_000, "USD"),
            };
            sqlx::query(
                "insert into event_statements (user_id, event_id, revision, retracted, known_at, event_time,
                                               product_id, kind, quantity, amount_minor, currency_code)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(format!("u{user}"))
            .bind(format!("e{event}"))
            .bind(revision)
            .bind(statement.retracted)
            .bind(at(statement.known_at))
            .bind(at(statement.event_time))
            .bind(format!("p{}", statement.product))
            .bind(statement.kind)
            .bind(statement.quantity)
            .bind(amount)
            .bind(currency)
            .execute(store.pool())
            .await
            .unwrap();
        }
    }

    /// The features that the property asks for, in its order.
    pub(super) fn features_of(&self, asked: &Asked) -> Vec<FeatureValue> {
        let id = asked.id.clone();
        if id.starts_with('p') {
            return vec![self.demand(&id, asked)];
        }
        let events = self.events(asked, |user, _| format!("u{user}") == id);
        let income = self.income(asked);
        let Some(latest) = events.iter().map(|(_, event)| event.event_time).max() else {
            let none = nothing(FeatureStatus::NotFound);
            return vec![none.clone(), income, none.clone(), none.clone(), none.clone(), none];
        };
        let as_of = asked.as_of.timestamp();
        let within = |seconds: i64| {
            let events = events.iter().map(|(_, event)| *event);
            events.filter(move |event| event.event_time > as_of - seconds)
        };
        let all = || events.iter().map(|(_, event)| *event);
        let count = |count: i64| present(at(latest), Value::Count(count));
        let viewed_3s = within(3).filter(|event| event.kind == "viewed").count() as i64;
        let acquired =
            all().filter(|event| event.kind == "acquired").map(|event| i64::from(event.quantity)).sum();
        let products: BTreeSet<u8> = within(5).map(|event| event.product).collect();
        let spent = all().filter_map(|event| event.euros).sum();
        let spent = Value::Money { currency_code: "EUR".to_owned(), minor_units: spent };
        let last_viewed = all().filter(|event| event.kind == "viewed").map(|event| event.event_time).max();
        let last_viewed = match last_viewed {
            Some(viewed) => present(at(latest), Value::Time(at(viewed))),
            None => FeatureValue { status: FeatureStatus::Null, event_time: Some(at(latest)), value: None },
        };
        vec![
            present(at(latest), spent),
            income,
            count(viewed_3s),
            count(acquired),
            count(products.len() as i64),
            last_viewed,
        ]
    }

    /// Of the latest standing statement; flagged when older than 3 seconds.
    fn income(&self, asked: &Asked) -> FeatureValue {
        let mut standing: BTreeMap<i64, &CustomerStatement> = BTreeMap::new();
        for (&(user, event_time, ..), statement) in &self.customers {
            let counts = format!("u{user}") == asked.id
                && at(event_time) <= asked.as_of
                && at(statement.known_at) < asked.known_at;
            if counts {
                // In the order in which they count, so that the highest is what stays.
                standing.insert(event_time, statement);
            }
        }
        let Some((&event_time, statement)) =
            standing.iter().rev().find(|(_, statement)| !statement.retracted)
        else {
            return nothing(FeatureStatus::NotFound);
        };
        let value = statement.income.map(|income| Value::Number(income.into()));
        let status = match &value {
            _ if (asked.as_of - at(event_time)).num_seconds() > 3 => FeatureStatus::OutsideMaxAge,
            Some(_) => FeatureStatus::Present,
            None => FeatureStatus::Null,
        };
        FeatureValue { status, event_time: Some(at(event_time)), value }
    }

    fn demand(&self, id: &str, asked: &Asked) -> FeatureValue {
        let events = self.events(asked, |_, event| format!("p{}", event.product) == id);
        let Some(latest) = events.iter().map(|(_, event)| event.event_time).max() else {
            return nothing(FeatureStatus::NotFound);
        };
        let customers: BTreeSet<u8> = events.iter().map(|(user, _)| *user).collect();
        present(at(latest), Value::Count(customers.len() as i64))
    }

    /// The events that stand, had happened and are of whom is asked for.
    fn events(
        &self,
        asked: &Asked,
        of_whom: impl Fn(u8, &EventStatement) -> bool,
    ) -> Vec<(u8, &EventStatement)> {
        let mut standing: BTreeMap<(u8, u8), &EventStatement> = BTreeMap::new();
        for (&(user, event, _), statement) in &self.events {
            if at(statement.known_at) < asked.known_at {
                standing.insert((user, event), statement);
            }
        }
        let standing = standing.into_iter().map(|((user, _), statement)| (user, statement));
        let counts = |(user, statement): &(u8, &EventStatement)| {
            !statement.retracted && at(statement.event_time) <= asked.as_of && of_whom(*user, statement)
        };
        standing.filter(counts).collect()
    }
}
