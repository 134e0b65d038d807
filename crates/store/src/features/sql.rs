//! Recipes as SQL: one lateral subquery per source, each giving when its newest statement was true and a JSON array of
//! values. What goes into the text is checked by the types that it comes from: attribute names are
//! `[a-z][a-z0-9_]*`, currencies three letters, kinds and windows our own.

use std::fmt::Write as _;

use finrank_model::{
    EventKind,
    features::{Aggregate, Entity, Feature, Recipe, Source, ValueType},
};

use super::plan::Place;

/// Postgres takes at most 100 arguments in a call.
const ARRAY_ARGUMENTS: usize = 100;

/// The SQL of values so far, by source.
#[derive(Debug, Default)]
pub(super) struct Recipes {
    attributes: Vec<String>,
    events: Vec<Event>,
}

/// A value over events. What it counts apart is known only with the entity.
#[derive(Debug)]
struct Event {
    aggregate: Aggregate,
    which: String,
    /// How long an event counts, as an interval; absent if for ever.
    window: Option<String>,
}

impl Recipes {
    /// Adds a feature, and returns where its values will stand.
    pub(super) fn add(&mut self, feature: &Feature) -> Place {
        match &feature.recipe {
            Recipe::Attribute(name) => {
                self.attributes.push(format!("stated.attributes -> '{name}'"));
                Place { source: Source::Attributes, index: self.attributes.len() - 1 }
            }
            Recipe::Events { aggregate, kinds, window } => {
                let window = window.map(|window| format!("interval '{} microseconds'", window.as_micros()));
                let mut which = vec!["true".to_owned()];
                if !kinds.is_empty() {
                    let kinds: Vec<String> =
                        kinds.iter().map(|kind: &EventKind| format!("'{}'", kind.as_str())).collect();
                    which.push(format!("happened.kind in ({})", kinds.join(", ")));
                }
                if let Some(window) = &window {
                    which.push(format!("happened.event_time > asked.as_of - {window}"));
                }
                if let ValueType::Money(currency) = &feature.value_type {
                    which.push(format!("happened.currency_code = '{currency}'"));
                }
                self.events.push(Event { aggregate: *aggregate, which: which.join(" and "), window });
                Place { source: Source::Events, index: self.events.len() - 1 }
            }
        }
    }
}

/// The statement: $1 are ids, $2 each one's moment, $3 each one's end of what was known, $4 whether to say how long the
/// values last. It returns a row per id, in their order: of each source when its newest statement was true, and its
/// values; and, if asked, the next moment at which time alone may change them.
pub(super) fn statement(entity: Entity, recipes: &Recipes) -> String {
    let (attributes, events, next) = (attributes(entity, recipes), events(entity, recipes), next(entity));
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

fn attributes(entity: Entity, recipes: &Recipes) -> String {
    if recipes.attributes.is_empty() {
        return nothing();
    }
    let (statements, key) = statements(entity);
    let values = array(recipes.attributes.iter().cloned());
    format!(
        "select stated.event_time, {values} as feature_values
         from {statements} stated
         where stated.{key} = asked.id and stated.event_time <= asked.as_of
           and stated.known_at < asked.known_at and not stated.retracted
           and not exists (
               select from {statements} higher
               where higher.{key} = stated.{key} and higher.event_time = stated.event_time
                 and higher.revision > stated.revision and higher.revision > 0
                 and higher.known_at < asked.known_at
           )
         order by stated.event_time desc
         limit 1"
    )
}

fn events(entity: Entity, recipes: &Recipes) -> String {
    if recipes.events.is_empty() {
        return nothing();
    }
    let (key, counterpart) = match entity {
        Entity::Customer => ("user_id", "product_id"),
        Entity::Product => ("product_id", "user_id"),
    };
    let values = array(recipes.events.iter().map(|event| aggregate(event, counterpart)));
    let leaves_at = leaves_at(&recipes.events);
    format!(
        "select max(happened.event_time) as event_time, {values} as feature_values, {leaves_at} as leaves_at
         from event_statements happened
         where happened.{key} = asked.id and happened.event_time <= asked.as_of
           and happened.known_at < asked.known_at and not happened.retracted
           and not exists (
               select from event_statements higher
               where higher.user_id = happened.user_id and higher.event_id = happened.event_id
                 and higher.revision > happened.revision and higher.revision > 0
                 and higher.known_at < asked.known_at
           )"
    )
}

/// When the next event leaves a window.
fn leaves_at(events: &[Event]) -> String {
    let leaves = events.iter().filter_map(|Event { which, window, .. }| {
        let window = window.as_ref()?;
        Some(format!("min(happened.event_time + {window}) filter (where $4 and {which})"))
    });
    let leaves: Vec<String> = leaves.collect();
    // `least` takes any number of arguments, and leaves out those that are null.
    if leaves.is_empty() { "null::timestamptz".to_owned() } else { format!("least({})", leaves.join(", ")) }
}

fn aggregate(event: &Event, counterpart: &str) -> String {
    let which = &event.which;
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

fn nothing() -> String {
    "select null::timestamptz as event_time, null::jsonb as feature_values, null::timestamptz as leaves_at"
        .to_owned()
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
