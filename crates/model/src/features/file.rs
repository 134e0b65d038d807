//! From the TOML file to definitions: everything that is wrong with it is told at once, each by its path.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Deserialize;

use super::{
    Aggregate, Definitions, Entity, Expectations, ExpiredPolicy, Feature, FeatureRef, FeatureService,
    FeatureView, Purpose, Recipe, Sensitivity, Source, ValueType,
};
use crate::{AttributeName, EventKind, InvalidField, InvalidFile, Money, Sha256Digest};

/// The version of the format that this program reads.
const FORMAT_VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    purpose: Vec<RawPurpose>,
    #[serde(default)]
    view: Vec<RawView>,
    #[serde(default)]
    service: Vec<RawService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPurpose {
    name: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawView {
    name: String,
    entity: Entity,
    source: Source,
    #[serde(default, with = "humantime_serde")]
    ttl: Option<Duration>,
    #[serde(default)]
    expired: ExpiredPolicy,
    description: String,
    owner: String,
    sensitivity: Sensitivity,
    purposes: Vec<String>,
    #[serde(default)]
    protected_purposes: Vec<String>,
    feature: Vec<RawFeature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFeature {
    name: String,
    description: String,
    #[serde(default)]
    protected: bool,
    attribute: Option<String>,
    #[serde(rename = "type")]
    attribute_type: Option<AttributeType>,
    aggregate: Option<Aggregate>,
    #[serde(default)]
    kinds: Vec<EventKind>,
    #[serde(default, with = "humantime_serde")]
    window: Option<Duration>,
    currency: Option<String>,
    #[serde(default)]
    expect: Expectations,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AttributeType {
    Number,
    Text,
    Flag,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    name: String,
    description: String,
    /// `view:feature`, or `view:*` for all of a view's.
    features: Vec<String>,
}

impl Definitions {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: File = toml::from_str(text)?;
        let mut problems = Problems::default();
        if file.version != FORMAT_VERSION {
            problems.note("version", format!("is {}; this program reads {FORMAT_VERSION}", file.version));
        }
        let purposes = unique(file.purpose, "purpose", |raw| raw.name.clone(), &mut problems)
            .into_iter()
            .map(|(name, raw)| (name, Purpose { description: raw.description }))
            .collect();
        let views = unique(file.view, "view", |raw| raw.name.clone(), &mut problems)
            .into_iter()
            .map(|(name, raw)| (name, view(raw, &purposes, &mut problems)))
            .collect();
        let services = unique(file.service, "service", |raw| raw.name.clone(), &mut problems)
            .into_iter()
            .map(|(name, raw)| (name, service(raw, &views, &mut problems)))
            .collect();
        problems.into_result(Self { digest: Sha256Digest::of(text.as_bytes()), purposes, views, services })
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Problems(Vec<InvalidField>);

impl Problems {
    fn note(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(InvalidField::new(field, reason));
    }

    fn into_result(self, definitions: Definitions) -> Result<Definitions, InvalidFile> {
        if self.0.is_empty() { Ok(definitions) } else { Err(InvalidFile::Problems(self.0)) }
    }
}

/// By name; a name that is malformed or repeated is noted.
fn unique<T>(
    raw: Vec<T>,
    kind: &str,
    name: impl Fn(&T) -> String,
    problems: &mut Problems,
) -> BTreeMap<String, T> {
    let mut by_name = BTreeMap::new();
    for item in raw {
        let name = name(&item);
        check_name(&name, kind, problems);
        if by_name.insert(name.clone(), item).is_some() {
            problems.note(format!("{kind}[{name}]"), "is declared twice");
        }
    }
    by_name
}

fn check_name(name: &str, kind: &str, problems: &mut Problems) {
    if AttributeName::parse(name).is_err() {
        problems.note(format!("{kind}[{name}]"), "has a name that is not [a-z][a-z0-9_]{0,62}");
    }
}

fn view(raw: RawView, purposes: &BTreeMap<String, Purpose>, problems: &mut Problems) -> FeatureView {
    let path = format!("view[{}]", raw.name);
    for purpose in raw.purposes.iter().chain(&raw.protected_purposes) {
        if !purposes.contains_key(purpose) {
            problems.note(format!("{path}.purposes"), format!("names {purpose:?}, which is not declared"));
        }
    }
    for purpose in &raw.protected_purposes {
        if !raw.purposes.contains(purpose) {
            let reason = format!("names {purpose:?}, which the view itself is not served for");
            problems.note(format!("{path}.protected_purposes"), reason);
        }
    }
    if raw.owner.trim().is_empty() {
        problems.note(format!("{path}.owner"), "is empty");
    }
    if raw.feature.is_empty() {
        problems.note(&path, "has no features");
    }
    for (place, feature) in raw.feature.iter().enumerate() {
        if raw.feature[..place].iter().any(|earlier| earlier.name == feature.name) {
            problems.note(format!("{path}.feature[{}]", feature.name), "is declared twice");
        }
    }
    let (source, view_path) = (raw.source, &path);
    let features = raw.feature.into_iter().filter_map(|raw| feature(raw, source, view_path, problems));
    let features = features.collect();
    FeatureView {
        name: raw.name,
        entity: raw.entity,
        source,
        ttl: raw.ttl,
        expired: raw.expired,
        description: raw.description,
        owner: raw.owner,
        sensitivity: raw.sensitivity,
        purposes: raw.purposes,
        protected_purposes: raw.protected_purposes,
        features,
    }
}

fn feature(raw: RawFeature, source: Source, view: &str, problems: &mut Problems) -> Option<Feature> {
    let path = format!("{view}.feature[{}]", raw.name);
    check_name(&raw.name, &format!("{view}.feature"), problems);
    let made = match source {
        Source::Attributes => from_attribute(&raw, &path, problems),
        Source::Events => from_events(&raw, &path, problems),
    };
    let (value_type, recipe) = made?;
    for (key, reason) in raw.expect.problems(&value_type) {
        problems.note(format!("{path}.expect.{key}"), reason);
    }
    Some(Feature {
        name: raw.name,
        description: raw.description,
        protected: raw.protected,
        value_type,
        recipe,
        expect: raw.expect,
    })
}

fn from_attribute(raw: &RawFeature, path: &str, problems: &mut Problems) -> Option<(ValueType, Recipe)> {
    let of_events = raw.aggregate.is_some() || !raw.kinds.is_empty() || raw.window.is_some();
    if of_events || raw.currency.is_some() {
        problems.note(path, "has aggregate, kinds, window or currency, which only events have");
    }
    let Some(attribute_type) = raw.attribute_type else {
        problems.note(format!("{path}.type"), "is missing: number, text or flag");
        return None;
    };
    let attribute = raw.attribute.as_deref().unwrap_or(&raw.name);
    let Ok(attribute) = AttributeName::parse(attribute) else {
        problems
            .note(format!("{path}.attribute"), format!("is {attribute:?}, which no attribute can be named"));
        return None;
    };
    let value_type = match attribute_type {
        AttributeType::Number => ValueType::Number,
        AttributeType::Text => ValueType::Text,
        AttributeType::Flag => ValueType::Flag,
    };
    Some((value_type, Recipe::Attribute(attribute)))
}

fn from_events(raw: &RawFeature, path: &str, problems: &mut Problems) -> Option<(ValueType, Recipe)> {
    if raw.attribute.is_some() || raw.attribute_type.is_some() {
        problems.note(path, "has attribute or type, which follow from the aggregate");
    }
    if raw.window.is_some_and(|window| window.as_micros() == 0 || window > MAX_WINDOW) {
        problems.note(format!("{path}.window"), "is not between a microsecond and a hundred years");
    }
    let Some(aggregate) = raw.aggregate else {
        problems.note(
            format!("{path}.aggregate"),
            "is missing: count, quantity, distinct, amount or latest_time",
        );
        return None;
    };
    let value_type = match (aggregate, &raw.currency) {
        (Aggregate::Amount, Some(currency)) if Money::new(currency.as_str(), 0).is_ok() => {
            ValueType::Money(currency.clone())
        }
        (Aggregate::Amount, _) => {
            problems.note(format!("{path}.currency"), "is not three upper-case letters (ISO 4217)");
            return None;
        }
        (_, Some(_)) => {
            problems.note(format!("{path}.currency"), "is given, but only aggregate = \"amount\" has one");
            return None;
        }
        (Aggregate::LatestTime, None) => ValueType::Time,
        (Aggregate::Count | Aggregate::Quantity | Aggregate::Distinct, None) => ValueType::Count,
    };
    Some((value_type, Recipe::Events { aggregate, kinds: raw.kinds.clone(), window: raw.window }))
}

/// What Postgres can take from any time of ours without leaving its own calendar.
const MAX_WINDOW: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn service(
    raw: RawService,
    views: &BTreeMap<String, FeatureView>,
    problems: &mut Problems,
) -> FeatureService {
    let path = format!("service[{}].features", raw.name);
    let mut features = Vec::new();
    for named in &raw.features {
        match expand(named, views) {
            Ok(expanded) => features.extend(expanded),
            Err(reason) => problems.note(&path, reason),
        }
    }
    for (place, feature) in features.iter().enumerate() {
        if features[..place].contains(feature) {
            problems.note(&path, format!("names {feature} twice"));
        }
    }
    let entities = features.iter().filter_map(|feature: &FeatureRef| Some(views.get(feature.view())?.entity));
    let mut entities: Vec<Entity> = entities.collect();
    entities.dedup();
    if entities.len() > 1 {
        problems.note(&path, "mixes features of customers and products");
    }
    if raw.features.is_empty() {
        problems.note(&path, "is empty");
    }
    FeatureService { description: raw.description, features }
}

/// One feature, or all of a view.
fn expand(named: &str, views: &BTreeMap<String, FeatureView>) -> Result<Vec<FeatureRef>, String> {
    let reference = FeatureRef::parse(named).map_err(|invalid| invalid.reason)?;
    let unknown = |what: &dyn fmt::Display| format!("names {named:?}, and there is no {what}");
    let view = views.get(reference.view()).ok_or_else(|| unknown(&format!("view {}", reference.view())))?;
    if reference.feature() == "*" {
        return Ok(view
            .features
            .iter()
            .map(|feature| FeatureRef::new(&*view.name, &*feature.name))
            .collect());
    }
    match view.feature(reference.feature()) {
        Some(_) => Ok(vec![reference]),
        None => Err(unknown(&format!("such feature in {}", view.name))),
    }
}
