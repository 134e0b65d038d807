//! How far two distributions lie apart.

/// What an empty bin's share is taken for, so that the index stays finite.
pub const EMPTY_SHARE: f64 = 1e-4;

/// The population stability index of the shares that were expected and that are found, bin by bin:
///
/// PSI = Σ (a − e) · ln(a / e) (Siddiqi, Credit Risk Scorecards, 2006). Below 0.1 it is usually taken for none, above
/// 0.25 for much.
pub fn stability_index(shares: impl IntoIterator<Item = [f64; 2]>) -> f64 {
    let term = |[expected, actual]: [f64; 2]| {
        let (expected, actual) = (expected.max(EMPTY_SHARE), actual.max(EMPTY_SHARE));
        (actual - expected) * (actual / expected).ln()
    };
    shares.into_iter().map(term).sum()
}
