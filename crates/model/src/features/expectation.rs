//! What a feature's values are expected to be like; a refresh holds what it computes from to it.

use serde::{Deserialize, Serialize};

use super::ValueType;

/// What is expected of a feature's values over all entities of a refresh.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// The largest share of entities, of those that the source has a statement of, without a value: 0 to 1.
    pub null_rate: Option<f64>,
    /// The smallest value; amounts in the minor unit.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// The largest number of different texts.
    pub distinct: Option<u32>,
    /// The largest population stability index against the full refresh before; 0.1 is a small shift, 0.25 a large one.
    pub drift: Option<f64>,
    /// What becomes of a refresh that breaches one of them.
    #[serde(default)]
    pub breach: OnBreach,
}

/// What becomes of a refresh whose features are not as expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// It is served, and says so.
    #[default]
    Warn,
    /// It is withheld: readers stay with the generation before.
    Stop,
}

impl Expectations {
    /// Whether a number lies outside of what is expected.
    pub fn excludes(&self, number: f64) -> bool {
        self.min.is_some_and(|min| number < min) || self.max.is_some_and(|max| number > max)
    }

    /// What cannot be expected of values of this type, or of any: the key, and what is wrong with it.
    pub(super) fn problems(&self, value_type: &ValueType) -> Vec<(&'static str, String)> {
        let is_ordered = matches!(value_type, ValueType::Number | ValueType::Count | ValueType::Money(_));
        let mut problems = Vec::new();
        let mut note = |wrong: bool, key: &'static str, reason: String| {
            if wrong {
                problems.push((key, reason));
            }
        };
        let no_share = |share: f64| !(0.0..=1.0).contains(&share);
        note(self.null_rate.is_some_and(no_share), "null_rate", "is not between 0 and 1".to_owned());
        for (key, bound) in [("min", self.min), ("max", self.max)] {
            let reason = format!("is for numbers, counts and amounts, not for a {}", value_type.as_str());
            note(bound.is_some() && !is_ordered, key, reason);
            note(bound.is_some_and(f64::is_nan), key, "is not a number".to_owned());
        }
        let crossed = self.min.zip(self.max).is_some_and(|(min, max)| min > max);
        note(crossed, "max", "is below min".to_owned());
        let not_text = self.distinct.is_some() && *value_type != ValueType::Text;
        note(not_text, "distinct", format!("is for text, not for a {}", value_type.as_str()));
        let too_many = self.distinct.is_some_and(|distinct| distinct > Self::MAX_DISTINCT);
        note(too_many, "distinct", format!("is more than {}", Self::MAX_DISTINCT));
        let no_drift = |drift: f64| !drift.is_finite() || drift <= 0.0;
        note(self.drift.is_some_and(no_drift), "drift", "is not above 0".to_owned());
        problems
    }

    /// As many different texts are told apart for sure.
    pub const MAX_DISTINCT: u32 = 1000;
}

impl OnBreach {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }
}
