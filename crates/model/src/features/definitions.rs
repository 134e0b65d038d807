//! The definitions themselves, as every reader sees them: names are unique, and whatever is referred to is there.

use std::{collections::BTreeMap, fmt, time::Duration};

use humantime_serde::re::humantime::format_duration;
use serde::{Deserialize, Serialize};

use super::{Expectations, FeatureRef};
use crate::{AttributeName, EventKind, Sha256Digest};

/// A duration as files write it, in the largest unit that divides it: `90days`, `36h`.
pub fn duration_in_words(duration: Duration) -> String {
    let units = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];
    let whole = |(seconds, _): &(u64, &str)| duration.as_secs().is_multiple_of(*seconds);
    match units.into_iter().find(whole) {
        Some((seconds, unit)) if duration.subsec_nanos() == 0 => {
            format!("{}{unit}", duration.as_secs() / seconds)
        }
        _ => format_duration(duration).to_string(),
    }
}

/// Everything that one file declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Definitions {
    /// The file's SHA-256: which definitions these are.
    pub digest: Sha256Digest,
    /// What features may be asked for, by name.
    pub purposes: BTreeMap<String, Purpose>,
    /// By name.
    pub views: BTreeMap<String, FeatureView>,
    /// By name.
    pub services: BTreeMap<String, FeatureService>,
}

/// What features may be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Purpose {
    /// For people.
    pub description: String,
}

/// Features of one entity from one source, with one owner and one set of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureView {
    /// `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// Whose features.
    pub entity: Entity,
    /// What they are made of.
    pub source: Source,
    /// How old the newest statement may be that a value rests on; absent where age does not matter.
    pub ttl: Option<Duration>,
    /// What becomes of older ones.
    pub expired: ExpiredPolicy,
    /// For people.
    pub description: String,
    /// Whom to ask.
    pub owner: String,
    /// How carefully the values must be kept.
    pub sensitivity: Sensitivity,
    /// The purposes that it is served for.
    pub purposes: Vec<String>,
    /// Those of them that its protected features are served for too.
    pub protected_purposes: Vec<String>,
    /// In the order of the file.
    pub features: Vec<Feature>,
}

/// One feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Unique within its view.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it shows, or stands in for, an attribute that people may not be told apart by.
    pub protected: bool,
    /// What its values are.
    pub value_type: ValueType,
    /// How a value comes about.
    pub recipe: Recipe,
    /// What its values should be like.
    pub expect: Expectations,
}

/// A named set of features, such as what one model asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureService {
    /// For people.
    pub description: String,
    /// In the order in which they are served; all of one entity.
    pub features: Vec<FeatureRef>,
}

/// Whose features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// Customers, by user id.
    Customer,
    /// Products, by product id.
    Product,
}

/// What features are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The latest statement about the entity.
    Attributes,
    /// The events of the entity.
    Events,
}

/// What becomes of values that rest on statements older than the time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiredPolicy {
    /// They are served and said to be too old.
    #[default]
    Flag,
    /// They are left out and said to be too old.
    Null,
    /// The request is refused.
    Reject,
}

/// How carefully values must be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// Anyone may know them.
    Public,
    /// The company's own.
    Internal,
    /// About a person.
    Personal,
    /// About a person, of the special categories of GDPR article 9.
    Special,
}

/// What a feature's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A finite number.
    Number,
    /// A category or free text.
    Text,
    /// Yes or no.
    Flag,
    /// How many.
    Count,
    /// An amount in the minor unit of this currency (ISO 4217).
    Money(String),
    /// A moment.
    Time,
}

/// How a value comes about.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// The attribute of this name; a value of another type than the feature's is as good as none.
    Attribute(AttributeName),
    /// Over the events that happened within the window, its end included and its beginning not.
    Events {
        /// What is computed.
        aggregate: Aggregate,
        /// Of which kinds; empty for all.
        kinds: Vec<EventKind>,
        /// How long the window is; absent for all time.
        window: Option<Duration>,
    },
}

/// In English. Bundles keep these words, so that other ones are another recipe to them.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (aggregate, kinds, window) = match self {
            Self::Attribute(name) => return write!(f, "attribute {name}"),
            Self::Events { aggregate, kinds, window } => (aggregate, kinds, window),
        };
        let what = match aggregate {
            Aggregate::Count => "count",
            Aggregate::Quantity => "quantity",
            Aggregate::Distinct => "distinct counterparts",
            Aggregate::Amount => "amount",
            Aggregate::LatestTime => "latest time",
        };
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = if kinds.is_empty() { "all events".to_owned() } else { kinds.join(", ") };
        let window = window.map(|window| format!(" within {}", duration_in_words(window)));
        write!(f, "{what} of {kinds}{}", window.unwrap_or_default())
    }
}

/// What is computed over events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// How many events.
    Count,
    /// The sum of their quantities.
    Quantity,
    /// How many different products; of a product, different customers.
    Distinct,
    /// The sum of their amounts in the feature's currency.
    Amount,
    /// When the latest of them happened.
    LatestTime,
}

impl Definitions {
    /// The view and the feature that are meant.
    pub fn feature(&self, reference: &FeatureRef) -> Option<(&FeatureView, &Feature)> {
        let view = self.views.get(reference.view())?;
        Some((view, view.feature(reference.feature())?))
    }
}

impl FeatureView {
    /// One of its features.
    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.name == name)
    }

    /// Whether it serves a feature of its own for a purpose.
    pub fn serves(&self, feature: &Feature, purpose: &str) -> bool {
        let allowed = if feature.protected { &self.protected_purposes } else { &self.purposes };
        allowed.iter().any(|allowed| allowed == purpose)
    }
}

impl Entity {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Product => "product",
        }
    }
}

impl Source {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attributes => "attributes",
            Self::Events => "events",
        }
    }
}

impl ExpiredPolicy {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Null => "null",
            Self::Reject => "reject",
        }
    }
}

impl Sensitivity {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
            Self::Special => "special",
        }
    }
}

impl ValueType {
    /// The name in files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Flag => "flag",
            Self::Count => "count",
            Self::Money(_) => "money",
            Self::Time => "time",
        }
    }
}
