//! The median, by which figures are told: one time that other work disturbed does not count.

/// The middle one of some values, the upper of two; there must be one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
