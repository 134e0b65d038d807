//! Feature values at any moment, from the statements that were known by then.
//!
//! [`FeaturePlan::compile`] turns features into one SQL statement, however many views they come from; it is asked
//! with entities, each with the moment whose values are wanted and the moment up to which statements count as
//! known. Serving, `as of` and training sets are that one statement with different moments, and cannot differ.
//!
//! A statement counts if its `event_time` is not after the moment and its `known_at` is before what was known; of
//! those, corrections and retractions decide as everywhere (see the migration that makes them).

mod plan;
mod range;
mod read;
mod sql;
mod towers;

pub use plan::{Denial, FeaturePlan, PlanKey};
pub use range::{Believed, InRange};
pub use read::{Asked, FeatureStatus, FeatureValue, LastingRow, Value};
pub use towers::TowerFeatures;
