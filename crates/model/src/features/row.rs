//! What views say of one customer at one moment.

use std::{fmt, sync::Arc};

use super::FeatureSet;
use crate::AttributeValue;

/// Values of a set's features at one moment, of one customer.
#[derive(Clone, Default, PartialEq)]
pub struct FeatureRow {
    /// Rows of one reading share it.
    set: Option<Arc<FeatureSet>>,
    values: Vec<Option<AttributeValue>>,
}

impl FeatureRow {
    /// As many values as the set has features.
    pub(super) fn new(set: Arc<FeatureSet>, values: Vec<Option<AttributeValue>>) -> Self {
        Self { set: Some(set), values }
    }

    /// What the values are of; absent of a record that was read without features.
    pub fn set(&self) -> Option<&Arc<FeatureSet>> {
        self.set.as_ref()
    }

    /// One of the values, by its place in the set.
    pub fn value(&self, place: usize) -> Option<&AttributeValue> {
        self.values.get(place)?.as_ref()
    }

    /// Whether these are values of that set.
    pub fn is_of(&self, set: &Arc<FeatureSet>) -> bool {
        self.set.as_ref().is_some_and(|own| Arc::ptr_eq(own, set) || own == set)
    }
}

/// The values alone: the set is the same for millions of rows.
impl fmt::Debug for FeatureRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.values).finish()
    }
}
