mod changes;
mod plans;
mod stored;

use finrank_model::ModelVersion;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{selector::SearchRows, *};

fn generation(dimension: usize) -> Generation {
    Generation {
        run_id: 1,
        model_version: ModelVersion::parse("m1").unwrap(),
        embedding_space: EmbeddingSpace::parse("s1").unwrap(),
        dimension,
    }
}

fn embedding(values: &[f32]) -> Embedding {
    Embedding::new(values, values.len()).unwrap()
}

fn query(values: &[f32]) -> SpacedEmbedding {
    SpacedEmbedding { embedding: embedding(values), space: generation(values.len()).embedding_space }
}

fn index<V: AsRef<[f32]>>(dimension: usize, vectors: &[V]) -> ProductIndex {
    let embeddings: Vec<Embedding> = vectors.iter().map(|values| embedding(values.as_ref())).collect();
    ProductIndex::build(generation(dimension), &embeddings).unwrap()
}

/// The inner products of the allowed rows, largest first. Small whole numbers are summed exactly in any order.
fn brute_force(vectors: &[Vec<f32>], query: &[f32], allowed: &RowSet) -> Vec<f32> {
    let mut products: Vec<f32> = (0..vectors.len())
        .filter(|&row| allowed.contains(Row(row)))
        .map(|row| inner_product(&vectors[row], query))
        .collect();
    products.sort_by(|a, b| b.total_cmp(a));
    products
}

fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Up to `most` vectors and one to search with, of a dimension below, at and beside the width of Faiss's SIMD
/// loops. Components are -2 to 2, so that many rows are equal or tie.
fn vectors_and_query(most: usize) -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<f32>)> {
    let dimension = prop::sample::select(&[4_usize, 64, 67][..]);
    (dimension, 0..=most, any::<u64>()).prop_map(|(dimension, count, seed)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut vector = || (0..dimension).map(|_| f32::from(random.random_range(-2..=2_i8))).collect();
        ((0..count).map(|_| vector()).collect(), vector())
    })
}

/// Past 100 Faiss collects results in a reservoir, below in a heap, and a single one by itself.
fn k() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1_usize), 1..40_usize, 90..400_usize]
}

proptest! {
    #[test]
    fn finds_what_brute_force_finds_among_the_rows_allowed(
        (vectors, asked) in vectors_and_query(299),
        keep in prop::collection::vec(any::<bool>(), 300),
        k in k(),
    ) {
        let allowed = RowSet::of(vectors.len(), (0..vectors.len()).filter(|&row| keep[row]).map(Row));

        let hits = index(asked.len(), &vectors).search(&query(&asked), &allowed, k).unwrap().hits;

        let mut expected = brute_force(&vectors, &asked, &allowed);
        expected.truncate(k);
        let found: Vec<f32> = hits.iter().map(|hit| hit.inner_product).collect();
        prop_assert_eq!(found, expected);
        for hit in &hits {
            prop_assert!(allowed.contains(hit.row));
            prop_assert_eq!(hit.inner_product, inner_product(&vectors[hit.row.0], &asked));
        }
        let comes_before = |a: &Hit, b: &Hit| {
            a.inner_product > b.inner_product || (a.inner_product == b.inner_product && a.row < b.row)
        };
        prop_assert!(hits.is_sorted_by(comes_before));
    }

    #[test]
    fn finds_every_row_when_all_are_allowed_and_asked_for(
        (vectors, asked) in vectors_and_query(200),
    ) {
        let all = RowSet::full(vectors.len());

        let hits = index(asked.len(), &vectors).search(&query(&asked), &all, 500).unwrap().hits;

        let mut rows: Vec<usize> = hits.iter().map(|hit| hit.row.0).collect();
        rows.sort_unstable();
        prop_assert!(rows.into_iter().eq(0..vectors.len()));
    }
}

#[test]
fn rows_that_may_not_be_found_take_no_places() {
    let vectors: Vec<[f32; 4]> = (0..1000).map(|row| [row as f32, 0.0, 0.0, 0.0]).collect();
    let allowed = RowSet::of(1000, [Row(3), Row(500), Row(7)]);

    let hits = index(4, &vectors).search(&query(&[1.0, 0.0, 0.0, 0.0]), &allowed, 3).unwrap().hits;

    assert!(hits.iter().map(|hit| hit.row).eq([Row(500), Row(7), Row(3)]));
}

#[test]
fn nothing_allowed_or_nothing_there_finds_nothing() {
    let filled = index(4, &[[1.0; 4]]);
    let empty = index::<[f32; 4]>(4, &[]);

    assert!(filled.search(&query(&[1.0; 4]), &RowSet::empty(1), 5).unwrap().hits.is_empty());
    assert!(empty.search(&query(&[1.0; 4]), &RowSet::full(0), 5).unwrap().hits.is_empty());
}

#[test]
fn refuses_a_vector_of_another_space_dimension_or_length() {
    let index = index(4, &[[1e20; 4]]);
    let all = RowSet::full(1);
    let elsewhere = SpacedEmbedding { space: EmbeddingSpace::parse("s2").unwrap(), ..query(&[1.0; 4]) };
    let short = SpacedEmbedding { embedding: Embedding::new([1.0], 1).unwrap(), ..query(&[1.0; 4]) };

    let refusals =
        [elsewhere, short, query(&[1e19; 4])].map(|query| index.search(&query, &all, 1).unwrap_err());

    assert!(matches!(refusals[0], IndexError::OtherSpace { .. }));
    assert!(matches!(refusals[1], IndexError::OtherDimension { expected: 4, found: 1 }));
    assert!(matches!(refusals[2], IndexError::TooLong));
}

#[test]
fn gives_back_the_embeddings_it_was_built_from() {
    let index = index(4, &[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]);

    assert_eq!(index.embedding(Row(1)), query(&[5.0, 6.0, 7.0, 8.0]));
}

/// A selector takes 32 bytes of Faiss's; two million of them lost would be 64 MB.
#[test]
fn what_a_search_gives_to_faiss_is_freed() {
    let allowed = RowSet::full(1000);
    let before = resident_kilobytes();

    for _ in 0..2_000_000 {
        SearchRows::only(&allowed).unwrap();
    }

    let grown = resident_kilobytes().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} kB");
}

fn resident_kilobytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
