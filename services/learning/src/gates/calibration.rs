//! How far scores are from probabilities.

/// The expected calibration error (Naeini et al. 2015) over bins of equally many scores: the mean over pairs of
/// |mean score − share held| of their bin. Equal scores may fall into two bins.
pub(super) fn error(scores: &[f32], labels: &[bool], bins: usize) -> f64 {
    let mut rows: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    let size = rows.len().div_ceil(bins).max(1);
    let off = rows.chunks(size).map(|bin| gap(bin.iter().copied()).abs() * bin.len() as f64);
    off.sum::<f64>() / rows.len().max(1) as f64
}

/// Mean score less share held; 0 for no rows.
pub(super) fn gap(rows: impl Iterator<Item = (f32, bool)>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for (score, label) in rows {
        sum += f64::from(score) - f64::from(u8::from(label));
        count += 1;
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_two_bins_is_the_one_computed_by_hand() {
        let scores = [0.9, 0.1, 0.8, 0.2];
        let labels = [true, false, false, true];

        // Below: mean score 0.15, share 0.5; above: 0.85 and 0.5.
        assert!((error(&scores, &labels, 2) - 0.35).abs() < 1e-6);
        assert!((error(&scores, &labels, 1) - 0.0).abs() < 1e-6, "over all of them they are right");
        assert_eq!(error(&[], &[], 10), 0.0);
    }
}
