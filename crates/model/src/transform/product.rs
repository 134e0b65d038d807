//! Products as features: class, issuer, risk grade, attributes and texts, and the product itself as a sparse
//! id, so that a known product has a vector of its own and a new one is placed by what it is.

use serde::{Deserialize, Serialize};

use super::{
    CategoricalTransform, NumericTransform, TableTransform, TextTransform, TransformConfig, table::filled,
    take, vocabulary::Vocabulary,
};
use crate::{Attributes, FeatureRows, Product, ProductId};

/// Fitted on the catalogue at training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductTransform {
    product_class: CategoricalTransform,
    issuer: CategoricalTransform,
    risk_grade: NumericTransform,
    attributes: TableTransform,
    text: TextTransform,
    identity: Vocabulary<ProductId>,
}

impl ProductTransform {
    /// Fits to the products given and to nothing else.
    pub fn fit(products: &[Product], config: &TransformConfig) -> Self {
        let attributes: Vec<&Attributes> = products.iter().map(|product| &product.attributes).collect();
        Self {
            product_class: CategoricalTransform::fit(
                products.iter().map(|product| Some(product.product_class.as_str())),
                config,
            ),
            issuer: CategoricalTransform::fit(products.iter().map(issuer), config),
            risk_grade: NumericTransform::fit(products.iter().map(risk_grade), config),
            attributes: TableTransform::fit(&attributes, config),
            text: TextTransform::new(config),
            identity: products.iter().map(|product| product.product_id.clone()).collect(),
        }
    }

    /// Features `[n, width]`, and each product's own id, none when training did not see it.
    pub fn rows(&self, products: &[Product]) -> FeatureRows {
        FeatureRows {
            dense: filled(products, self.width(), |product, features| {
                self.write(product, features);
            }),
            sparse: products
                .iter()
                .map(|product| self.identity.id(&product.product_id).into_iter().collect())
                .collect(),
        }
    }

    fn write(&self, product: &Product, features: &mut [f32]) {
        let mut rest = features;
        self.product_class
            .write(Some(product.product_class.as_str()), take(&mut rest, self.product_class.width()));
        self.issuer.write(issuer(product), take(&mut rest, self.issuer.width()));
        self.risk_grade.write(risk_grade(product), take(&mut rest, self.risk_grade.width()));
        self.attributes.write(&product.attributes, take(&mut rest, self.attributes.width()));
        let text = format!("{} {}", product.name, product.description);
        self.text.write(&text, take(&mut rest, self.text.width()));
    }

    /// How many dense features a product has.
    pub fn width(&self) -> usize {
        self.product_class.width()
            + self.issuer.width()
            + self.risk_grade.width()
            + self.attributes.width()
            + self.text.width()
    }

    /// How many products have a vector of their own.
    pub fn vocabulary_len(&self) -> usize {
        self.identity.len()
    }

    /// What it reads, in order.
    pub fn feature_names(&self) -> Vec<String> {
        ["product_class", "issuer", "risk_grade"]
            .into_iter()
            .chain(self.attributes.feature_names())
            .chain(["text", "product_id"])
            .map(str::to_owned)
            .collect()
    }
}

fn issuer(product: &Product) -> Option<&str> {
    Some(product.issuer.as_str()).filter(|issuer| !issuer.is_empty())
}

fn risk_grade(product: &Product) -> Option<f64> {
    product.risk_grade.map(|grade| grade.get().into())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{ProductClass, ProductDraft, ProductStatus, RiskGrade};

    fn draft(id: &str) -> ProductDraft {
        ProductDraft {
            product_id: ProductId::parse(id).unwrap(),
            product_class: ProductClass::Wealth,
            name: "Bond fund".to_owned(),
            description: "Lends to governments.".to_owned(),
            issuer: "Aster".to_owned(),
            risk_grade: Some(RiskGrade::new(2).unwrap()),
            status: ProductStatus::Active,
            attributes: Attributes::default(),
            event_time: DateTime::UNIX_EPOCH,
        }
    }

    fn fitted() -> ProductTransform {
        let grades = [1, 2, 3, 4, 5].map(|grade| RiskGrade::new(grade).unwrap());
        let products: Vec<Product> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .zip(grades)
            .map(|(id, grade)| ProductDraft { risk_grade: Some(grade), ..draft(id) }.check().unwrap())
            .collect();
        ProductTransform::fit(&products, &TransformConfig::default())
    }

    #[test]
    fn a_known_product_has_its_own_id_and_a_new_one_has_none() {
        let rows = fitted().rows(&[draft("b").check().unwrap(), draft("new").check().unwrap()]);

        assert_eq!(rows.sparse, [vec![1], vec![]]);
        assert_eq!(rows.dense.row(0), rows.dense.row(1), "they are described alike");
    }

    #[test]
    fn everything_that_describes_a_product_changes_its_row() {
        let card = ProductClass::CreditCard;
        let grade = Some(RiskGrade::new(5).unwrap());
        let others = [
            ProductDraft { product_class: card, ..draft("b") },
            ProductDraft { issuer: "Birch".to_owned(), ..draft("b") },
            ProductDraft { risk_grade: grade, ..draft("b") },
            ProductDraft { name: "Share fund".to_owned(), ..draft("b") },
            ProductDraft { description: "Owns companies.".to_owned(), ..draft("b") },
        ];
        let transform = fitted();
        let base = transform.rows(&[draft("b").check().unwrap()]).dense;

        for other in others {
            let other = other.check().unwrap();

            assert_ne!(transform.rows(std::slice::from_ref(&other)).dense, base, "{other:?}");
        }
    }

    #[test]
    fn whether_it_may_be_sold_is_no_feature() {
        let withdrawn = ProductDraft { status: ProductStatus::Withdrawn, ..draft("b") };

        let rows = fitted().rows(&[draft("b").check().unwrap(), withdrawn.check().unwrap()]);

        assert_eq!(rows.dense.row(0), rows.dense.row(1));
    }
}
