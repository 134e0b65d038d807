//! Which map makes a scorer's logits probabilities, and its fit on rows that neither trained nor are evaluated.

use finrank_model::{Calibration, Isotonic, Platt};
use serde::{Deserialize, Serialize};

use crate::{LearningError, Result};

/// The kind of map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationMethod {
    /// Scores stay what the cross-entropy made them.
    None,
    /// Two parameters, which a few hundred rows settle.
    #[default]
    Platt,
    /// Any rising line. With less than some thousand rows of each label it follows their chances.
    Isotonic,
}

impl CalibrationMethod {
    /// Fits the map; without rows there is none.
    pub(crate) fn fit(self, logits: &[f32], labels: &[bool]) -> Result<Calibration> {
        if logits.is_empty() {
            return Ok(Calibration::None);
        }
        Ok(match self {
            Self::None => Calibration::None,
            Self::Platt => Calibration::Platt(Platt::fit(logits, labels)),
            Self::Isotonic => {
                Calibration::Isotonic(Isotonic::fit(logits, labels).map_err(LearningError::Calibration)?)
            }
        })
    }
}
