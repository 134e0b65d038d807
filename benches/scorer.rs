//! The scorer's split first layer beside the plain formula, on the same network and candidates in the same run.
//!
//!     cargo bench -p finrank-model --bench scorer
//!
//! Prints nanoseconds a candidate and their ratio for some candidate counts, one thread; the last line is JSON.

mod median;

use std::{hint::black_box, time::Instant};

use finrank_model::{DIMENSION, Dense, Embedding, MlpScorer, SplitScorer};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::median::median;

/// Products in the catalogue that candidates are drawn from.
const PRODUCTS: usize = 10_000;
/// Repetitions, of which the median counts: one that other work disturbed does not.
const ROUNDS: usize = 9;

fn main() {
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    let scorer = MlpScorer::new(vec![
        layer(&mut draws, 2 * DIMENSION, 128),
        layer(&mut draws, 128, 64),
        layer(&mut draws, 64, 1),
    ])
    .expect("the layers fit");
    let products: Vec<Embedding> = (0..PRODUCTS).map(|_| embedding(&mut draws)).collect();
    let user = embedding(&mut draws);
    let split = SplitScorer::new(&scorer, &products).expect("the products are of the scorer's dimension");

    println!("{:>10} {:>12} {:>12} {:>6}", "candidates", "plain ns", "split ns", "ratio");
    let mut rows = Vec::new();
    for count in [1, 50, 200, 500, 1_000] {
        let candidates: Vec<usize> = (0..count).map(|_| draws.random_range(0..PRODUCTS)).collect();
        let plain =
            nanoseconds(count, || scorer.score_rows(pairs(&user, &products, &candidates).view()).len());
        let split = nanoseconds(count, || split.score(&user, &candidates).len());
        println!("{count:>10} {plain:>12.0} {split:>12.0} {:>6.2}", plain / split);
        rows.push(format!(
            r#"{{"candidates": {count}, "plain_ns": {plain:.1}, "split_ns": {split:.1}, "ratio": {:.3}}}"#,
            plain / split
        ));
    }
    println!("[{}]", rows.join(", "));
}

/// The median time a candidate of `work` over all candidates.
fn nanoseconds(count: usize, mut work: impl FnMut() -> usize) -> f64 {
    let calls = (20_000 / count).max(20);
    let round = |_| {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(work());
        }
        start.elapsed().as_nanos() as f64 / (calls * count) as f64
    };
    median((0..ROUNDS).map(round).collect())
}

/// `[n, 128]`, as the plain formula wants it: gathering is part of its cost, as it would be in serving.
fn pairs(user: &Embedding, products: &[Embedding], candidates: &[usize]) -> Array2<f32> {
    let mut rows = Array2::zeros((candidates.len(), 2 * DIMENSION));
    for (mut row, &candidate) in rows.rows_mut().into_iter().zip(candidates) {
        let pair = user.as_slice().iter().chain(products[candidate].as_slice());
        row.iter_mut().zip(pair).for_each(|(to, from)| *to = *from);
    }
    rows
}

fn layer(draws: &mut ChaCha8Rng, inputs: usize, outputs: usize) -> Dense {
    let weight = Array2::from_shape_simple_fn((inputs, outputs), || draws.random_range(-0.1..0.1));
    Dense::new(weight, Array1::zeros(outputs)).expect("as many biases as outputs")
}

fn embedding(draws: &mut ChaCha8Rng) -> Embedding {
    let values: Vec<f32> = (0..DIMENSION).map(|_| draws.random_range(-1.0..1.0)).collect();
    Embedding::new(values, DIMENSION).expect("finite and of the dimension")
}
