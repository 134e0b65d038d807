//! How a search is made: exactly while few rows may be found, approximately where that was measured to be good enough
//! and reads less.

use super::{
    approximate::{Approximate, ApproximateKind, Effort},
    recall::Setting,
};

/// How one search was made, for whoever debugs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The way that the answer was found.
    pub method: Method,
    /// How many rows might have been found.
    pub eligible: usize,
    /// The share of the exact answer that such a search finds, as measured when the index was built; 1 for an exact one.
    pub expected_recall: f64,
    /// How many rows were found.
    pub returned: usize,
}

/// A way to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each row that may be found is read, and no other.
    ExactScan,
    /// Every row is read, and those that may not be found are left out.
    FilteredFlat,
    /// An approximate index was searched under the filter.
    Approximate {
        /// Of this kind.
        kind: ApproximateKind,
        /// With this effort.
        effort: Effort,
    },
    /// An approximate index gave back fewer rows than there are, and so each row that may be found was read after all.
    ExactAfterApproximate {
        /// Of this kind.
        kind: ApproximateKind,
        /// With this effort.
        effort: Effort,
    },
}

impl Method {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactScan => "exact-scan",
            Self::FilteredFlat => "filtered-flat",
            Self::Approximate { kind, .. } => kind.name(),
            Self::ExactAfterApproximate { .. } => "exact-after-approximate",
        }
    }
}

/// What a row costs that is read for itself, where one that is read in its turn costs 1: of 100,000 products of which a
/// tenth is eligible 34 ns, beside 7.
const SCATTERED: usize = 5;
/// What a row of a list costs, with asking the filter for it.
const LISTED: usize = 3;

/// The exact way that costs less.
pub(super) fn exact(eligible: usize, rows: usize) -> Method {
    if eligible * SCATTERED > rows { Method::FilteredFlat } else { Method::ExactScan }
}

/// The setting of an approximate search for `k` of the `eligible` labels, where one was measured to reach the target
/// and costs less than the exact way.
pub(super) fn approximate(index: &Approximate, k: usize, eligible: usize, target: f64) -> Option<Setting> {
    if k > index.recall.depth {
        return None;
    }
    let setting = index.recall.setting(eligible, index.labels(), target)?;
    let of_each = match index.kind {
        ApproximateKind::Hnsw => SCATTERED,
        ApproximateKind::Ivf | ApproximateKind::IvfSq8 => LISTED,
    };
    let exactly = index.labels().min(eligible * SCATTERED);
    (index.reads(setting.effort) * of_each < exactly).then_some(setting)
}
