//! Vectors without data, for who measures: they lie around centres, as those of products do around their kinds.

use finrank_model::{DIMENSION, Embedding, EmbeddingSpace, ModelVersion};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Generation;

/// How many centres there are.
const CENTRES: usize = 200;
/// How far from its centre a vector lies, where centres lie within 1 in each component.
const SPREAD: f32 = 0.5;

/// Random vectors of the towers' dimension, the same each time.
#[derive(Debug)]
pub struct RandomVectors {
    draws: ChaCha8Rng,
    centres: Vec<Vec<f32>>,
}

impl Default for RandomVectors {
    fn default() -> Self {
        let mut draws = ChaCha8Rng::seed_from_u64(0);
        let centres = (0..CENTRES).map(|_| around(&[0.0; DIMENSION], 1.0, &mut draws)).collect();
        Self { draws, centres }
    }
}

impl RandomVectors {
    /// The next ones, `[count, dimension]`, around the centres in turn.
    pub fn take(&mut self, count: usize) -> Vec<Embedding> {
        let vector = |row: usize| around(&self.centres[row % CENTRES], SPREAD, &mut self.draws);
        let vectors = (0..count).map(vector);
        vectors
            .map(|vector| Embedding::new(vector, DIMENSION).expect("sums of small numbers are finite"))
            .collect()
    }

    /// What they say that they are of.
    pub fn generation() -> Generation {
        let name = "random";
        Generation {
            run_id: 0,
            model_version: ModelVersion::parse(name).expect("it is a plain name"),
            embedding_space: EmbeddingSpace::parse(name).expect("it is a plain name"),
            dimension: DIMENSION,
        }
    }
}

fn around(centre: &[f32], spread: f32, draws: &mut ChaCha8Rng) -> Vec<f32> {
    centre.iter().map(|value| value + draws.random_range(-spread..spread)).collect()
}
