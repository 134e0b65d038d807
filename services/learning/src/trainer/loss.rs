//! What training makes small.

use candle_core::{D, Tensor};

use crate::Result;

/// The mean negative log-likelihood of the right answer in a softmax over it and the wrong ones:
/// `right` `[n, 1]`, `wrong` and its corrections `[n, m]`.
pub(super) fn softmax(right: &Tensor, wrong: &Tensor, corrections: &Tensor) -> Result<Tensor> {
    let logits = Tensor::cat(&[right, &(wrong + corrections)?], 1)?;
    let log_shares = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
    Ok(log_shares.narrow(1, 0, 1)?.mean_all()?.neg()?)
}

/// The binary cross-entropy of the right answer and all wrong ones, per row: `−ln σ(right) − Σ ln(1 − σ(wrong))`,
/// a wrong one counting for as many as its correction says.
pub(super) fn cross_entropy(right: &Tensor, wrong: &Tensor, corrections: &Tensor) -> Result<Tensor> {
    let of_right = softplus(&right.neg()?)?.mean_all()?;
    let of_wrong = (softplus(wrong)? * corrections.exp()?)?;
    Ok((of_right + of_wrong.sum(1)?.mean_all()?)?)
}

/// `ln(1 + eˣ)` without overflow.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + tail)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(row: &[[f32; 2]; 1]) -> Tensor {
        Tensor::new(row, &Device::Cpu).unwrap()
    }

    fn right() -> Tensor {
        Tensor::new(&[[1.0f32]], &Device::Cpu).unwrap()
    }

    fn value(loss: &Tensor) -> f64 {
        f64::from(loss.to_scalar::<f32>().unwrap())
    }

    #[test]
    fn softmax_is_computed_by_hand_and_leaves_excluded_products_out() {
        let loss = softmax(&right(), &tensor(&[[0.5, 9.0]]), &tensor(&[[0.0, -1e9]])).unwrap();

        let expected = -(1f64.exp() / (1f64.exp() + 0.5f64.exp())).ln();
        assert!((value(&loss) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_correction_by_ln_2_counts_a_wrong_answer_twice() {
        let doubled = tensor(&[[2f32.ln(), -1e9]]);

        let by_softmax = softmax(&right(), &tensor(&[[0.5, 0.0]]), &doubled).unwrap();
        let by_cross_entropy = cross_entropy(&right(), &tensor(&[[0.5, 0.0]]), &doubled).unwrap();

        let softmax_twice = -(1f64.exp() / (1f64.exp() + 2.0 * 0.5f64.exp())).ln();
        let cross_entropy_twice = (-1f64).exp().ln_1p() + 2.0 * 0.5f64.exp().ln_1p();
        assert!((value(&by_softmax) - softmax_twice).abs() < 1e-6);
        assert!((value(&by_cross_entropy) - cross_entropy_twice).abs() < 1e-6);
    }

    #[test]
    fn softplus_does_not_overflow() {
        let values = Tensor::new(&[-200.0f32, 0.0, 200.0], &Device::Cpu).unwrap();

        let found: Vec<f32> = softplus(&values).unwrap().to_vec1().unwrap();

        assert_eq!(found[0], 0.0);
        assert!((found[1] - 2f32.ln()).abs() < 1e-6);
        assert_eq!(found[2], 200.0);
    }
}
