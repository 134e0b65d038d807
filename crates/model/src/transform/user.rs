//! Customers as features: the table of their attributes, and the products they hold as sparse ids.

use serde::{Deserialize, Serialize};

use super::{TableTransform, TransformConfig, table::filled, vocabulary::Vocabulary};
use crate::{Attributes, FeatureRows, ProductId, UserRecord};

/// Fitted on training customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTransform {
    attributes: TableTransform,
    held: Vocabulary<ProductId>,
}

impl UserTransform {
    /// Fits to the records given and to nothing else: what a record does not hold, the vocabulary lacks.
    pub fn fit(users: &[UserRecord], config: &TransformConfig) -> Self {
        let attributes: Vec<&Attributes> = users.iter().map(|user| &user.attributes).collect();
        Self {
            attributes: TableTransform::fit(&attributes, config),
            held: users.iter().flat_map(|user| user.held.iter().cloned()).collect(),
        }
    }

    /// Features `[n, width]`, and the ids of the products held; a product that training did not see is
    /// skipped.
    pub fn rows(&self, users: &[UserRecord]) -> FeatureRows {
        FeatureRows {
            dense: filled(users, self.width(), |user, features| {
                self.attributes.write(&user.attributes, features);
            }),
            sparse: users
                .iter()
                .map(|user| {
                    user.held
                        .iter()
                        .filter_map(|product| self.held.id(product))
                        .collect()
                })
                .collect(),
        }
    }

    /// How many dense features a customer has.
    pub fn width(&self) -> usize {
        self.attributes.width()
    }

    /// How many products may be held.
    pub fn vocabulary_len(&self) -> usize {
        self.held.len()
    }

    /// What it reads, in order: the attributes' names, then `held`.
    pub fn feature_names(&self) -> Vec<String> {
        let history = std::iter::once("held");
        self.attributes
            .feature_names()
            .chain(history)
            .map(str::to_owned)
            .collect()
    }
}
