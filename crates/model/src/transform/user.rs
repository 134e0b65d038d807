//! Customers as features: the table of their attributes, values of feature views, and the products they hold as sparse
//! ids.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    FeatureSetTransform, TableTransform, TransformConfig, table::filled, take, vocabulary::Vocabulary,
};
use crate::{
    Attributes, FeatureRows, InputName, ProductId, UserRecord,
    features::{FeatureRow, FeatureSet},
};

/// Fitted on training customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTransform {
    attributes: TableTransform,
    /// Absent where training read no feature service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    features: Option<FeatureSetTransform>,
    held: Vocabulary<ProductId>,
}

impl UserTransform {
    /// Fits to the records given and to nothing else: what a record does not hold, the vocabulary lacks.
    pub fn fit(users: &[UserRecord], config: &TransformConfig) -> Self {
        let attributes: Vec<&Attributes> = users.iter().map(|user| &user.attributes).collect();
        let features: Vec<&FeatureRow> = users.iter().map(|user| &user.features).collect();
        Self {
            attributes: TableTransform::fit(&attributes, config),
            features: FeatureSetTransform::fit(&features, config),
            held: users.iter().flat_map(|user| user.held.iter().cloned()).collect(),
        }
    }

    /// Features `[n, width]`, and the ids of the products held; a product that training did not see is
    /// skipped.
    pub fn rows(&self, users: &[UserRecord]) -> FeatureRows {
        FeatureRows {
            dense: filled(users, self.width(), |user, features| {
                let mut rest = features;
                self.attributes.write(&user.attributes, take(&mut rest, self.attributes.width()));
                if let Some(of_views) = &self.features {
                    of_views.write(&user.features, rest);
                }
            }),
            sparse: users
                .iter()
                .map(|user| user.held.iter().filter_map(|product| self.held.id(product)).collect())
                .collect(),
        }
    }

    /// How many dense features a customer has.
    pub fn width(&self) -> usize {
        self.attributes.width() + self.features.as_ref().map_or(0, FeatureSetTransform::width)
    }

    /// The features of views that records must come with; absent if none are read.
    pub fn feature_set(&self) -> Option<&Arc<FeatureSet>> {
        self.features.as_ref().map(FeatureSetTransform::set)
    }

    /// How many products may be held.
    pub fn vocabulary_len(&self) -> usize {
        self.held.len()
    }

    /// The inputs, each with how many places it has: attributes and features of views by their dense features, then each
    /// product that may be held by its id.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (InputName, usize)> {
        let attributes = self.attributes.widths();
        let of_views = self.features.iter().flat_map(FeatureSetTransform::widths);
        attributes
            .map(|(name, width)| (InputName::Attribute(name.clone()), width))
            .chain(of_views.map(|(reference, width)| (InputName::Feature(reference.clone()), width)))
            .chain(self.held.iter().map(|product| (InputName::Held(product.clone()), 1)))
    }

    /// The attributes that it reads, in order.
    pub fn attribute_names(&self) -> impl Iterator<Item = &str> {
        self.attributes.feature_names()
    }

    /// What it reads, in order: the attributes' names, then `view:feature`, then `held`.
    pub fn feature_names(&self) -> Vec<String> {
        let attributes = self.attributes.feature_names().map(str::to_owned);
        let of_views = self.feature_set().into_iter().flat_map(|set| set.names()).map(ToString::to_string);
        attributes.chain(of_views).chain([InputName::HELD.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    fn holder(products: &[&str]) -> UserRecord {
        UserRecord {
            user_id: UserId::parse("u").unwrap(),
            attributes: Attributes::default(),
            held: products.iter().map(|id| ProductId::parse(id).unwrap()).collect(),
            features: FeatureRow::default(),
        }
    }

    #[test]
    fn products_held_are_ids_and_those_that_training_did_not_see_are_skipped() {
        let training = [holder(&["loan", "card"]), holder(&["card"])];
        let transform = UserTransform::fit(&training, &TransformConfig::default());

        let rows = transform.rows(&[holder(&["card", "fund", "loan"]), holder(&[])]);

        assert_eq!(transform.vocabulary_len(), 2);
        assert_eq!(rows.sparse, [vec![0, 1], vec![]]);
    }

    #[test]
    fn customers_of_whom_only_the_history_is_known_have_rows_without_columns() {
        let transform = UserTransform::fit(&[holder(&["card"])], &TransformConfig::default());

        assert_eq!(transform.rows(&[holder(&["card"])]).dense.dim(), (1, 0));
        assert_eq!(transform.feature_names(), ["held"]);
    }
}
