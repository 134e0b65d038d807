//! Why a score is what it is: integrated gradients (Sundararajan, Taly, Yan 2017) of the logit, from the mean customer
//! to this one, through scorer and user tower, to the inputs by name.
//!
//! `IGᵢ(x) = (xᵢ − x'ᵢ) · ∫₀¹ ∂F/∂xᵢ (x' + α(x − x')) dα`, where `F` is the logit before calibration, of one product,
//! and `x'` is [`FeatureMeans`]. Along the path a ReLU network is linear between the points at which a unit turns on
//! or off; those are found, and so the integral is exact but for rounding in f64: the contributions add up to
//! `F(x) − F(x')`. The same input gives the same bytes: every sum has one order.

mod means;
mod network;
mod walk;

use std::{fmt, sync::Arc};

use ndarray::{Array1, Array2, Axis};

pub use means::FeatureMeans;

use self::network::{Network, widened};
use crate::{
    AttributeName, Embedding, MlpScorer, ModelError, ProductId, UserEncoder, UserRecord,
    features::{FeatureRef, FeatureSet},
};

/// How far apart two embeddings of one customer may be, of their length: f32 has 6e-8.
const SAME: f64 = 1e-6;

/// An input of the user tower, as people know it: all columns that a transform makes of it count as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputName {
    /// An attribute of the customer.
    Attribute(AttributeName),
    /// A feature of a view.
    Feature(FeatureRef),
    /// Whether the customer holds this product.
    Held(ProductId),
}

impl InputName {
    /// How all products held together are named among what a tower reads.
    pub const HELD: &str = "held";
}

impl fmt::Display for InputName {
    /// `income`, `activity:purchases_30d`, `held:loan`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => name.as_str().fmt(f),
            Self::Feature(reference) => reference.fmt(f),
            Self::Held(product) => write!(f, "{}:{product}", Self::HELD),
        }
    }
}

/// What each input gives to one logit. The contributions add up to `logit − baseline_logit`, but for rounding in f64.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attribution {
    /// Of the mean customer and this product, before calibration.
    pub baseline_logit: f64,
    /// Of this customer and this product, before calibration.
    pub logit: f64,
    /// Of each of [`Explainer::inputs`], in their order.
    pub contributions: Vec<f64>,
}

/// Explains one model's logits. Made once per model; its arithmetic is in f64.
#[derive(Clone, Debug)]
pub struct Explainer {
    user: UserEncoder,
    inputs: Vec<InputName>,
    /// Of each row of `weight`, its place in `inputs`.
    input_of: Vec<usize>,
    /// The user tower's first layer, `[dense width + vocabulary, h]`: holding a product is an input of 0 or 1.
    weight: Array2<f64>,
    /// The mean customer's inputs, as many as rows of `weight`.
    means: Array1<f64>,
    /// The mean customer's sums in the first layer, `[h]`.
    mean_sums: Array1<f64>,
    network: Network,
}

impl Explainer {
    /// Prepares for a model whose customers were these in the mean.
    ///
    /// # Errors
    /// When the scorer does not take two embeddings of the tower's dimension, or the means are of another tower.
    pub fn new(user: &UserEncoder, scorer: &MlpScorer, means: &FeatureMeans) -> Result<Self, ModelError> {
        let (width, vocabulary) = (user.tower.width(), user.tower.vocabulary_len());
        means.check_fit(width, vocabulary)?;
        let (inputs, input_of) = named(user);
        let first = user.tower.input();
        let means = Array1::from_iter(means.iter().map(f64::from));
        let rows = [first.weight.view(), user.tower.sparse().view()];
        let weight = ndarray::concatenate(Axis(0), &rows)
            .map_err(|_| ModelError::shape("the tower's first layer", &[width], &[vocabulary]))?;
        let weight = widened(&weight);
        let mean_sums = weighted_sums(&weight, &means) + &first.bias.mapv(f64::from);
        let network = Network::new(&user.tower, scorer)?;
        Ok(Self { user: user.clone(), inputs, input_of, weight, means, mean_sums, network })
    }

    /// Explains the logit of one customer and each of these products.
    ///
    /// # Errors
    /// When the record comes without the values of views that the tower reads, an embedding is of another dimension, or the
    /// path from the mean customer crosses too often ([`ModelError::TooManyCrossings`]).
    pub fn explain(&self, user: &UserRecord, products: &[Embedding]) -> Result<Vec<Attribution>, ModelError> {
        let difference = self.difference(user)?;
        let slopes = weighted_sums(&self.weight, &difference);
        products
            .iter()
            .map(|product| {
                let path = self.network.walk(&self.mean_sums, &slopes, product)?;
                let gradient = self.weight.dot(&path.gradient);
                let mut contributions = vec![0.0; self.inputs.len()];
                for ((&input, gradient), difference) in self.input_of.iter().zip(&gradient).zip(&difference) {
                    contributions[input] += gradient * difference;
                }
                Ok(Attribution { baseline_logit: path.start, logit: path.end, contributions })
            })
            .collect()
    }

    /// Whether the tower makes of this record the embedding that was served: only then is what moved the record's score
    /// what moved the one that was served. Within 1e-6 of the embedding's length, for the feature store may run on another
    /// CPU, whose sums differ in the last bits.
    ///
    /// # Errors
    /// As [`UserEncoder::encode`].
    pub fn reads_as(&self, user: &UserRecord, served: &Embedding) -> Result<bool, ModelError> {
        let [computed] = &self.user.encode(std::slice::from_ref(user))?[..] else { return Ok(false) };
        let differences = served.as_slice().iter().zip(computed.as_slice()).map(|(one, other)| one - other);
        let apart = differences.map(|difference| f64::from(difference).powi(2)).sum::<f64>().sqrt();
        Ok(served.dimension() == computed.dimension() && apart <= SAME * served.norm())
    }

    /// The features of views that records must come with; absent if none are read.
    pub fn feature_set(&self) -> Option<&Arc<FeatureSet>> {
        self.user.transform.feature_set()
    }

    /// What contributions are of: attributes, features of views, then each product that may be held.
    pub fn inputs(&self) -> &[InputName] {
        &self.inputs
    }

    /// `x − x'`.
    fn difference(&self, user: &UserRecord) -> Result<Array1<f64>, ModelError> {
        let rows = self.user.rows(std::slice::from_ref(user))?;
        let mut difference = -&self.means;
        for (to, &value) in difference.iter_mut().zip(rows.dense.row(0)) {
            *to += f64::from(value);
        }
        for &held in &rows.sparse[0] {
            difference[rows.dense.ncols() + held as usize] += 1.0;
        }
        Ok(difference)
    }
}

/// The inputs' names, and of each row of the first layer the place of its name.
fn named(user: &UserEncoder) -> (Vec<InputName>, Vec<usize>) {
    let mut inputs = Vec::new();
    let mut input_of = Vec::new();
    for (name, width) in user.transform.inputs() {
        input_of.extend(std::iter::repeat_n(inputs.len(), width));
        inputs.push(name);
    }
    (inputs, input_of)
}

/// `values · weight`, row by row; what is 0 costs nothing.
fn weighted_sums(weight: &Array2<f64>, values: &Array1<f64>) -> Array1<f64> {
    let mut sums = Array1::zeros(weight.ncols());
    for (row, &value) in weight.rows().into_iter().zip(values) {
        if value != 0.0 {
            sums.scaled_add(value, &row);
        }
    }
    sums
}
