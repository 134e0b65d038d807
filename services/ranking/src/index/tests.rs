use finrank_model::ModelVersion;
use proptest::prelude::*;

use super::*;

const DIMENSION: usize = 4;

fn generation() -> Generation {
    Generation {
        run_id: 1,
        model_version: ModelVersion::parse("m1").unwrap(),
        embedding_space: EmbeddingSpace::parse("s1").unwrap(),
        dimension: DIMENSION,
    }
}

fn embedding(values: &[f32]) -> Embedding {
    Embedding::new(values, DIMENSION).unwrap()
}

fn query(values: &[f32]) -> SpacedEmbedding {
    SpacedEmbedding {
        embedding: embedding(values),
        space: generation().embedding_space,
    }
}

fn index(vectors: &[[f32; DIMENSION]]) -> ProductIndex {
    let embeddings: Vec<Embedding> = vectors.iter().map(|values| embedding(values)).collect();
    ProductIndex::build(generation(), &embeddings).unwrap()
}

/// The inner products of the allowed rows, largest first. Small whole numbers are summed exactly in any order.
fn brute_force(vectors: &[[f32; DIMENSION]], query: &[f32; DIMENSION], allowed: &RowSet) -> Vec<f32> {
    let mut products: Vec<f32> = (0..vectors.len())
        .filter(|&row| allowed.contains(Row(row)))
        .map(|row| inner_product(&vectors[row], query))
        .collect();
    products.sort_by(|a, b| b.total_cmp(a));
    products
}

fn inner_product(a: &[f32; DIMENSION], b: &[f32; DIMENSION]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Components of -2 to 2, so that many rows are equal or tie.
fn vector() -> impl Strategy<Value = [f32; DIMENSION]> {
    prop::array::uniform4((-2..=2_i8).prop_map(f32::from))
}

/// Past 100 Faiss collects results in a reservoir, below in a heap, and a single one by itself.
fn k() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1_usize), 1..40_usize, 90..400_usize]
}

proptest! {
    #[test]
    fn finds_what_brute_force_finds_among_the_rows_allowed(
        vectors in prop::collection::vec(vector(), 0..300),
        asked in vector(),
        keep in prop::collection::vec(any::<bool>(), 300),
        k in k(),
    ) {
        let allowed = RowSet::of(vectors.len(), (0..vectors.len()).filter(|&row| keep[row]).map(Row));

        let hits = index(&vectors).search(&query(&asked), &allowed, k).unwrap();

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
        vectors in prop::collection::vec(vector(), 1..200),
        asked in vector(),
    ) {
        let all = RowSet::full(vectors.len());

        let hits = index(&vectors).search(&query(&asked), &all, 500).unwrap();

        let mut rows: Vec<usize> = hits.iter().map(|hit| hit.row.0).collect();
        rows.sort_unstable();
        prop_assert!(rows.into_iter().eq(0..vectors.len()));
    }
}

#[test]
fn rows_that_may_not_be_found_take_no_places() {
    let vectors: Vec<[f32; DIMENSION]> = (0..1000).map(|row| [row as f32, 0.0, 0.0, 0.0]).collect();
    let allowed = RowSet::of(1000, [Row(3), Row(500), Row(7)]);

    let hits = index(&vectors)
        .search(&query(&[1.0, 0.0, 0.0, 0.0]), &allowed, 3)
        .unwrap();

    assert!(hits.iter().map(|hit| hit.row).eq([Row(500), Row(7), Row(3)]));
}

#[test]
fn nothing_allowed_or_nothing_there_finds_nothing() {
    let filled = index(&[[1.0; DIMENSION]]);
    let empty = index(&[]);

    assert!(
        filled
            .search(&query(&[1.0; DIMENSION]), &RowSet::empty(1), 5)
            .unwrap()
            .is_empty()
    );
    assert!(
        empty
            .search(&query(&[1.0; DIMENSION]), &RowSet::full(0), 5)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn refuses_a_vector_of_another_space_dimension_or_length() {
    let index = index(&[[1e20; DIMENSION]]);
    let all = RowSet::full(1);
    let elsewhere = SpacedEmbedding {
        space: EmbeddingSpace::parse("s2").unwrap(),
        ..query(&[1.0; DIMENSION])
    };
    let short = SpacedEmbedding {
        embedding: Embedding::new([1.0], 1).unwrap(),
        ..query(&[1.0; DIMENSION])
    };

    let refusals =
        [elsewhere, short, query(&[1e19; DIMENSION])].map(|query| index.search(&query, &all, 1).unwrap_err());

    assert!(matches!(refusals[0], IndexError::OtherSpace { .. }));
    assert!(matches!(
        refusals[1],
        IndexError::OtherDimension {
            expected: DIMENSION,
            found: 1
        }
    ));
    assert!(matches!(refusals[2], IndexError::TooLong));
}

#[test]
fn gives_back_the_embeddings_it_was_built_from() {
    let index = index(&[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]);

    assert_eq!(index.embedding(Row(1)), query(&[5.0, 6.0, 7.0, 8.0]));
}

/// What a selector costs Faiss is 32 bytes; two million of them lost would be 64 MB.
#[test]
fn a_search_leaves_no_memory_behind() {
    let allowed = RowSet::full(1000);
    let before = resident_bytes();

    for _ in 0..2_000_000 {
        SearchRows::only(&allowed).unwrap();
    }

    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
