//! Which features, for whom and for what: checked, and compiled to SQL once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use finrank_model::{
    InvalidField, Sha256Digest,
    features::{Definitions, Entity, ExpiredPolicy, Feature, FeatureRef, FeatureView, Source, ValueType},
};

use super::sql::{self, Recipes};

/// The most features of one plan.
const MAX_FEATURES: usize = 1000;

/// Features of one entity, ready to be read.
#[derive(Clone, Debug)]
pub struct FeaturePlan {
    key: PlanKey,
    pub(super) sql: Arc<str>,
    pub(super) columns: Vec<Column>,
    pub(super) recipes: Recipes,
    entity: Entity,
    denials: Vec<Denial>,
}

/// What a plan gives: plans of one key give the same values of the same entity at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanKey(Sha256Digest);

/// A feature of a plan, in the order asked.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) reference: FeatureRef,
    pub(super) value_type: ValueType,
    pub(super) ttl: Option<Duration>,
    pub(super) expired: ExpiredPolicy,
    /// Where its values stand among what Postgres returns; nowhere if it is denied.
    pub(super) place: Option<Place>,
}

/// A source's list of values, and which of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) index: usize,
}

/// A feature that the purpose does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which.
    pub feature: FeatureRef,
    /// Whether it is the feature's being protected that forbids it, and not its view.
    pub protected: bool,
    /// What it may be asked for.
    pub allowed: Vec<String>,
}

impl Column {
    fn new(view: &FeatureView, feature: &Feature, expired: ExpiredPolicy, place: Option<Place>) -> Self {
        let reference = FeatureRef::new(&*view.name, &*feature.name);
        Self { reference, value_type: feature.value_type.clone(), ttl: view.ttl, expired, place }
    }

    /// Whether its values are those of the events' recipe of this place.
    pub(super) fn is_over_events_at(&self, index: usize) -> bool {
        self.place.is_some_and(|place| place.source == Source::Events && place.index == index)
    }
}

impl FeaturePlan {
    /// Compiles features, asked for one purpose. `expired` overrides the views' own policies. What the purpose does
    /// not allow is not read at all.
    ///
    /// # Errors
    /// Names what is asked for and not declared, and features of two entities in one request.
    pub fn compile(
        definitions: &Definitions,
        features: &[FeatureRef],
        purpose: &str,
        expired: Option<ExpiredPolicy>,
    ) -> Result<Self, InvalidField> {
        check_purpose(definitions, purpose)?;
        let found = find(definitions, features)?;
        let entity = one_entity(&found)?;
        let mut recipes = Recipes::default();
        let mut denials = Vec::new();
        let columns = found.into_iter().map(|(view, feature)| {
            let place = if view.serves(feature, purpose) {
                Some(recipes.add(feature))
            } else {
                denials.push(denial(view, feature, purpose));
                None
            };
            Column::new(view, feature, expired.unwrap_or(view.expired), place)
        });
        let columns = columns.collect();
        Ok(Self::new(entity, recipes, columns, denials))
    }

    /// Compiles all features of views of one entity, one view after the other, for those who look after the data,
    /// whatever the views' purposes. Values that are too old are flagged.
    pub fn of_views<'d>(entity: Entity, views: impl IntoIterator<Item = &'d FeatureView>) -> Self {
        let mut recipes = Recipes::default();
        let mut column = |view, feature| {
            let place = recipes.add(feature);
            Column::new(view, feature, ExpiredPolicy::Flag, Some(place))
        };
        let columns =
            views.into_iter().flat_map(|view| view.features.iter().map(move |feature| (view, feature)));
        let columns = columns.map(|(view, feature)| column(view, feature)).collect();
        Self::new(entity, recipes, columns, Vec::new())
    }

    fn new(entity: Entity, recipes: Recipes, columns: Vec<Column>, denials: Vec<Denial>) -> Self {
        let sql: Arc<str> = sql::statement(entity, &recipes).into();
        let key = PlanKey(Sha256Digest::of(format!("{sql}{columns:?}").as_bytes()));
        Self { key, sql, columns, recipes, entity, denials }
    }

    /// What it gives.
    pub fn key(&self) -> PlanKey {
        self.key
    }

    /// The same features; a value that is too old is flagged where it would refuse the request.
    #[must_use]
    pub fn flagging_what_it_would_refuse(mut self) -> Self {
        for column in &mut self.columns {
            if column.expired == ExpiredPolicy::Reject {
                column.expired = ExpiredPolicy::Flag;
            }
        }
        Self::new(self.entity, self.recipes, self.columns, self.denials)
    }

    /// Whose features these are.
    pub fn entity(&self) -> Entity {
        self.entity
    }

    /// The features, in the order of each row's values.
    pub fn features(&self) -> impl Iterator<Item = &FeatureRef> {
        self.columns.iter().map(|column| &column.reference)
    }

    /// What the values of each feature are, in the same order.
    pub fn value_types(&self) -> impl Iterator<Item = &ValueType> {
        self.columns.iter().map(|column| &column.value_type)
    }

    /// What the purpose does not allow.
    pub fn denials(&self) -> &[Denial] {
        &self.denials
    }
}

fn check_purpose(definitions: &Definitions, purpose: &str) -> Result<(), InvalidField> {
    if definitions.purposes.contains_key(purpose) {
        return Ok(());
    }
    let declared: Vec<&str> = definitions.purposes.keys().map(String::as_str).collect();
    let said = if purpose.is_empty() { "is missing".to_owned() } else { format!("is {purpose:?}") };
    Err(InvalidField::new("purpose", format!("{said}; declared are {}", declared.join(", "))))
}

fn find<'d>(
    definitions: &'d Definitions,
    features: &[FeatureRef],
) -> Result<Vec<(&'d FeatureView, &'d Feature)>, InvalidField> {
    if !(1..=MAX_FEATURES).contains(&features.len()) {
        let reason = format!("has {} entries, 1 to {MAX_FEATURES} are allowed", features.len());
        return Err(InvalidField::new("features", reason));
    }
    let mut seen = BTreeSet::new();
    let find = |(place, reference): (usize, &FeatureRef)| {
        let at = format!("features[{place}]");
        if !seen.insert(reference.clone()) {
            return Err(InvalidField::new(at, format!("names {reference} a second time")));
        }
        let unknown = || InvalidField::new(at, format!("names {reference}, which is not declared"));
        definitions.feature(reference).ok_or_else(unknown)
    };
    features.iter().enumerate().map(find).collect()
}

fn one_entity(found: &[(&FeatureView, &Feature)]) -> Result<Entity, InvalidField> {
    let entity = found[0].0.entity;
    match found.iter().position(|(view, _)| view.entity != entity) {
        None => Ok(entity),
        Some(place) => {
            let (other, first) = (found[place].0.entity.as_str(), entity.as_str());
            let reason = format!("is of a {other}, the first is of a {first}; ask for them apart");
            Err(InvalidField::new(format!("features[{place}]"), reason))
        }
    }
}

fn denial(view: &FeatureView, feature: &Feature, purpose: &str) -> Denial {
    let view_allows = view.purposes.iter().any(|allowed| allowed == purpose);
    let allowed = if feature.protected { &view.protected_purposes } else { &view.purposes };
    Denial {
        feature: FeatureRef::new(&*view.name, &*feature.name),
        protected: feature.protected && view_allows,
        allowed: allowed.clone(),
    }
}
