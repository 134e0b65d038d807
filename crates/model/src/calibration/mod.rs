//! From what a scorer computes to a probability that can be taken at its word: of pairs scored 0.3, three in
//! ten are taken.
//!
//! A map is fitted on rows that neither trained nor are evaluated, and travels in the bundle with the scorer.
//! It reads the logit, not the sigmoid of it, which is 1.0 in f32 from 17 on. Every map rises, so that it never
//! changes an order; where an isotonic one is flat, [`crate::Score`] still orders by the logit.

mod isotonic;
mod platt;

use serde::{Deserialize, Serialize};

pub use isotonic::Isotonic;
pub use platt::Platt;

/// How a logit becomes a probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Calibration {
    /// `σ(logit)`, as training left it.
    #[default]
    None,
    /// `σ(slope · logit + intercept)`.
    Platt(Platt),
    /// Steps with straight lines between, as many as the rows ask for.
    Isotonic(Isotonic),
}

impl Calibration {
    /// The probability of a logit that is a number: in [0, 1], and never falling as the logit rises.
    pub fn probability(&self, logit: f32) -> f32 {
        match self {
            Self::None => sigmoid(logit),
            Self::Platt(map) => map.probability(logit),
            Self::Isotonic(map) => map.probability(logit),
        }
    }

    /// Whether it is [`Calibration::None`].
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows as a scorer may leave them: logits of any size, many of them equal, labels that may run against them.
    fn rows() -> impl Strategy<Value = (Vec<f32>, Vec<bool>)> {
        let logit = prop_oneof![-60f32..60.0, (-4i8..4).prop_map(f32::from), Just(1e30f32), Just(-1e30f32)];
        prop::collection::vec((logit, any::<bool>()), 1..80).prop_map(|rows| rows.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn no_map_ever_falls_or_leaves_the_unit_interval(
            (logits, labels) in rows(),
            mut asked in prop::collection::vec(prop_oneof![-80f32..80.0, -1e38f32..1e38], 2..40),
        ) {
            asked.extend(&logits);
            asked.extend([f32::NEG_INFINITY, f32::INFINITY]);
            asked.sort_by(f32::total_cmp);
            let maps = [
                Calibration::None,
                Calibration::Platt(Platt::fit(&logits, &labels)),
                Calibration::Isotonic(Isotonic::fit(&logits, &labels).unwrap()),
            ];

            for map in maps {
                let found: Vec<f32> = asked.iter().map(|&logit| map.probability(logit)).collect();

                prop_assert!(found.is_sorted(), "{map:?} gives {found:?}");
                prop_assert!(found.iter().all(|probability| (0.0..=1.0).contains(probability)), "{map:?}");
            }
        }

        #[test]
        fn comes_back_from_json_as_it_was((logits, labels) in rows()) {
            let isotonic = Calibration::Isotonic(Isotonic::fit(&logits, &labels).unwrap());
            for map in [Calibration::None, Calibration::Platt(Platt::fit(&logits, &labels)), isotonic] {
                let json = serde_json::to_string(&map).unwrap();

                prop_assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), map);
            }
        }
    }

    #[test]
    fn a_map_that_falls_or_is_no_map_is_refused_when_read() {
        let error = |json: &str| serde_json::from_str::<Calibration>(json).unwrap_err().to_string();

        let falling = error(r#"{"kind": "platt", "slope": -1.0, "intercept": 0.0}"#);
        let flat = error(r#"{"kind": "platt", "slope": 0.0, "intercept": 0.0}"#);
        let uneven = error(r#"{"kind": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5]}"#);
        let empty = error(r#"{"kind": "isotonic", "logits": [], "probabilities": []}"#);
        let back = error(r#"{"kind": "isotonic", "logits": [1.0, 0.0], "probabilities": [0.1, 0.5]}"#);
        let down = error(r#"{"kind": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5, 0.1]}"#);
        let beyond = error(r#"{"kind": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5, 1.1]}"#);

        assert_eq!(falling, "the slope is -1, it must be finite and above 0");
        assert_eq!(flat, "the slope is 0, it must be finite and above 0");
        assert_eq!(uneven, "there are 2 logits and 1 probabilities, there must be as many, and at least one");
        assert_eq!(empty, "there are 0 logits and 0 probabilities, there must be as many, and at least one");
        assert_eq!(back, "the logits must be finite and rise");
        assert_eq!(down, "the probabilities must lie in [0, 1] and not fall");
        assert_eq!(beyond, "the probabilities must lie in [0, 1] and not fall");
    }
}
