//! How a feature is named: `view:feature`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::InvalidField;

/// Names one feature of one view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureRef {
    view: String,
    feature: String,
}

impl FeatureRef {
    /// Names a feature.
    pub fn new(view: impl Into<String>, feature: impl Into<String>) -> Self {
        Self { view: view.into(), feature: feature.into() }
    }

    /// Reads `view:feature`.
    ///
    /// # Errors
    /// When there is no colon, or nothing on one side of it.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        match raw.split_once(':') {
            Some((view, feature)) if !view.is_empty() && !feature.is_empty() => Ok(Self::new(view, feature)),
            _ => Err(InvalidField::new("features", format!("names {raw:?}, which is not view:feature"))),
        }
    }

    /// The view's name.
    pub fn view(&self) -> &str {
        &self.view
    }

    /// The feature's name within the view.
    pub fn feature(&self) -> &str {
        &self.feature
    }
}

impl fmt::Display for FeatureRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.view, self.feature)
    }
}

impl TryFrom<String> for FeatureRef {
    type Error = InvalidField;

    fn try_from(raw: String) -> Result<Self, InvalidField> {
        Self::parse(&raw)
    }
}

impl From<FeatureRef> for String {
    fn from(reference: FeatureRef) -> String {
        reference.to_string()
    }
}
