//! Every kind of index and every plan beside brute force.

use super::*;

const DIMENSION: usize = 16;
const ROWS: usize = 12_000;
/// Large enough for every band to be measured, small enough for an approximate search to read less than a scan.
const DEPTH: usize = 20;
const KINDS: [IndexKind; 4] = [IndexKind::Flat, IndexKind::Hnsw, IndexKind::Ivf, IndexKind::IvfSq8];

/// A graph must try harder than a scan does to find 98 % of so few.
pub(super) fn target(kind: IndexKind) -> f64 {
    if kind == IndexKind::Hnsw { 0.9 } else { 0.98 }
}

pub(super) fn settings(kind: IndexKind) -> IndexSettings {
    let config = IndexConfig { kind, recall_target: target(kind), ..IndexConfig::default() };
    IndexSettings { config, depth: Depth(DEPTH.try_into().unwrap()) }
}

/// Vectors around a hundred centres, as those of products lie around their classes.
pub(super) fn embeddings(rows: usize, seed: u64) -> Vec<Embedding> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut vector = |around: &[f32], spread: f32| -> Vec<f32> {
        around.iter().map(|value| value + random.random_range(-spread..spread)).collect()
    };
    let centres: Vec<Vec<f32>> = (0..100).map(|_| vector(&[0.0; DIMENSION], 1.0)).collect();
    (0..rows).map(|row| embedding(&vector(&centres[row % 100], 0.5))).collect()
}

pub(super) fn built(kind: IndexKind, embeddings: &[Embedding]) -> ProductIndex {
    let settings = settings(kind);
    IndexBuilder { settings: &settings, unchanged: None, directory: None }
        .build(generation(DIMENSION), embeddings)
        .unwrap()
}

fn share_of_rows(share: f64, seed: u64) -> RowSet {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    RowSet::of(ROWS, (0..ROWS).filter(|_| random.random_bool(share)).map(Row))
}

/// In f64, by another sum than the index's.
pub(super) fn best(embeddings: &[Embedding], asked: &[f32], allowed: &RowSet, k: usize) -> Vec<f64> {
    let mut products: Vec<f64> = allowed
        .iter()
        .map(|row| {
            let pairs = embeddings[row.0].as_slice().iter().zip(asked);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        })
        .collect();
    products.sort_by(|a, b| b.total_cmp(a));
    products.truncate(k);
    products
}

pub(super) fn share_found(expected: &[f64], hits: &[Hit]) -> f64 {
    let Some(last) = expected.last() else { return 1.0 };
    let found = hits.iter().filter(|hit| f64::from(hit.inner_product) >= last - 1e-5).count();
    found.min(expected.len()) as f64 / expected.len() as f64
}

#[test]
fn every_kind_gives_as_many_as_there_are_and_finds_what_its_plan_promises() {
    let embeddings = embeddings(ROWS, 1);
    let queries: Vec<Embedding> = self::embeddings(40, 2);
    for kind in KINDS {
        let index = built(kind, &embeddings);
        let mut approximate = 0;
        for share in [1.0, 0.5, 0.1, 0.01, 0.001] {
            let allowed = share_of_rows(share, 3);
            let mut recall = 0.0;
            for asked in &queries {
                let found = index.search(&query(asked.as_slice()), &allowed, DEPTH).unwrap();

                assert_eq!(found.hits.len(), DEPTH.min(allowed.len()), "{kind:?} at {share}");
                assert_eq!(found.plan.returned, found.hits.len());
                assert_eq!(found.plan.eligible, allowed.len());
                assert!(found.hits.iter().all(|hit| allowed.contains(hit.row)), "{kind:?} at {share}");
                let of_this = share_found(&best(&embeddings, asked.as_slice(), &allowed, DEPTH), &found.hits);
                match found.plan.method {
                    Method::Approximate { .. } => {
                        approximate += 1;
                        assert!(found.plan.expected_recall >= target(kind));
                    }
                    _ => assert_eq!((of_this, found.plan.expected_recall), (1.0, 1.0), "{kind:?} at {share}"),
                }
                recall += of_this;
            }
            recall /= queries.len() as f64;
            assert!(recall >= target(kind), "{kind:?} finds {recall} at {share}");
        }
        assert_eq!(
            approximate > 0,
            kind != IndexKind::Flat,
            "{kind:?} planned {approximate} approximate searches by {:?}",
            index.approximate()
        );
    }
}

#[test]
fn an_index_built_again_gives_the_same_answers() {
    let embeddings = embeddings(4_000, 4);
    let all = RowSet::full(4_000);
    for kind in KINDS {
        let (one, other) = (built(kind, &embeddings), built(kind, &embeddings));

        assert_eq!(one.approximate(), other.approximate());
        for asked in self::embeddings(20, 5) {
            let asked = query(asked.as_slice());
            assert_eq!(one.search(&asked, &all, DEPTH).unwrap(), other.search(&asked, &all, DEPTH).unwrap());
        }
    }
}

/// Where the filter keeps rows that the lists read do not hold, the scan of just these steps in.
#[test]
fn a_search_that_comes_back_with_too_few_is_made_again_exactly() {
    let embeddings = embeddings(ROWS, 6);
    let mut index = built(IndexKind::Ivf, &embeddings);
    // As if a single list had been measured to be enough.
    let setting = Setting { effort: Effort(1), recall: 1.0 };
    let placed = index.approximate.as_mut().unwrap();
    let approximate = Arc::get_mut(&mut placed.index).unwrap();
    approximate.recall.bands = vec![Band { share: 0.0, settings: vec![setting] }];
    let asked = &embeddings[0];
    let nearest = RowSet::of(
        ROWS,
        index
            .search(&query(asked.as_slice()), &RowSet::full(ROWS), 500)
            .unwrap()
            .hits
            .iter()
            .map(|hit| hit.row),
    );
    let mut others = RowSet::full(ROWS);
    nearest.iter().for_each(|row| others.remove(row));

    let found = index.search(&query(asked.as_slice()), &others, DEPTH).unwrap();

    let Method::ExactAfterApproximate { kind: ApproximateKind::Ivf, effort: Effort(1) } = found.plan.method
    else {
        panic!("{:?}", found.plan);
    };
    assert_eq!(found.hits.len(), DEPTH);
    assert_eq!(share_found(&best(&embeddings, asked.as_slice(), &others, DEPTH), &found.hits), 1.0);
}

#[test]
fn more_than_was_measured_for_is_searched_exactly() {
    let index = built(IndexKind::Ivf, &embeddings(ROWS, 7));

    let found = index.search(&query(&[1.0; DIMENSION]), &RowSet::full(ROWS), DEPTH + 1).unwrap();

    assert_eq!(found.plan.method, Method::FilteredFlat);
}

#[test]
fn the_kind_goes_by_the_number_of_products() {
    let config = IndexConfig::default();

    assert_eq!(config.approximate_kind(50_000), None);
    assert_eq!(config.approximate_kind(50_001), Some(ApproximateKind::Ivf));
    assert_eq!(IndexConfig { kind: IndexKind::Hnsw, ..config }.approximate_kind(999), None);
}
