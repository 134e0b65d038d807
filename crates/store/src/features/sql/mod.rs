//! Recipes as SQL: one subquery per source, each giving when its newest statement was true and a JSON array of values;
//! lateral ones where each entity has moments of its own, and one pass over the events of a range of ids where all have
//! the same. What goes into the text is checked by the types that it comes from: attribute names are `[a-z][a-z0-9_]*`,
//! currencies three letters, kinds and windows our own.

mod events;

use std::fmt::Write as _;

use finrank_model::{
    AttributeName,
    features::{Aggregate, Entity, Feature, Recipe, Source, ValueType},
};

use self::events::{Event, aggregate, events, happened, keys};
use super::plan::Place;

/// Postgres takes at most 100 arguments in a call.
const ARRAY_ARGUMENTS: usize = 100;

/// What the values so far are made of, by source.
#[derive(Clone, Debug, Default)]
pub(super) struct Recipes {
    pub(super) attributes: Vec<AttributeName>,
    events: Vec<Event>,
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
                let currency = match &feature.value_type {
                    ValueType::Money(currency) => Some(currency.clone()),
                    _ => None,
                };
                let kinds = kinds.clone();
                self.events.push(Event { aggregate: *aggregate, kinds, currency, window: *window });
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
             ({})
         ) as ahead",
        events::next(entity)
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
    let (key, _) = keys(entity);
    let mut columns = String::new();
    for event in &recipes.events {
        let cast = if event.aggregate == Aggregate::Amount { "::text" } else { "" };
        let _ = write!(columns, ", {}{cast}", aggregate(event, reading));
    }
    let which = happened(reading);
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

impl Reading {
    /// The condition on a key.
    fn whose(self, key: &str) -> String {
        match self.whose {
            Whose::Asked => format!("{key} = asked.id"),
            Whose::Range => format!("{key} between $3 and $4"),
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
