//! The fits beside scikit-learn's on one small table.
//!
//! The numbers are those of scikit-learn 1.9: `IsotonicRegression(out_of_bounds="clip")` and the sigmoid of
//! `CalibratedClassifierCV`, which is Platt's (`sklearn.calibration._sigmoid_calibration`).

#![allow(clippy::unwrap_used)]

use finrank_model::{Calibration, Isotonic, Platt};

const LOGITS: [f32; 20] = [
    -3.5, -2.25, -2.25, -1.5, -1.0, -0.75, -0.5, -0.125, 0.0, 0.25, 0.5, 0.5, 1.0, 1.25, 1.75, 2.0, 2.5, 3.0,
    3.25, 4.0,
];
const LABELS: [u8; 20] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1];
const ASKED: [f32; 18] =
    [-5.0, -3.5, -3.0, -2.25, -2.0, -1.2, -0.6, 0.1, 0.3, 0.5, 0.9, 1.1, 1.5, 2.2, 2.75, 3.1, 3.25, 9.0];

fn labels() -> Vec<bool> {
    LABELS.iter().map(|&label| label == 1).collect()
}

fn assert_gives(calibration: &Calibration, expected: [f32; 18], tolerance: f32) {
    for (logit, expected) in ASKED.into_iter().zip(expected) {
        let found = calibration.probability(logit);
        assert!((found - expected).abs() <= tolerance, "{found} instead of {expected} at {logit}");
    }
}

#[test]
fn the_isotonic_fit_is_that_of_scikit_learn() {
    let map = Isotonic::fit(&LOGITS, &labels()).unwrap();

    assert_eq!(map.logits(), [-3.5, -2.25, 0.0, 0.25, 1.25, 1.75, 2.5, 3.0, 4.0]);
    let expected = [0.0, 0.25, 0.25, 0.6, 0.6, 2.0 / 3.0, 2.0 / 3.0, 1.0, 1.0];
    assert_eq!(map.probabilities(), expected);
    let expected = [
        0.0,
        0.0,
        0.1,
        0.25,
        0.25,
        0.25,
        0.25,
        0.39,
        0.6,
        0.6,
        0.6,
        0.6,
        0.633_333_3,
        0.666_666_7,
        0.833_333_4,
        1.0,
        1.0,
        1.0,
    ];
    assert_gives(&Calibration::Isotonic(map), expected, 1e-6);
}

#[test]
fn platts_fit_is_that_of_scikit_learn() {
    let map = Platt::fit(&LOGITS, &labels());

    // scikit-learn stops its optimiser earlier.
    assert!((map.slope() - 0.435_233_99).abs() < 1e-5, "{map:?}");
    assert!((map.intercept() + 0.177_909_09).abs() < 1e-5, "{map:?}");
    let expected = [
        0.086_742_09,
        0.154_304_94,
        0.184_882_61,
        0.239_179_06,
        0.259_536_87,
        0.331_770_13,
        0.391_967_48,
        0.466_454_05,
        0.488_167_5,
        0.509_925_67,
        0.553_247_7,
        0.574_649_9,
        0.616_552_77,
        0.685_595_13,
        0.734_774_7,
        0.763_382_85,
        0.774_971_9,
        0.976_778_85,
    ];
    assert_gives(&Calibration::Platt(map), expected, 1e-5);
}
