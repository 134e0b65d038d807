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
                let mut which = vec!["true".to_owned()];
                if !kinds.is_empty() {
                    let kinds: Vec<String> =
                        kinds.iter().map(|kind: &EventKind| format!("'{}'", kind.as_str())).collect();
                    which.push(format!("happened.kind in ({})", kinds.join(", ")));
                }
                if let Some(window) = window {
                    let interval = format!("interval '{} microseconds'", window.as_micros());
                    which.push(format!("happened.event_time > asked.as_of - {interval}"));
                }
                if let ValueType::Money(currency) = &feature.value_type {
                    which.push(format!("happened.currency_code = '{currency}'"));
                }
                self.events.push(Event { aggregate: *aggregate, which: which.join(" and ") });
                Place { source: Source::Events, index: self.events.len() - 1 }
            }
        }
    }
}

/// The statement: $1 are ids, $2 each one's moment, $3 each one's end of what was known. It returns a row per id, in
/// their order: of each source when its newest statement was true, and its values.
pub(super) fn statement(entity: Entity, recipes: &Recipes) -> String {
    let (attributes, events) = (attributes(entity, recipes), events(entity, recipes));
    format!(
        "select attributes.event_time, attributes.feature_values, events.event_time, events.feature_values
         from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
              with ordinality as asked (id, as_of, known_at, place)
         left join lateral ({attributes}) as attributes on true
         left join lateral ({events}) as events on true
         order by asked.place"
    )
}

fn attributes(entity: Entity, recipes: &Recipes) -> String {
    if recipes.attributes.is_empty() {
        return nothing();
    }
    let (statements, key) = match entity {
        Entity::Customer => ("customer_statements", "user_id"),
        Entity::Product => ("product_statements", "product_id"),
    };
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
    format!(
        "select max(happened.event_time) as event_time, {values} as feature_values
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
    "select null::timestamptz as event_time, null::jsonb as feature_values".to_owned()
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
