//! Where the rows of a catalogue lie in an approximate index that was built of an earlier one. Rows that are new, or
//! whose vector has changed, lie beside it and are scanned; what is gone has no row, and so is never let through.
//!
//! Both are in the order of product ids, so that labels and rows go up together: a few changes leave a few long runs,
//! and a filter over rows becomes one over labels by shifting whole words.

use std::borrow::Cow;

use super::{Row, RowSet};

/// Rows that lie one after the other in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    label: usize,
    row: usize,
    length: usize,
}

/// The rows of a catalogue as labels of an index, and those beside it.
#[derive(Clone, Debug)]
pub(super) struct Places {
    runs: Vec<Run>,
    labels: usize,
    /// The rows that the index does not hold.
    side: RowSet,
}

impl Places {
    /// Those of the catalogue that the index was built of: label `i` is row `i`.
    pub(super) fn identity(rows: usize) -> Self {
        let whole = Run { label: 0, row: 0, length: rows };
        Self { runs: vec![whole], labels: rows, side: RowSet::empty(rows) }
    }

    /// Those of a catalogue whose row `i` has the label `places[i]` of `labels`, if any; labels go up.
    pub(super) fn of(labels: usize, places: &[Option<Row>]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut side = RowSet::empty(places.len());
        for (row, place) in places.iter().enumerate() {
            let Some(Row(label)) = *place else {
                side.insert(Row(row));
                continue;
            };
            match runs.last_mut() {
                Some(run) if run.label + run.length == label && run.row + run.length == row => {
                    run.length += 1;
                }
                _ => runs.push(Run { label, row, length: 1 }),
            }
        }
        Self { runs, labels, side }
    }

    /// The rows beside the index.
    pub(super) fn side(&self) -> &RowSet {
        &self.side
    }

    /// How many labels have changed: those of no row, and the rows beside.
    pub(super) fn changed(&self) -> usize {
        let held: usize = self.runs.iter().map(|run| run.length).sum();
        self.labels - held + self.side.len()
    }

    /// The label of a row, if the index holds it.
    pub(super) fn label(&self, row: Row) -> Option<Row> {
        let after = self.runs.partition_point(|run| run.row <= row.0);
        let run = self.runs[..after].last()?;
        let place = row.0 - run.row;
        (place < run.length).then(|| Row(run.label + place))
    }

    /// The row of a label, if there still is one.
    pub(super) fn row(&self, label: Row) -> Option<Row> {
        let after = self.runs.partition_point(|run| run.label <= label.0);
        let run = self.runs[..after].last()?;
        let place = label.0 - run.label;
        (place < run.length).then(|| Row(run.row + place))
    }

    /// A filter over rows as one over labels.
    pub(super) fn labels_of<'rows>(&self, rows: &'rows RowSet) -> Cow<'rows, RowSet> {
        match self.runs[..] {
            [Run { label: 0, row: 0, length }] if length == self.labels && length == rows.universe() => {
                Cow::Borrowed(rows)
            }
            _ => {
                let mut labels = RowSet::empty(self.labels);
                for run in &self.runs {
                    labels.copy_run(Row(run.label), rows, Row(run.row), run.length);
                }
                Cow::Owned(labels)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many labels there are, and of each row its label, if any; labels go up, as those of sorted ids do.
    fn labels_and_places() -> impl Strategy<Value = (usize, Vec<Option<Row>>)> {
        prop::collection::vec(0..4_u8, 0..120).prop_map(|steps| {
            let mut labels = 0;
            let mut places = Vec::new();
            for step in steps {
                match step {
                    // Gone, new, and twice as often unchanged.
                    0 => labels += 1,
                    1 => places.push(None),
                    _ => {
                        places.push(Some(Row(labels)));
                        labels += 1;
                    }
                }
            }
            (labels, places)
        })
    }

    proptest! {
        #[test]
        fn rows_and_labels_lead_to_each_other((labels, places) in labels_and_places(), every in 1..4_usize) {
            let named = Places::of(labels, &places);
            let rows = RowSet::of(places.len(), (0..places.len()).step_by(every).map(Row));

            let filter = named.labels_of(&rows);

            for (row, place) in places.iter().enumerate() {
                prop_assert_eq!(named.label(Row(row)), *place);
                prop_assert_eq!(named.side().contains(Row(row)), place.is_none());
            }
            let mut held = 0;
            for label in (0..labels).map(Row) {
                let row = places.iter().position(|&place| place == Some(label)).map(Row);
                prop_assert_eq!(named.row(label), row);
                prop_assert_eq!(filter.contains(label), row.is_some_and(|row| rows.contains(row)));
                held += usize::from(row.is_some());
            }
            prop_assert_eq!(named.changed(), labels + places.len() - 2 * held);
        }
    }
}
