//! What an import did, and how it tells on the way.

use std::{ops::AddAssign, path::PathBuf};

use serde::Serialize;

/// What became of the rows of one kind; the three add up to the rows read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows that changed the store.
    pub accepted: u64,
    /// Rows that were already known.
    pub duplicate: u64,
    /// Rows that are not valid; the rejects file says why.
    pub rejected: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
    }
}

/// What became of all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Customers.
    pub customers: Counts,
    /// Products.
    pub products: Counts,
    /// Events.
    pub events: Counts,
    /// The files that keep the rejected rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<PathBuf>,
}

impl ImportReport {
    /// Rows that are not valid.
    pub fn rejected(&self) -> u64 {
        self.customers.rejected + self.products.rejected + self.events.rejected
    }

    /// Whether the store has changed.
    pub fn is_news(&self) -> bool {
        self.customers.accepted + self.products.accepted + self.events.accepted > 0
    }
}

/// Listens to an import. `()` listens to nothing.
pub trait ImportObserver {
    /// Reading of a part begins: what it is, and how many units (bytes of a file, rows of a generator) it has.
    fn begin(&mut self, _what: &str, _units: u64) {}

    /// So many of its units are read and loaded.
    fn reached(&mut self, _units: u64) {}
}

impl ImportObserver for () {}
