//! What a model must beat, computed from the same holdings: popularity, item-kNN by cosine, and EASE.

mod ease;

use std::collections::BTreeMap;

pub use self::ease::Ease;
use crate::dataset::ProductIndex;

/// Scores each product by how many customers are seen to hold it.
#[derive(Clone, Debug)]
pub struct Popularity {
    holders: Vec<f64>,
}

impl Popularity {
    /// Counts holders of each of `products` products.
    pub fn fit(seen: &[Vec<ProductIndex>], products: usize) -> Self {
        let mut holders = vec![0.0; products];
        for &product in seen.iter().flatten() {
            holders[product as usize] += 1.0;
        }
        Self { holders }
    }

    /// How many customers hold each product; the same for everyone.
    pub fn scores(&self) -> &[f64] {
        &self.holders
    }
}

/// Scores a product by the sum of its cosines with the products held, over the columns of the holdings
/// (Sarwar et al. 2001).
#[derive(Clone, Debug)]
pub struct ItemKnn {
    /// Per product, the products it is held together with and the cosine.
    neighbours: Vec<BTreeMap<ProductIndex, f64>>,
}

impl ItemKnn {
    /// Counts pairs held together, of `products` products.
    pub fn fit(seen: &[Vec<ProductIndex>], products: usize) -> Self {
        let popularity = Popularity::fit(seen, products);
        let mut neighbours = vec![BTreeMap::new(); products];
        for held in seen {
            for &one in held {
                for &other in held.iter().filter(|&&other| other != one) {
                    *neighbours[one as usize].entry(other).or_insert(0.0) += 1.0;
                }
            }
        }
        let holders = popularity.scores();
        for (one, neighbours) in neighbours.iter_mut().enumerate() {
            for (&other, together) in neighbours.iter_mut() {
                *together /= (holders[one] * holders[other as usize]).sqrt();
            }
        }
        Self { neighbours }
    }

    /// The cosine of two products' holders; 0 when nobody holds both.
    pub fn cosine(&self, one: ProductIndex, other: ProductIndex) -> f64 {
        self.neighbours[one as usize].get(&other).copied().unwrap_or_default()
    }

    /// A score for every product, for a customer who holds `held`.
    pub fn scores(&self, held: &[ProductIndex]) -> Vec<f64> {
        let mut scores = vec![0.0; self.neighbours.len()];
        for &product in held {
            for (&other, cosine) in &self.neighbours[product as usize] {
                scores[other as usize] += cosine;
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Vec<Vec<ProductIndex>> {
        vec![vec![0, 1], vec![0, 1], vec![0, 2], vec![0], vec![]]
    }

    #[test]
    fn popularity_counts_holders() {
        assert_eq!(Popularity::fit(&seen(), 4).scores(), [4.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn item_knn_adds_the_cosines_of_what_is_held() {
        let knn = ItemKnn::fit(&seen(), 4);

        let of_0 = knn.scores(&[0]);
        let of_0_and_2 = knn.scores(&[0, 2]);

        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(of_0[1], 2.0 / (4.0f64 * 2.0).sqrt());
        near(of_0[2], 1.0 / 2.0);
        near(of_0_and_2[0], 1.0 / 2.0);
        assert_eq!(of_0[0], 0.0, "a product is no neighbour of itself");
        assert_eq!(of_0[3], 0.0);
    }

    #[test]
    fn item_knn_says_nothing_of_a_customer_who_holds_nothing() {
        assert_eq!(ItemKnn::fit(&seen(), 4).scores(&[]), [0.0; 4]);
    }
}
