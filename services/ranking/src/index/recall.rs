//! How much an approximate index finds, measured: its answers beside the exact ones, for queries like the products and
//! unlike any, under filters that keep rows at random and filters that keep one side of the space. What counts is the
//! worst of these four, since nobody knows beforehand which of them a request is.

use finrank_model::Embedding;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    Depth, Hit, IndexError, Row, RowSet,
    approximate::{Approximate, ApproximateKind, Effort},
    best::Best,
    vectors::{Vectors, inner_product},
};

/// The shares of eligible rows at which recall is measured. What holds at a share is taken to hold above it.
pub(super) const SHARES: [f64; 5] = [0.9, 0.5, 0.2, 0.1, 0.05];
/// Queries of each sort: 64 under two filters make 128 answers of a setting at a share.
const QUERIES: usize = 32;
/// Of the standard error, what is taken off a mean over so few queries: the true one is larger in 19 of 20 cases.
const ERRORS_OFF: f64 = 1.645;
/// The best of a customer's answer, whose recall must hold as that of all its candidates does.
const TOP: usize = 10;
/// So that an index built again is measured the same.
const SEED: u64 = 20_260_201;

/// What was measured of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecallTable {
    /// For how many candidates.
    pub depth: usize,
    /// By the share of rows that may be found, the largest first.
    pub bands: Vec<Band>,
}

/// What was measured where a share of the rows may be found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The share, above 0 and up to 1; the band reaches up to that of the band before.
    pub share: f64,
    /// By effort, the least first.
    pub settings: Vec<Setting>,
}

/// An effort, and how much it finds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// How hard the search tries.
    pub effort: Effort,
    /// The share of the exact answer that it finds at least, with a confidence of 95 %, from 0 to 1.
    pub recall: f64,
}

impl RecallTable {
    /// The least effort that was measured to reach `target` where `eligible` of `labels` may be found.
    pub fn setting(&self, eligible: usize, labels: usize, target: f64) -> Option<Setting> {
        let share = eligible as f64 / labels as f64;
        let band = self.bands.iter().find(|band| band.share <= share)?;
        band.settings.iter().find(|setting| setting.recall >= target).copied()
    }
}

/// Measures until the target is reached in each band, and settles the index on what it needs.
///
/// # Errors
/// When Faiss fails.
pub(super) fn settle(
    mut index: Approximate,
    vectors: &Vectors,
    depth: usize,
    target: f64,
) -> Result<Approximate, IndexError> {
    let mut efforts = index.efforts(depth);
    let samples: Vec<Sample> = SHARES.iter().map(|&share| Sample::draw(vectors, share, depth)).collect();
    if index.kind == ApproximateKind::Hnsw {
        // One effort for all bands, that of the widest.
        for (tried, &effort) in efforts.clone().iter().enumerate() {
            index.settle(effort)?;
            if tried + 1 == efforts.len() || samples[0].recall(&index, vectors, effort)? >= target {
                efforts = vec![effort];
                break;
            }
        }
    }
    let mut bands = Vec::with_capacity(SHARES.len());
    for sample in &samples {
        let mut settings = Vec::new();
        for &effort in &efforts {
            let recall = sample.recall(&index, vectors, effort)?;
            settings.push(Setting { effort, recall });
            if recall >= target {
                break;
            }
        }
        bands.push(Band { share: sample.share, settings });
    }
    index.recall = RecallTable { depth, bands };
    Ok(index)
}

/// What to measure of an index of some kind, for whoever chooses one.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Of which kind.
    pub kind: ApproximateKind,
    /// For how many candidates.
    pub depth: Depth,
    /// At which shares of eligible rows, each above 0 and up to 1, the largest first.
    pub shares: Vec<f64>,
}

impl Survey {
    /// Builds an index of embeddings `[n, dimension]` and measures every effort at every share; of no embeddings there is
    /// nothing to measure.
    ///
    /// # Errors
    /// [`IndexError::OtherDimension`], or when Faiss fails.
    pub fn measure(&self, dimension: usize, embeddings: &[Embedding]) -> Result<RecallTable, IndexError> {
        let depth = self.depth.0.get();
        if embeddings.is_empty() {
            return Ok(RecallTable { depth, bands: Vec::new() });
        }
        let vectors = Vectors::build(dimension, embeddings)?;
        let mut index = Approximate::build(self.kind, &vectors)?;
        let samples: Vec<Sample> =
            self.shares.iter().map(|&share| Sample::draw(&vectors, share, depth)).collect();
        let empty = |&share: &f64| Band { share, settings: Vec::new() };
        let mut bands: Vec<Band> = self.shares.iter().map(empty).collect();
        for effort in index.efforts(depth) {
            index.settle(effort)?;
            for (sample, band) in samples.iter().zip(&mut bands) {
                band.settings.push(Setting { effort, recall: sample.recall(&index, &vectors, effort)? });
            }
        }
        Ok(RecallTable { depth, bands })
    }
}

/// Queries, filters that keep a share of the rows, and the exact answers.
struct Sample {
    share: f64,
    depth: usize,
    questions: Vec<Question>,
}

/// Queries of one sort under one filter.
struct Question {
    queries: Vec<Vec<f32>>,
    allowed: RowSet,
    /// The exact answer of each query.
    answers: Vec<Vec<Hit>>,
}

impl Sample {
    fn draw(vectors: &Vectors, share: f64, depth: usize) -> Self {
        let mut draws = ChaCha8Rng::seed_from_u64(SEED);
        let like: Vec<Vec<f32>> =
            (0..QUERIES).map(|_| vectors.row(Row(draws.random_range(0..vectors.rows()))).to_vec()).collect();
        let unlike: Vec<Vec<f32>> =
            (0..QUERIES).map(|_| direction(vectors.dimension(), &mut draws)).collect();
        let scattered = (0..vectors.rows()).filter(|_| draws.random_bool(share)).map(Row);
        let scattered = RowSet::of(vectors.rows(), scattered);
        let one_side = one_side(vectors, share, &direction(vectors.dimension(), &mut draws));
        let mut questions = Vec::new();
        for allowed in [scattered, one_side] {
            for queries in [&like, &unlike] {
                let answers = queries.iter().map(|query| exact(vectors, query, &allowed, depth)).collect();
                questions.push(Question { queries: queries.clone(), allowed: allowed.clone(), answers });
            }
        }
        Self { share, depth, questions }
    }

    /// The worst over the queries of one sort under one filter, at the full depth and among the best.
    fn recall(&self, index: &Approximate, vectors: &Vectors, effort: Effort) -> Result<f64, IndexError> {
        let mut worst: f64 = 1.0;
        for question in &self.questions {
            let (mut at_depth, mut at_top) = (Vec::new(), Vec::new());
            for (query, answer) in question.queries.iter().zip(&question.answers) {
                let labels = index.search(query, &question.allowed, self.depth, effort)?;
                let mut best = Best::of(self.depth);
                labels.into_iter().for_each(|label| best.offer(vectors.hit(query, label)));
                let found = best.into_sorted();
                at_depth.push(share_found(answer, &found));
                at_top.push(share_found(&answer[..answer.len().min(TOP)], &found[..found.len().min(TOP)]));
            }
            worst = worst.min(at_least(&at_depth)).min(at_least(&at_top));
        }
        Ok(worst)
    }
}

/// The mean that some shares are a sample of, at least.
fn at_least(shares: &[f64]) -> f64 {
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean - ERRORS_OFF * (variance / count).sqrt()).max(0.0)
}

fn exact(vectors: &Vectors, query: &[f32], allowed: &RowSet, depth: usize) -> Vec<Hit> {
    let mut best = Best::of(depth);
    vectors.scan(query, allowed, &mut best);
    best.into_sorted()
}

/// How much of an exact answer was found. One as good as its last counts, whichever row it is.
fn share_found(exact: &[Hit], found: &[Hit]) -> f64 {
    let Some(last) = exact.last() else { return 1.0 };
    let good = found.iter().filter(|hit| hit.inner_product >= last.inner_product).count();
    good.min(exact.len()) as f64 / exact.len() as f64
}

/// A random direction: components drawn evenly, which in many dimensions is near enough.
fn direction(dimension: usize, draws: &mut ChaCha8Rng) -> Vec<f32> {
    (0..dimension).map(|_| draws.random_range(-1.0..1.0)).collect()
}

/// The share of the rows that lie farthest in a direction.
fn one_side(vectors: &Vectors, share: f64, direction: &[f32]) -> RowSet {
    let kept = (vectors.rows() as f64 * share).ceil() as usize;
    let mut best = Best::of(kept);
    for row in (0..vectors.rows()).map(Row) {
        best.offer(Hit { row, inner_product: inner_product(direction, vectors.row(row)) });
    }
    RowSet::of(vectors.rows(), best.into_sorted().into_iter().map(|hit| hit.row))
}
