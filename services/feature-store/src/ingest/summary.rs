//! What became of the rows of one stream.

use finrank_contracts::feature::v1;
use finrank_model::Statement;

use super::Ingested;

/// The most rejected rows that are named; beyond it they are only counted.
const MAX_REJECTIONS: usize = 1000;

/// How much of a rejected row's id, field and reason is repeated.
const MAX_CHARACTERS: usize = 256;

/// Counts over a stream so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    rejections: Vec<v1::RejectedRow>,
}

impl Summary {
    /// Keeps the valid rows of the next message, and notes why the others are not.
    pub(super) fn check<I: Ingested>(&mut self, rows: Vec<I::Wire>) -> Vec<Statement<I>> {
        let first = self.accepted + self.duplicate + self.rejected;
        let mut valid = Vec::with_capacity(rows.len());
        for (row, wire) in (first..).zip(rows) {
            let id = cut(I::id(&wire));
            match I::check(wire) {
                Ok(statement) => valid.push(statement),
                Err(invalid) => self.reject(v1::RejectedRow {
                    row,
                    id,
                    field: cut(&invalid.field),
                    reason: cut(&invalid.reason),
                }),
            }
        }
        valid
    }

    /// Counts the valid rows of a message once they are written.
    pub(super) fn count(&mut self, valid: u64, accepted: u64) {
        self.accepted += accepted;
        self.duplicate += valid - accepted;
    }

    fn reject(&mut self, row: v1::RejectedRow) {
        self.rejected += 1;
        if self.rejections.len() < MAX_REJECTIONS {
            self.rejections.push(row);
        }
    }
}

/// What a rejected row holds may be of any length, and the answer has to fit into a message.
fn cut(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).collect()
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
