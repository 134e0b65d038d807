//! Small entities for this crate's unit tests.

use chrono::DateTime;
use finrank_model::{
    Attributes, Product, ProductClass, ProductDraft, ProductId, ProductStatus, UserId, UserRecord,
    features::FeatureRow,
};

use crate::dataset::{Acquisitions, Dataset};

/// A customer without attributes.
pub(crate) fn user(id: &str, held: &[&str]) -> UserRecord {
    UserRecord {
        user_id: UserId::parse(id).unwrap(),
        attributes: Attributes::default(),
        held: held.iter().map(|id| ProductId::parse(id).unwrap()).collect(),
        features: FeatureRow::default(),
    }
}

/// An insurance product named by its id.
pub(crate) fn product(id: &str) -> Product {
    ProductDraft {
        product_id: ProductId::parse(id).unwrap(),
        product_class: ProductClass::Insurance,
        name: id.to_owned(),
        description: String::new(),
        issuer: String::new(),
        risk_grade: None,
        status: ProductStatus::Active,
        attributes: Attributes::default(),
        event_time: DateTime::UNIX_EPOCH,
    }
    .check()
    .unwrap()
}

/// A data set of customers `u000`, `u001`, … who hold products of the catalogue `a`, `b`, ….
pub(crate) fn dataset(catalogue: &[&str], held: &[&[&str]]) -> Dataset {
    let users = held.iter().enumerate().map(|(index, held)| user(&format!("u{index:03}"), held)).collect();
    let products = catalogue.iter().map(|id| product(id)).collect();
    Dataset::clean(users, products, &Acquisitions::new()).unwrap()
}
