//! What became of the rows of one stream.

use finrank_contracts::feature::v1;

use super::Written;

/// The most rejected rows that are named; beyond it they are only counted.
const MAX_REJECTIONS: usize = 1000;

/// Counts over a stream so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    rejections: Vec<v1::RejectedRow>,
}

impl Summary {
    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.accepted + self.duplicate + self.rejected
    }

    /// Counts the rows of the next message.
    pub(super) fn add(&mut self, written: Written) {
        for result in written.results {
            match result {
                v1::RowResult::Accepted => self.accepted += 1,
                v1::RowResult::Duplicate => self.duplicate += 1,
                v1::RowResult::Rejected | v1::RowResult::Unspecified => self.rejected += 1,
            }
        }
        let room = MAX_REJECTIONS - self.rejections.len();
        self.rejections.extend(written.rejections.into_iter().take(room));
    }
}

impl From<Summary> for v1::WriteSummary {
    fn from(summary: Summary) -> Self {
        Self {
            accepted: summary.accepted,
            duplicate: summary.duplicate,
            rejected: summary.rejected,
            rejections: summary.rejections,
        }
    }
}
