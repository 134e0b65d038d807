//! Feature views: which features there are, what they are made of, and who may see them for what.
//!
//! They are declared in one versioned TOML file, read by [`Definitions::parse`], which reports everything that is
//! wrong with it at once. What a feature's value is at a moment follows from its [`Recipe`] and the statements that
//! were known; the store turns recipes into SQL, and serving and training sets share that SQL.

mod definitions;
mod diff;
mod expectation;
mod file;
mod reference;
mod row;
mod set;

pub use definitions::{
    Aggregate, Definitions, Entity, ExpiredPolicy, Feature, FeatureService, FeatureView, Purpose, Recipe,
    Sensitivity, Source, ValueType, duration_in_words,
};
pub use diff::{Change, diff};
pub use expectation::{Expectations, OnBreach};
pub use reference::FeatureRef;
pub use row::FeatureRow;
pub use set::{FeatureDefinition, FeatureSet, ProtectedFeatures, UnusableFeatures};
