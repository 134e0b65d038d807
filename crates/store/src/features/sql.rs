//! Recipes as SQL: one subquery per source, each giving when its newest statement was true and a JSON array of values;
//! lateral ones where each entity has moments of its own, and one pass over the events of a range of ids where all have
//! the same. What goes into the text is checked by the types that it comes from: attribute names are `[a-z][a-z0-9_]*`,
//! currencies three letters, kinds and windows our own.

use std::{fmt::Write as _, time::Duration};

use finrank_model::{
    AttributeName, EventKind,
    features::{Aggregate, Entity, Feature, Recipe, Source, ValueType},
};

use super::plan::Place;

/// Postgres takes at most 100 arguments in a call.
const ARRAY_ARGUMENTS: usize = 100;

/// What the values so far are made of, by source.
#[derive(Clone, Debug, Default)]
pub(super) struct Recipes {
    pub(super) attributes: Vec<AttributeName>,
    events: Vec<Event>,
}

/// A value over events. What it counts apart is known only with the entity.
#[derive(Clone, Debug)]
struct Event {
    aggregate: Aggregate,
    /// Conditions that do not depend on the moment.
    which: Vec<String>,
    window: Option<Duration>,
}

impl Recipes {
    /// Adds a feature, and returns where its values will stand.
    pub(super) fn add(&mut self, feature: &Feature) -> Place {
        match &feature.recipe {
            Recipe::Attribute(name) => {
                self.attributes.push(name.clone());
                Place { source: Source::Attributes, index: self.attributes.len() - 1 }
            }
            Recipe::Events { aggregate, kinds, window } => {
                let mut which = Vec::new();
                if !kinds.is_empty() {
                    let kinds: Vec<String> =
                        kinds.iter().map(|kind: &EventKind| format!("'{}'", kind.as_str())).collect();
                    which.push(format!("happened.kind in ({})", kinds.join(", ")));
                }
                if let ValueType::Money(currency) = &feature.value_type {
                    which.push(format!("happened.currency_code = '{currency}'"));
                }
                self.events.push(Event { aggregate: *aggregate, which, window: *window });
                Place { source: Source::Events, index: self.events.len() - 1 }
            }
        }
    }

    /// Whether a value is over events.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// How each value over events is made, in the order in which they were added.
    pub(super) fn aggregates(&self) -> impl ExactSizeIterator<Item = Aggregate> {
        self.events.iter().map(|event| event.aggregate)
    }

    /// How far back events matter; absent if one of the values is over all time.
    fn longest_window(&self) -> Option<Duration> {
        self.events
            .iter()
            .map(|event| event.window)
            .try_fold(Duration::ZERO, |longest, window| Some(longest.max(window?)))
    }
}

/// Whose statements are read, and the SQL of the moments that they are read by.
#[derive(Clone, Copy)]
struct Reading {
    entity: Entity,
    whose: Whose,
    as_of: &'static str,
    known_at: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Of the one entity that is at hand.
    Asked,
    /// Of all between two ids.
    Range,
}

/// The statement for entities with a moment each: $1 are ids, $2 each one's moment, $3 each one's end of what was known,
/// $4 whether to say how long the values last. It returns a row per id, in their order: of each source when its newest
/// statement was true, and its values; and, if asked, the next moment at which time alone may change them.
pub(super) fn statement(entity: Entity, recipes: &Recipes) -> String {
    let reading = Reading { entity, whose: Whose::Asked, as_of: "asked.as_of", known_at: "asked.known_at" };
    let (attributes, events, next) = (attributes(reading, recipes), events(reading, recipes), next(entity));
    format!(
        "select attributes.event_time, attributes.feature_values, events.event_time, events.feature_values,
                case when $4::boolean then least(events.leaves_at, ({next})) end as lasts_until
         from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
              with ordinality as asked (id, as_of, known_at, place)
         left join lateral ({attributes}) as attributes on true
         left join lateral ({events}) as events on true
         order by asked.place"
    )
}

/// When the next statement comes to be true that was made ahead of its time, whether or not it counts then.
fn next(entity: Entity) -> String {
    let (statements, key) = statements(entity);
    format!(
        "select min(event_time) from (
             select min(event_time) as event_time from {statements}
             where {key} = asked.id and event_time > asked.as_of
             union all
             select min(event_time) from event_statements where {key} = asked.id and event_time > asked.as_of
         ) as ahead"
    )
}

fn statements(entity: Entity) -> (&'static str, &'static str) {
    match entity {
        Entity::Customer => ("customer_statements", "user_id"),
        Entity::Product => ("product_statements", "product_id"),
    }
}

/// The statement for events of many entities at one moment, which reads all between two ids in one pass: $1 is the moment,
/// $2 the end of what was known, $3 the first id and $4 the last. It returns a row per id that has events, in the order
/// of ids: the id, when its newest event was, and a column for each value. They are whole numbers; sums of amounts, which
/// may be larger than 64 bits, come as text.
pub(super) fn range_statement(entity: Entity, recipes: &Recipes) -> String {
    let reading =
        Reading { entity, whose: Whose::Range, as_of: "$1::timestamptz", known_at: "$2::timestamptz" };
    let (key, counterpart) = keys(entity);
    let mut columns = String::new();
    for event in &recipes.events {
        let cast = if event.aggregate == Aggregate::Amount { "::text" } else { "" };
        let _ = write!(columns, ", {}{cast}", aggregate(event, counterpart, reading));
    }
    let which = happened(reading, key);
    format!(
        "select happened.{key}, max(happened.event_time){columns}
         {which}
         group by happened.{key}
         order by happened.{key}"
    )
}

fn attributes(reading: Reading, recipes: &Recipes) -> String {
    if recipes.attributes.is_empty() {
        return reading.nothing();
    }
    let (statements, key) = statements(reading.entity);
    let values = array(recipes.attributes.iter().map(|name| format!("stated.attributes -> '{name}'")));
    let Reading { as_of, known_at, .. } = reading;
    let whose = reading.whose(&format!("stated.{key}"));
    format!(
        "select stated.event_time, {values} as feature_values
         from {statements} stated
         where {whose} and stated.event_time <= {as_of}
           and stated.known_at < {known_at} and not stated.retracted
           and not exists (
               select from {statements} higher
               where higher.{key} = stated.{key} and higher.event_time = stated.event_time
                 and (higher.pushed, higher.revision) > (stated.pushed, stated.revision)
                 and (higher.pushed > 0 or higher.revision > 0)
                 and higher.known_at < {known_at}
           )
         order by stated.event_time desc
         limit 1"
    )
}

fn events(reading: Reading, recipes: &Recipes) -> String {
    if recipes.events.is_empty() {
        return reading.nothing();
    }
    let (key, counterpart) = keys(reading.entity);
    let values = array(recipes.events.iter().map(|event| aggregate(event, counterpart, reading)));
    let leaves_at = leaves_at(&recipes.events, reading);
    let which = happened(reading, key);
    match recipes.longest_window() {
        // What lies before the longest window is not read but for the newest of it: there may be years of it.
        Some(window) => format!(
            "select (select happened.event_time {which} order by happened.event_time desc limit 1) as event_time,
                    {values} as feature_values, {leaves_at} as leaves_at
             {which} and {}",
            reading.within(window)
        ),
        None => {
            format!(
                "select max(happened.event_time) as event_time, {values} as feature_values, {leaves_at} as leaves_at
                 {which}"
            )
        }
    }
}

/// Whose events are taken together, and who is on their other side.
fn keys(entity: Entity) -> (&'static str, &'static str) {
    match entity {
        Entity::Customer => ("user_id", "product_id"),
        Entity::Product => ("product_id", "user_id"),
    }
}

/// Events that had happened and were known.
fn happened(reading: Reading, key: &str) -> String {
    let Reading { as_of, known_at, .. } = reading;
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
        let window = self.window.map(|window| reading.within(window));
        // The window first: it is the cheapest condition, and most events are older.
        let which: Vec<&str> = window.iter().chain(&self.which).map(String::as_str).collect();
        if which.is_empty() { "true".to_owned() } else { which.join(" and ") }
    }
}

fn aggregate(event: &Event, counterpart: &str, reading: Reading) -> String {
    let which = event.which(reading);
    match event.aggregate {
        Aggregate::Count => format!("count(*) filter (where {which})"),
        Aggregate::Quantity => format!("coalesce(sum(happened.quantity) filter (where {which}), 0)"),
        Aggregate::Distinct => format!("count(distinct happened.{counterpart}) filter (where {which})"),
        Aggregate::Amount => format!("coalesce(sum(happened.amount_minor) filter (where {which}), 0)"),
        // In microseconds since 1970, as all that Postgres knows of a time.
        Aggregate::LatestTime => {
            format!("(extract(epoch from max(happened.event_time) filter (where {which})) * 1000000)::bigint")
        }
    }
}

impl Reading {
    /// The condition on a key.
    fn whose(self, key: &str) -> String {
        match self.whose {
            Whose::Asked => format!("{key} = asked.id"),
            Whose::Range => format!("{key} between $3 and $4"),
        }
    }

    /// The condition that an event is not older than a window. Of a range, all have one moment, and the subquery is
    /// evaluated once: subtracted for every event and value, the window took a third of the time of reading them.
    fn within(self, window: Duration) -> String {
        let (as_of, interval) = (self.as_of, interval(window));
        match self.whose {
            Whose::Asked => format!("happened.event_time > {as_of} - {interval}"),
            Whose::Range => format!("happened.event_time > (select {as_of} - {interval})"),
        }
    }

    fn nothing(self) -> String {
        "select null::timestamptz as event_time, null::jsonb as feature_values, null::timestamptz as leaves_at"
            .to_owned()
    }
}

fn array(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    let mut array = String::new();
    for (place, values) in values.chunks(ARRAY_ARGUMENTS).enumerate() {
        let joined = if place == 0 { "" } else { " || " };
        let _ = write!(array, "{joined}jsonb_build_array({})", values.join(", "));
    }
    array
}
