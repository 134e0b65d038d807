//! Latent tastes and characters, and draws from them.

use rand::{Rng, RngExt};

/// Latent dimensions; few enough to be learned from some hundred customers.
pub(super) const DIMENSIONS: usize = 8;

/// What a customer likes, or what a product is like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taste(pub(super) [f64; DIMENSIONS]);

impl Taste {
    /// A random one.
    pub(super) fn draw(draws: &mut impl Rng) -> Self {
        Self(std::array::from_fn(|_| normal(draws)))
    }

    /// One near `self`, at a distance of about `spread` in each dimension.
    pub(super) fn near(&self, spread: f64, draws: &mut impl Rng) -> Self {
        Self(self.0.map(|center| center + spread * normal(draws)))
    }

    /// How well the two go together.
    pub(super) fn affinity(&self, other: &Self) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| a * b).sum()
    }
}

/// A draw from the standard normal distribution, by Box and Muller.
pub(super) fn normal(draws: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - draws.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * draws.random::<f64>()).cos()
}
