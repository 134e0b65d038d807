//! EASE (Steck 2019): a linear model in closed form, hard to beat where products are few.

use nalgebra::DMatrix;

use crate::dataset::ProductIndex;

/// λ of the ridge penalty on the weights.
const RIDGE: f64 = 50.0;

/// Scores a product by a weighted sum over the products held; no product has a weight for itself.
#[derive(Clone, Debug)]
pub struct Ease {
    /// `[held, scored]`.
    weights: DMatrix<f64>,
}

impl Ease {
    /// Catalogues up to this size have an EASE: beyond it the inverse would take longer than the training.
    pub const MAX_PRODUCTS: usize = 2_000;

    /// Learns from pairs held together, of `products` products: with `P = (XᵀX + λI)⁻¹` a weight is
    /// `−P[i, j] / P[j, j]`. `None` when there are more than [`Self::MAX_PRODUCTS`].
    pub fn fit(seen: &[Vec<ProductIndex>], products: usize) -> Option<Self> {
        if products > Self::MAX_PRODUCTS {
            return None;
        }
        let mut gram = DMatrix::<f64>::from_diagonal_element(products, products, RIDGE);
        for held in seen {
            for &one in held {
                for &other in held {
                    gram[(one as usize, other as usize)] += 1.0;
                }
            }
        }
        // A sum of squares and a positive diagonal is positive definite.
        let inverse = gram.cholesky()?.inverse();
        let weights = DMatrix::from_fn(products, products, |held, scored| {
            if held == scored { 0.0 } else { -inverse[(held, scored)] / inverse[(scored, scored)] }
        });
        Some(Self { weights })
    }

    /// A score for every product, for a customer who holds `held`.
    pub fn scores(&self, held: &[ProductIndex]) -> Vec<f64> {
        let of = |scored: usize| held.iter().map(|&held| self.weights[(held as usize, scored)]).sum();
        (0..self.weights.ncols()).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_two_products_are_those_computed_by_hand() {
        let ease = Ease::fit(&[vec![0, 1], vec![0, 1], vec![0], vec![1]], 2).unwrap();

        // XᵀX + 50 I = [[53, 2], [2, 53]], whose inverse has −2 beside 53 over the same determinant.
        let scores = ease.scores(&[0]);

        assert_eq!(scores[0], 0.0, "a product says nothing of itself");
        assert!((scores[1] - 2.0 / 53.0).abs() < 1e-12, "{scores:?}");
    }

    #[test]
    fn a_large_catalogue_has_no_ease() {
        assert!(Ease::fit(&[vec![0, 1]], Ease::MAX_PRODUCTS + 1).is_none());
    }
}
