//! Values over events, as SQL.

use std::time::Duration;

use finrank_model::{
    EventKind,
    features::{Aggregate, Entity},
};

use super::{Reading, Recipes, Whose, array};

/// A value over events. What it counts apart is known only with the entity.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) aggregate: Aggregate,
    /// Which count; all of them if none is named.
    pub(super) kinds: Vec<EventKind>,
    /// Which amounts count.
    pub(super) currency: Option<String>,
    pub(super) window: Option<Duration>,
}

/// When the newest event of an entity was, the values, and when the next event leaves one of their windows.
pub(super) fn events(reading: Reading, recipes: &Recipes) -> String {
    if recipes.events.is_empty() {
        return reading.nothing();
    }
    let columns = recipes.events.iter().map(|event| aggregate(event, reading));
    let (values, leaves_at) = (array(columns), leaves_at(&recipes.events, reading));
    let which = happened(reading);
    // Beside the newest, which an index finds, only what counts is read: there may be years of what does not.
    let (newest, counts) = match (reading.entity, longest_window(&recipes.events)) {
        (Entity::Product, _) => (newest_of_product(&which), counted(&recipes.events, reading)),
        (Entity::Customer, Some(window)) => (newest_of_customer(&which), reading.within(window)),
        (Entity::Customer, None) => ("max(happened.event_time)".to_owned(), "true".to_owned()),
    };
    format!(
        "select {newest} as event_time, {values} as feature_values, {leaves_at} as leaves_at {which} and {counts}"
    )
}

/// Events that had happened and were known.
pub(super) fn happened(reading: Reading) -> String {
    let Reading { as_of, known_at, .. } = reading;
    let (key, _) = keys(reading.entity);
    let whose = reading.whose(&format!("happened.{key}"));
    format!(
        "from event_statements happened
         where {whose} and happened.event_time <= {as_of}
           and happened.known_at < {known_at} and not happened.retracted
           and not exists (
               select from event_statements higher
               where higher.user_id = happened.user_id and higher.event_id = happened.event_id
                 and higher.revision > happened.revision and higher.revision > 0
                 and higher.known_at < {known_at}
           )"
    )
}

/// When the next event comes to be true that was stated ahead of its time.
pub(super) fn next(entity: Entity) -> String {
    match entity {
        Entity::Customer => "select min(event_time) from event_statements
             where user_id = asked.id and event_time > asked.as_of"
            .to_owned(),
        Entity::Product => format!(
            "select min(next.event_time) from {} cross join lateral (
                 select event_time from event_statements
                 where product_id = asked.id and kind = kinds.kind and event_time > asked.as_of
                 order by event_time
                 limit 1
             ) as next",
            every_kind()
        ),
    }
}

/// The value of one feature, over the events that are read.
pub(super) fn aggregate(event: &Event, reading: Reading) -> String {
    let which = event.which(reading);
    match event.aggregate {
        Aggregate::Count => format!("count(*) filter (where {which})"),
        Aggregate::Quantity => format!("coalesce(sum(happened.quantity) filter (where {which}), 0)"),
        Aggregate::Distinct => {
            let (_, counterpart) = keys(reading.entity);
            format!("count(distinct happened.{counterpart}) filter (where {which})")
        }
        Aggregate::Amount => format!("coalesce(sum(happened.amount_minor) filter (where {which}), 0)"),
        // In microseconds since 1970, as all that Postgres knows of a time.
        Aggregate::LatestTime => {
            format!("(extract(epoch from max(happened.event_time) filter (where {which})) * 1000000)::bigint")
        }
    }
}

/// Whose events are taken together, and who is on their other side.
pub(super) fn keys(entity: Entity) -> (&'static str, &'static str) {
    match entity {
        Entity::Customer => ("user_id", "product_id"),
        Entity::Product => ("product_id", "user_id"),
    }
}

/// How far back events matter; absent if one of the values is over all time.
fn longest_window(events: &[Event]) -> Option<Duration> {
    let mut windows = events.iter().map(|event| event.window);
    windows.try_fold(Duration::ZERO, |longest, window| Some(longest.max(window?)))
}

fn newest_of_customer(which: &str) -> String {
    format!("(select happened.event_time {which} order by happened.event_time desc limit 1)")
}

/// A product's events stand in the index by kind, and then by time.
fn newest_of_product(which: &str) -> String {
    format!(
        "(select max(newest.event_time) from {} cross join lateral (
              select happened.event_time {which} and happened.kind = kinds.kind
              order by happened.event_time desc
              limit 1
          ) as newest)",
        every_kind()
    )
}

fn every_kind() -> String {
    format!("unnest(array[{}]) as kinds (kind)", quoted(&EventKind::ALL))
}

/// What one of the values counts. Everyone's events with a product are many, so each part names its kinds for the index
/// to find.
fn counted(events: &[Event], reading: Reading) -> String {
    let mut parts = Vec::new();
    for Event { kinds, window, .. } in events {
        let kinds = if kinds.is_empty() { EventKind::ALL.as_slice() } else { kinds };
        let window = window.map(|window| format!(" and {}", reading.within(window)));
        let part = format!("(happened.kind in ({}){})", quoted(kinds), window.unwrap_or_default());
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    format!("({})", parts.join(" or "))
}

fn quoted(kinds: &[EventKind]) -> String {
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
    kinds.join(", ")
}

/// When the next event leaves a window.
fn leaves_at(events: &[Event], reading: Reading) -> String {
    let leaves = events.iter().filter_map(|event| {
        let (which, window) = (event.which(reading), interval(event.window?));
        Some(format!("min(happened.event_time + {window}) filter (where $4 and {which})"))
    });
    let leaves: Vec<String> = leaves.collect();
    // `least` takes any number of arguments, and leaves out those that are null.
    if leaves.is_empty() { "null::timestamptz".to_owned() } else { format!("least({})", leaves.join(", ")) }
}

fn interval(window: Duration) -> String {
    format!("interval '{} microseconds'", window.as_micros())
}

impl Event {
    /// The condition on what counts.
    fn which(&self, reading: Reading) -> String {
        // The window first: it is the cheapest condition, and most events are older.
        let mut which: Vec<String> = self.window.map(|window| reading.within(window)).into_iter().collect();
        if !self.kinds.is_empty() {
            which.push(format!("happened.kind in ({})", quoted(&self.kinds)));
        }
        which.extend(self.currency.iter().map(|currency| format!("happened.currency_code = '{currency}'")));
        if which.is_empty() { "true".to_owned() } else { which.join(" and ") }
    }
}

impl Reading {
    /// The condition that an event is not older than a window. Of a range, all have one moment, and the subquery is
    /// evaluated once: subtracted for every event and value, the window took a third of the time of reading them.
    fn within(self, window: Duration) -> String {
        let (as_of, interval) = (self.as_of, interval(window));
        match self.whose {
            Whose::Asked => format!("happened.event_time > {as_of} - {interval}"),
            Whose::Range => format!("happened.event_time > (select {as_of} - {interval})"),
        }
    }
}
