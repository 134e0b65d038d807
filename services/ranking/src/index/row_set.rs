//! A set of an index's rows, laid out as Faiss's `IDSelectorBitmap` reads it.

use super::Row;

/// Which rows of an index may be found. Row `i` is bit `i % 8`, least significant first, of byte `i / 8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSet {
    bits: Vec<u8>,
    rows: usize,
}

impl RowSet {
    /// No row of `rows`.
    pub fn empty(rows: usize) -> Self {
        Self { bits: vec![0; rows.div_ceil(8)], rows }
    }

    /// Every row of `rows`.
    pub fn full(rows: usize) -> Self {
        Self::of(rows, (0..rows).map(Row))
    }

    /// Some rows of `rows`.
    ///
    /// # Panics
    /// When a member is not below `rows`.
    pub fn of(rows: usize, members: impl IntoIterator<Item = Row>) -> Self {
        let mut set = Self::empty(rows);
        for row in members {
            set.insert(row);
        }
        set
    }

    /// Rows as bits, in the layout of this type; bits past the last row count for nothing.
    ///
    /// # Panics
    /// When there are not as many bytes as `rows` need.
    pub fn from_bits(rows: usize, bits: impl Iterator<Item = u8>) -> Self {
        let mut bits: Vec<u8> = bits.collect();
        assert_eq!(bits.len(), rows.div_ceil(8), "a bit for each row");
        if let Some(last) = bits.last_mut()
            && !rows.is_multiple_of(8)
        {
            *last &= (1 << (rows % 8)) - 1;
        }
        Self { bits, rows }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row is not below [`RowSet::universe`].
    pub fn insert(&mut self, row: Row) {
        assert!(row.0 < self.rows, "row {} of {}", row.0, self.rows);
        self.bits[row.0 / 8] |= 1 << (row.0 % 8);
    }

    /// Takes a row out; one that is not in it stays out.
    pub fn remove(&mut self, row: Row) {
        if let Some(byte) = self.bits.get_mut(row.0 / 8) {
            *byte &= !(1 << (row.0 % 8));
        }
    }

    /// Adds another set's rows.
    ///
    /// # Panics
    /// When the sets are of different indexes.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.rows, other.rows, "both sets are of one index");
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine |= theirs;
        }
    }

    /// Keeps the rows that are in both sets.
    ///
    /// # Panics
    /// When the sets are of different indexes.
    pub fn keep(&mut self, other: &Self) {
        assert_eq!(self.rows, other.rows, "both sets are of one index");
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine &= theirs;
        }
    }

    /// Whether a row is in it.
    pub fn contains(&self, row: Row) -> bool {
        self.bits.get(row.0 / 8).is_some_and(|byte| byte >> (row.0 % 8) & 1 == 1)
    }

    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|&byte| byte == 0)
    }

    /// How many rows could be in it: those of the index that it is of.
    pub fn universe(&self) -> usize {
        self.rows
    }

    /// The rows in it, from the lowest on.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        let bytes = self.bits.iter().enumerate().filter(|&(_, &byte)| byte != 0);
        bytes.flat_map(|(place, &byte)| {
            let mut left = byte;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(Row(place * 8 + bit))
            })
        })
    }

    /// Puts in `length` rows from `to` on, of which another set has those `length` from `from` on.
    ///
    /// # Panics
    /// When either reaches past its set.
    pub(super) fn copy_run(&mut self, to: Row, other: &Self, from: Row, length: usize) {
        assert!(to.0 + length <= self.rows && from.0 + length <= other.rows, "a run lies within both sets");
        let mut done = 0;
        while done < length {
            let place = to.0 + done;
            // Up to the end of the byte written to.
            let count = (8 - place % 8).min(length - done);
            let bits = other.eight_bits(from.0 + done) & (0xff >> (8 - count));
            self.bits[place / 8] |= bits << (place % 8);
            done += count;
        }
    }

    /// The eight rows from one on; those past the last are not in it.
    fn eight_bits(&self, row: usize) -> u8 {
        let (byte, shift) = (row / 8, row % 8);
        let low = u16::from(self.bits[byte]);
        let high = u16::from(self.bits.get(byte + 1).copied().unwrap_or_default());
        ((high << 8 | low) >> shift) as u8
    }

    /// The bits, for Faiss.
    pub(super) fn bits(&self) -> &[u8] {
        &self.bits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rows_and_members() -> impl Strategy<Value = (usize, BTreeSet<usize>)> {
        (1..70_usize).prop_flat_map(|rows| (Just(rows), prop::collection::btree_set(0..rows, 0..rows)))
    }

    proptest! {
        #[test]
        fn holds_exactly_the_rows_put_in_and_not_taken_out(
            (rows, members) in rows_and_members(),
            removed in prop::collection::btree_set(0..70_usize, 0..20),
        ) {
            let mut set = RowSet::of(rows, members.iter().copied().map(Row));

            for &row in &removed {
                set.remove(Row(row));
            }

            let kept: BTreeSet<usize> = members.difference(&removed).copied().collect();
            prop_assert_eq!(set.len(), kept.len());
            prop_assert_eq!(set.is_empty(), kept.is_empty());
            for row in 0..80 {
                prop_assert_eq!(set.contains(Row(row)), kept.contains(&row));
            }
            prop_assert!(set.iter().map(|row| row.0).eq(kept));
        }

        #[test]
        fn adds_and_keeps_another_sets_rows((rows, members) in rows_and_members(), every in 1..5_usize) {
            let set = RowSet::of(rows, members.iter().copied().map(Row));
            let other = RowSet::of(rows, (0..rows).step_by(every).map(Row));
            let (mut either, mut both) = (set.clone(), set);

            either.add(&other);
            both.keep(&other);

            for row in 0..rows {
                prop_assert_eq!(either.contains(Row(row)), members.contains(&row) || row % every == 0);
                prop_assert_eq!(both.contains(Row(row)), members.contains(&row) && row % every == 0);
            }
        }
    }

    proptest! {
        #[test]
        fn copies_a_run_of_another_set_to_any_place(
            (rows, members) in rows_and_members(),
            from in 0..70_usize,
            to in 0..70_usize,
            length in 0..70_usize,
        ) {
            let from = from.min(rows);
            let length = length.min(rows - from);
            let other = RowSet::of(rows, members.iter().copied().map(Row));
            let mut set = RowSet::empty(140);

            set.copy_run(Row(to), &other, Row(from), length);

            let moved: BTreeSet<usize> =
                members.range(from..from + length).map(|row| row - from + to).collect();
            prop_assert!(set.iter().map(|row| row.0).eq(moved));
        }
    }

    #[test]
    fn is_made_of_bits_and_takes_none_past_the_last_row() {
        let set = RowSet::from_bits(10, [0b1000_0001, 0b1111_1110].into_iter());

        assert_eq!(set, RowSet::of(10, [0, 7, 9].map(Row)));
    }

    #[test]
    fn a_full_set_has_no_bits_past_its_last_row() {
        assert_eq!(RowSet::full(13).len(), 13);
        assert_eq!(RowSet::full(13).bits(), [0xff, 0x1f]);
        assert!(RowSet::full(0).is_empty());
    }
}
