//! Golden vectors: a few made-up customers and products, and what the model's parts computed of them when it was trained.
//!
//! Whoever reads a bundle computes them again: a program that turns records into features otherwise, or a machine that
//! multiplies otherwise, is found out before it serves. The customers are made up, so that a bundle holds nobody's data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Bundle;
use crate::{
    AttributeValue, Attributes, Embedding, ModelError, Product, ProductClass, ProductDraft, ProductId,
    ProductStatus, RiskGrade, UserId, UserRecord,
    features::{FeatureRow, FeatureSet},
};

/// How far a component or a score may be off, of the larger of 1 and what is expected: what another order of adding
/// some hundred numbers can bring about.
const TOLERANCE: f32 = 1e-5;

/// `golden.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    users: Vec<GoldenUser>,
    products: Vec<GoldenProduct>,
    /// Of each user, the score of each product.
    scores: Vec<Vec<f32>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenUser {
    user_id: UserId,
    attributes: Attributes,
    held: Vec<ProductId>,
    /// What views tell, in the order of the bundle's feature set; empty of a tower that reads no views.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<Option<AttributeValue>>,
    embedding: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenProduct {
    product_id: ProductId,
    product_class: ProductClass,
    name: String,
    description: String,
    issuer: String,
    risk_grade: Option<RiskGrade>,
    attributes: Attributes,
    embedding: Vec<f32>,
}

impl Golden {
    /// Computes what the bundle's parts make of these records.
    pub(super) fn of(
        bundle: &Bundle,
        users: &[UserRecord],
        products: &[Product],
    ) -> Result<Self, ModelError> {
        let set = bundle.user.transform.feature_set();
        let users: Vec<UserRecord> =
            users.iter().map(|user| UserRecord { features: told(set, user), ..user.clone() }).collect();
        let user_embeddings = bundle.user.encode(&users)?;
        let product_embeddings = bundle.product.encode(products)?;
        let scores = user_embeddings.iter().map(|user| scores(bundle, user, &product_embeddings)).collect();
        let users = users.iter().zip(&user_embeddings).map(|(user, embedding)| GoldenUser {
            user_id: user.user_id.clone(),
            attributes: user.attributes.clone(),
            held: user.held.clone(),
            features: set.into_iter().flat_map(|set| values(set, user)).collect(),
            embedding: embedding.as_slice().to_vec(),
        });
        let products = products.iter().zip(&product_embeddings).map(|(product, embedding)| GoldenProduct {
            product_id: product.product_id.clone(),
            product_class: product.product_class,
            name: product.name.clone(),
            description: product.description.clone(),
            issuer: product.issuer.clone(),
            risk_grade: product.risk_grade,
            attributes: product.attributes.clone(),
            embedding: embedding.as_slice().to_vec(),
        });
        Ok(Self { users: users.collect(), products: products.collect(), scores })
    }

    /// Computes everything again and compares.
    ///
    /// # Errors
    /// [`ModelError::Golden`] names the first vector that comes out otherwise, and by how much.
    pub(super) fn verify(&self, bundle: &Bundle) -> Result<(), ModelError> {
        let (users, products) = self.records(bundle)?;
        let found = Self::of(bundle, &users, &products)?;
        for (expected, found) in self.users.iter().zip(&found.users) {
            compare(
                || format!("the embedding of customer {}", expected.user_id),
                &expected.embedding,
                &found.embedding,
            )?;
        }
        for (expected, found) in self.products.iter().zip(&found.products) {
            compare(
                || format!("the embedding of product {}", expected.product_id),
                &expected.embedding,
                &found.embedding,
            )?;
        }
        if self.scores.len() != found.scores.len() {
            return Err(ModelError::shape(
                "golden.json's scores",
                &[found.scores.len()],
                &[self.scores.len()],
            ));
        }
        for ((user, expected), found) in self.users.iter().zip(&self.scores).zip(&found.scores) {
            compare(|| format!("the scores of customer {}", user.user_id), expected, found)?;
        }
        Ok(())
    }

    /// The customers and products, for a bundle that shares this one's towers.
    ///
    /// # Errors
    /// When a product is none.
    pub fn records(&self, bundle: &Bundle) -> Result<(Vec<UserRecord>, Vec<Product>), ModelError> {
        let set = bundle.user.transform.feature_set();
        let products = self.products.iter().map(GoldenProduct::record).collect::<Result<_, _>>()?;
        Ok((self.users.iter().map(|user| user.record(set)).collect(), products))
    }

    /// How many customers and products there are.
    pub fn len(&self) -> usize {
        self.users.len() + self.products.len()
    }

    /// Whether there are none, so that nothing is proven.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What views tell of a customer, in a row of the tower's set; of who was read without them they tell nothing.
fn told(set: Option<&Arc<FeatureSet>>, user: &UserRecord) -> FeatureRow {
    set.map_or_else(FeatureRow::default, |set| set.row(values(set, user)))
}

fn values(set: &Arc<FeatureSet>, user: &UserRecord) -> Vec<Option<AttributeValue>> {
    let features = user.features.is_of(set).then_some(&user.features);
    (0..set.features.len()).map(|place| features?.value(place).cloned()).collect()
}

fn scores(bundle: &Bundle, user: &Embedding, products: &[Embedding]) -> Vec<f32> {
    products.iter().map(|product| bundle.scorer.score(user, product).get()).collect()
}

fn compare(what: impl Fn() -> String, expected: &[f32], found: &[f32]) -> Result<(), ModelError> {
    if expected.len() != found.len() {
        return Err(ModelError::shape(what(), &[expected.len()], &[found.len()]));
    }
    for (place, (&expected, &found)) in expected.iter().zip(found).enumerate() {
        let difference = (expected - found).abs();
        // A difference that is no number is one.
        if difference.is_nan() || difference > TOLERANCE * expected.abs().max(1.0) {
            let vector = format!("{}, component {place}", what());
            return Err(ModelError::Golden { vector, expected, found, difference });
        }
    }
    Ok(())
}

impl GoldenUser {
    fn record(&self, set: Option<&Arc<FeatureSet>>) -> UserRecord {
        UserRecord {
            user_id: self.user_id.clone(),
            attributes: self.attributes.clone(),
            held: self.held.clone(),
            features: set.map_or_else(FeatureRow::default, |set| set.row(self.features.iter().cloned())),
        }
    }
}

impl GoldenProduct {
    fn record(&self) -> Result<Product, ModelError> {
        let draft = ProductDraft {
            product_id: self.product_id.clone(),
            product_class: self.product_class,
            name: self.name.clone(),
            description: self.description.clone(),
            issuer: self.issuer.clone(),
            risk_grade: self.risk_grade,
            status: ProductStatus::Active,
            attributes: self.attributes.clone(),
            event_time: chrono::DateTime::UNIX_EPOCH,
        };
        draft.check().map_err(|invalid| ModelError::malformed(super::GOLDEN_FILE, invalid))
    }
}
