//! From the TOML file to a policy: everything that is wrong with it is told at once, each by its path.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

use super::{
    CalibrationBound, DriftBound, FairnessBound, Forbidden, Policy, ProtectedAttribute, QualityBound,
    SelectedFor,
};
use crate::{AttributeName, InvalidField, InvalidFile, ProductClass, Sha256Digest};

/// The version of the format that this program reads.
const FORMAT_VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(with = "humantime_serde")]
    valid_for: Duration,
    min_customers: usize,
    quality: Quality,
    calibration: Calibration,
    fairness: Fairness,
    drift: Drift,
    #[serde(default)]
    protected: Vec<Protected>,
    #[serde(default)]
    forbidden: Vec<RawForbidden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quality {
    margin: f64,
    confidence: f64,
    resamples: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calibration {
    max_error: f64,
    bins: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fairness {
    places: usize,
    selected_for: SelectedFor,
    min_selection_ratio: f64,
    max_true_positive_gap: f64,
    max_calibration_gap: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drift {
    max_psi: f64,
    bins: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    attribute: String,
    #[serde(default)]
    bands: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForbidden {
    product_classes: Vec<ProductClass>,
    features: Vec<String>,
    reason: String,
}

impl Policy {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: File = toml::from_str(text)?;
        let problems = problems(&file);
        if !problems.is_empty() {
            return Err(InvalidFile::Problems(problems));
        }
        let File { quality, calibration, fairness, drift, .. } = file;
        let protected = file.protected.into_iter().map(|raw| {
            let attribute = AttributeName::parse(raw.attribute)?;
            Ok(ProtectedAttribute { attribute, bands: raw.bands })
        });
        let protected =
            protected.collect::<Result<_, _>>().map_err(|invalid| InvalidFile::Problems(vec![invalid]))?;
        let forbidden = file.forbidden.into_iter().map(|raw| Forbidden {
            product_classes: raw.product_classes,
            features: raw.features,
            reason: raw.reason,
        });
        Ok(Self {
            digest: Sha256Digest::of(text.as_bytes()),
            text: text.to_owned(),
            valid_for: file.valid_for,
            min_customers: file.min_customers,
            quality: QualityBound {
                margin: quality.margin,
                confidence: quality.confidence,
                resamples: quality.resamples,
            },
            calibration: CalibrationBound { max_error: calibration.max_error, bins: calibration.bins },
            fairness: FairnessBound {
                places: fairness.places,
                selected_for: fairness.selected_for,
                min_selection_ratio: fairness.min_selection_ratio,
                max_true_positive_gap: fairness.max_true_positive_gap,
                max_calibration_gap: fairness.max_calibration_gap,
            },
            drift: DriftBound { max_psi: drift.max_psi, bins: drift.bins },
            protected,
            forbidden: forbidden.collect(),
        })
    }
}

fn problems(file: &File) -> Vec<InvalidField> {
    let mut problems = Vec::new();
    let mut note = |field: String, reason: String| problems.push(InvalidField::new(field, reason));
    if file.version != FORMAT_VERSION {
        note("version".to_owned(), format!("is {}; this program reads {FORMAT_VERSION}", file.version));
    }
    let File { quality, calibration, fairness, drift, .. } = file;
    let shares = [
        ("quality.margin", quality.margin),
        ("calibration.max_error", calibration.max_error),
        ("fairness.min_selection_ratio", fairness.min_selection_ratio),
        ("fairness.max_true_positive_gap", fairness.max_true_positive_gap),
        ("fairness.max_calibration_gap", fairness.max_calibration_gap),
    ];
    for (field, share) in shares {
        if !(0.0..=1.0).contains(&share) {
            note(field.to_owned(), format!("is {share}, not from 0 to 1"));
        }
    }
    if !(quality.confidence > 0.0 && quality.confidence < 1.0) {
        note("quality.confidence".to_owned(), format!("is {}, not between 0 and 1", quality.confidence));
    }
    if drift.max_psi.is_nan() || drift.max_psi < 0.0 {
        note("drift.max_psi".to_owned(), format!("is {}, not 0 or more", drift.max_psi));
    }
    let counts = [
        ("min_customers", file.min_customers, 1, usize::MAX),
        // Fewer say little of the ends of an interval, more take long.
        ("quality.resamples", quality.resamples, 100, 100_000),
        ("calibration.bins", calibration.bins, 2, 1_000),
        ("fairness.places", fairness.places, 1, 1_000),
        ("drift.bins", drift.bins, 2, 1_000),
    ];
    for (field, count, least, most) in counts {
        if !(least..=most).contains(&count) {
            note(field.to_owned(), format!("is {count}, not {least} to {most}"));
        }
    }
    let mut seen = BTreeSet::new();
    for protected in &file.protected {
        let path = format!("protected[{}]", protected.attribute);
        if let Err(invalid) = AttributeName::parse(&protected.attribute) {
            note(format!("{path}.attribute"), invalid.reason);
        }
        if !seen.insert(&protected.attribute) {
            note(path.clone(), "is there twice".to_owned());
        }
        if protected.bands.iter().any(|band| !band.is_finite())
            || !protected.bands.is_sorted_by(|one, next| one < next)
        {
            note(format!("{path}.bands"), "is not ascending".to_owned());
        }
    }
    for (place, forbidden) in file.forbidden.iter().enumerate() {
        let path = format!("forbidden[{place}]");
        if forbidden.product_classes.is_empty() {
            note(format!("{path}.product_classes"), "is empty".to_owned());
        }
        if forbidden.features.is_empty() {
            note(format!("{path}.features"), "is empty".to_owned());
        }
        if forbidden.reason.trim().is_empty() {
            note(format!("{path}.reason"), "is empty".to_owned());
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DEFAULT_POLICY;

    fn refusal(from: &str, to: &str) -> String {
        let text = DEFAULT_POLICY.replacen(from, to, 1);
        assert_ne!(text, DEFAULT_POLICY);
        Policy::parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_policy_is_one() {
        let policy = Policy::parse(DEFAULT_POLICY).unwrap();

        assert_eq!(policy.fairness.min_selection_ratio, 0.8);
        assert_eq!(policy.valid_for, Duration::from_secs(24 * 3600));
        assert_eq!(policy.digest, Sha256Digest::of(DEFAULT_POLICY.as_bytes()));
    }

    #[test]
    fn an_unknown_key_is_refused_and_so_is_one_that_is_missing() {
        assert!(refusal("margin =", "magrin =").contains("magrin"));
        assert!(refusal("max_psi = 0.25\n", "").contains("max_psi"));
    }

    #[test]
    fn everything_out_of_range_is_told_at_once() {
        let text = DEFAULT_POLICY
            .replacen("margin = 0.01", "margin = -1.0", 1)
            .replacen("places = 5", "places = 0", 1)
            .replacen("bands = [30, 45, 60]", "bands = [45, 30]", 1);

        let refusal = Policy::parse(&text).unwrap_err().to_string();

        let expected = "quality.margin is -1, not from 0 to 1\n\
                        fairness.places is 0, not 1 to 1000\n\
                        protected[age].bands is not ascending";
        assert_eq!(refusal, expected);
    }

    #[test]
    fn the_policy_of_the_caravan_data_is_the_shipped_one_but_for_how_ages_are_told() {
        let caravan = include_str!("../../../../benches/evaluation/caravan-promotion.toml");
        let [caravan, shipped] = [caravan, DEFAULT_POLICY].map(|text| Policy::parse(text).unwrap());

        let protected: Vec<_> = caravan.protected.iter().map(|each| each.attribute.as_str()).collect();

        assert_eq!(protected, ["age_band"]);
        let of_shipped = Policy {
            protected: caravan.protected.clone(),
            text: caravan.text.clone(),
            digest: caravan.digest,
            ..shipped
        };
        assert_eq!(of_shipped, caravan);
    }

    #[test]
    fn a_feature_is_forbidden_for_a_class_by_its_own_name() {
        let policy = Policy::parse(DEFAULT_POLICY).unwrap();
        let features = ["age", "marital_status", "profile:sex"];
        let breaches = |classes: &[ProductClass]| {
            let breaches = policy.breaches(features, classes);
            breaches.into_iter().map(|breach| breach.feature).collect::<Vec<_>>()
        };

        assert_eq!(breaches(&[ProductClass::Wealth, ProductClass::Loan]), ["marital_status", "profile:sex"]);
        assert_eq!(breaches(&[ProductClass::Insurance]), [""; 0]);
        let told = policy.breaches(features, &[ProductClass::Loan])[0].to_string();
        assert!(told.starts_with("marital_status may not be used where loan is ranked: no ground"), "{told}");
    }
}
