//! In which order the products count when one of a customer's is drawn.

use std::collections::HashMap;

use finrank_model::ProductId;

use crate::{
    LearningError, Result,
    dataset::{Dataset, ProductIndex},
};

/// A place for each product of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductOrder {
    places: Vec<usize>,
}

impl ProductOrder {
    /// The order of the ids, as `numpy.unique` sorts them.
    pub fn by_id(dataset: &Dataset) -> Self {
        Self { places: (0..dataset.products.len()).collect() }
    }

    /// The order of `ids`, which name each product once; for example that of a table's columns.
    ///
    /// # Errors
    /// Names a product that is missing, unknown, or there twice.
    pub fn of(dataset: &Dataset, ids: &[ProductId]) -> Result<Self> {
        let mut places: HashMap<&ProductId, usize> = HashMap::with_capacity(ids.len());
        for (place, id) in ids.iter().enumerate() {
            if places.insert(id, place).is_some() {
                return Err(wrong(id, "it is there twice"));
            }
        }
        let found = dataset.products.iter().map(|product| {
            let place = places.remove(&product.product_id);
            place.ok_or_else(|| wrong(&product.product_id, "it is missing, and each product needs a place"))
        });
        let found = found.collect::<Result<_>>()?;
        match places.keys().min() {
            Some(id) => Err(wrong(id, "there is no such product")),
            None => Ok(Self { places: found }),
        }
    }

    /// Where a product stands.
    pub(super) fn place(&self, product: ProductIndex) -> usize {
        self.places[product as usize]
    }
}

fn wrong(id: &ProductId, reason: &'static str) -> LearningError {
    LearningError::Setting { name: "product_order", value: format!("wrong at {id}"), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::dataset;

    fn order(ids: &[&str]) -> Result<ProductOrder> {
        let ids: Vec<ProductId> = ids.iter().map(|id| ProductId::parse(*id).unwrap()).collect();
        ProductOrder::of(&dataset(&["a", "b", "c"], &[&["a"]]), &ids)
    }

    #[test]
    fn each_product_has_the_place_of_its_id() {
        let order = order(&["c", "a", "b"]).unwrap();

        assert_eq!([0, 1, 2].map(|product| order.place(product)), [1, 2, 0]);
    }

    #[test]
    fn says_which_product_is_missing_unknown_or_there_twice() {
        let message = |ids: &[&str]| order(ids).unwrap_err().to_string();

        assert!(message(&["a", "b"]).starts_with("product_order is wrong at c: it is missing"));
        assert!(message(&["a", "b", "c", "d"]).contains("wrong at d: there is no such product"));
        assert!(message(&["a", "b", "c", "a"]).contains("wrong at a: it is there twice"));
    }
}
