//! Searches by each kind of index and plan, beside Faiss's own Flat under the same filters in the same run.
//!
//!     cargo bench -p finrank-ranking --bench index
//!     cargo bench -p finrank-ranking --bench index -- --products 1000000
//!
//! Vectors of 64 components lie around 200 centres, and so do the queries. One thread. Prints, for each number of products
//! and each share of them that may be found, the plan, the median and the 99th percentile in microseconds, and the share of
//! the exact answer that was found; the last line is JSON.

use std::{error::Error, hint::black_box, num::NonZeroUsize, time::Instant};

use clap::Parser;
use faiss::{
    index::{Index as _, SearchWithParams as _, flat::FlatIndexImpl},
    search_params::SearchParameters,
    selector::IdSelector,
};
use finrank_model::{DIMENSION, Embedding};
use finrank_ranking::index::{
    Depth, Hit, IndexBuilder, IndexConfig, IndexKind, IndexSettings, RandomVectors, Row, RowSet,
    SpacedEmbedding,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const KINDS: [IndexKind; 4] = [IndexKind::Flat, IndexKind::Hnsw, IndexKind::Ivf, IndexKind::IvfSq8];
/// The shares of products that may be found.
const SHARES: [f64; 5] = [1.0, 0.5, 0.1, 0.01, 0.001];

/// Measures searches by plan.
///
/// Example: cargo bench -p finrank-ranking --bench index -- --products 10000,100000 --k 100
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// How many products, for each run.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    products: Vec<usize>,
    /// How many to find.
    #[arg(long, default_value = "100")]
    k: NonZeroUsize,
    /// Queries that are timed.
    #[arg(long, default_value_t = 1_000)]
    queries: usize,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One way to search under one filter.
struct Timed {
    way: String,
    median: f64,
    p99: f64,
    recall: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    for &products in &arguments.products {
        measure(products, &arguments, &mut rows)?;
    }
    println!("[{}]", rows.join(", "));
    Ok(())
}

fn measure(products: usize, arguments: &Arguments, rows: &mut Vec<String>) -> Result<()> {
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    let mut vectors = RandomVectors::default();
    let (embeddings, queries) = (vectors.take(products), vectors.take(arguments.queries));
    let filters: Vec<RowSet> = SHARES
        .iter()
        .map(|&share| RowSet::of(products, (0..products).filter(|_| draws.random_bool(share)).map(Row)))
        .collect();

    let mut exact = Vec::new();
    for (&share, allowed) in SHARES.iter().zip(&filters) {
        let (timed, answers) = by_faiss(&embeddings, &queries, allowed, arguments.k.get())?;
        print(products, share, &timed, rows);
        exact.push(answers);
    }
    for kind in KINDS {
        let config = IndexConfig { kind, ..IndexConfig::default() };
        let settings = IndexSettings { config, depth: Depth(arguments.k) };
        let start = Instant::now();
        let builder = IndexBuilder { settings: &settings, unchanged: None, directory: None };
        let index = builder.build(RandomVectors::generation(), &embeddings)?;
        println!("{products:>9} {kind:?}: built and measured in {:.1} s", start.elapsed().as_secs_f64());
        for ((&share, allowed), answers) in SHARES.iter().zip(&filters).zip(&exact) {
            let mut plan = None;
            let mut found = Vec::new();
            let micros = timed(&queries, |query| {
                let query = SpacedEmbedding {
                    embedding: query.clone(),
                    space: RandomVectors::generation().embedding_space,
                };
                let answer = index.search(&query, allowed, arguments.k.get())?;
                plan = Some(answer.plan.method);
                found.push(answer.hits);
                Ok(())
            })?;
            let method = plan.ok_or("no query was asked")?;
            let way = format!("{kind:?}: {method:?}");
            let (median, p99) = micros;
            print(products, share, &Timed { way, median, p99, recall: recall(answers, &found) }, rows);
        }
    }
    Ok(())
}

/// Faiss's Flat with a bitmap as its selector, as its own users ask it.
fn by_faiss(
    embeddings: &[Embedding],
    queries: &[Embedding],
    allowed: &RowSet,
    k: usize,
) -> Result<(Timed, Vec<Vec<f32>>)> {
    let mut flat = FlatIndexImpl::new_ip(u32::try_from(DIMENSION)?)?;
    let components: Vec<f32> = embeddings.iter().flat_map(Embedding::as_slice).copied().collect();
    flat.add(&components)?;
    let mut bits = vec![0_u8; embeddings.len().div_ceil(8)];
    allowed.iter().for_each(|row| bits[row.0 / 8] |= 1 << (row.0 % 8));
    // Points to `bits`, which outlives it.
    let parameters = SearchParameters::new(IdSelector::bitmap(&bits)?)?;
    let k = k.min(allowed.len()).max(1);
    let mut answers = Vec::new();
    let (median, p99) = timed(queries, |query| {
        let found = flat.search_with_params(query.as_slice(), k, &parameters)?;
        let found = found.labels.iter().zip(found.distances).filter(|(label, _)| label.is_some());
        answers.push(found.map(|(_, product)| product).collect());
        Ok(())
    })?;
    Ok((Timed { way: "Faiss Flat".to_owned(), median, p99, recall: 1.0 }, answers))
}

/// The median and the 99th percentile, in microseconds.
fn timed(queries: &[Embedding], mut search: impl FnMut(&Embedding) -> Result<()>) -> Result<(f64, f64)> {
    let mut micros = Vec::with_capacity(queries.len());
    for query in queries {
        let start = Instant::now();
        black_box(search(query)?);
        micros.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    micros.sort_by(f64::total_cmp);
    Ok((micros[micros.len() / 2], micros[micros.len() * 99 / 100]))
}

/// The mean share of the exact answers that was found, but for rounding.
fn recall(exact: &[Vec<f32>], found: &[Vec<Hit>]) -> f64 {
    let of_one = |(exact, found): (&Vec<f32>, &Vec<Hit>)| {
        let Some(last) = exact.last() else { return 1.0 };
        let good = found.iter().filter(|hit| hit.inner_product >= last - 1e-4).count();
        good.min(exact.len()) as f64 / exact.len() as f64
    };
    exact.iter().zip(found).map(of_one).sum::<f64>() / exact.len() as f64
}

fn print(products: usize, share: f64, timed: &Timed, rows: &mut Vec<String>) {
    let Timed { way, median, p99, recall } = timed;
    println!(
        "{products:>9} {:>6} {median:>8.0} µs {p99:>8.0} µs {recall:>6.3}  {way}",
        format!("{} %", 100.0 * share)
    );
    rows.push(format!(
        r#"{{"products": {products}, "share": {share}, "way": "{way}", "median_us": {median:.1}, "p99_us": {p99:.1}, "recall": {recall:.4}}}"#
    ));
}
