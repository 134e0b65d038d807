//! What features are like: summarised by each refresh, held to what is expected of them, and kept as history.
//!
//! Each partition of a refresh is summarised where it is written ([`Summariser`]), and the summaries of all partitions
//! merge into those of the run, in any order to the same result but for the rarest of very many texts. Memory is
//! bounded by the number of features, whatever there is to refresh.

mod breach;
mod drift;
mod freshness;
mod history;
mod numbers;
mod summariser;
mod summary;

pub(crate) use self::{
    breach::{Breach, Expectation, judge},
    freshness::{Freshness, freshness},
    history::{Described, breaches_and_outliers, describe, forget_parts, keep},
    summariser::{PartitionSummary, Summaries, Summariser},
    summary::{FeatureSummary, ViewSummary, as_number},
};
