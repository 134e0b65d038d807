//! Products that come, change and go beside an approximate index.

use super::{
    plans::{best, built, embeddings, settings, share_found, target},
    *,
};

const DIMENSION: usize = 16;
const ROWS: usize = 12_000;

/// An index after changes: of each row either the row before that it continues, or a new embedding.
fn after(before: &ProductIndex, kind: IndexKind, rows: &[(Option<Row>, Embedding)]) -> ProductIndex {
    let settings = settings(kind);
    let unchanged = Unchanged { index: before, rows: rows.iter().map(|(row, _)| *row).collect() };
    let embeddings: Vec<Embedding> = rows.iter().map(|(_, embedding)| embedding.clone()).collect();
    let builder = IndexBuilder { settings: &settings, unchanged: Some(unchanged), directory: None };
    builder.build(generation(DIMENSION), &embeddings).unwrap()
}

/// Every 100th product gone, every 100th changed, every 100th with a new one before it.
fn changed(embeddings: &[Embedding]) -> Vec<(Option<Row>, Embedding)> {
    let news = super::plans::embeddings(embeddings.len(), 99);
    let mut rows = Vec::new();
    for (row, embedding) in embeddings.iter().enumerate() {
        match row % 100 {
            10 => {}
            30 => rows.push((None, news[row].clone())),
            60 => rows.extend([(None, news[row].clone()), (Some(Row(row)), embedding.clone())]),
            _ => rows.push((Some(Row(row)), embedding.clone())),
        }
    }
    rows
}

#[test]
fn what_has_come_changed_and_gone_is_found_as_it_is_without_building_anew() {
    let before_embeddings = embeddings(ROWS, 1);
    for kind in [IndexKind::Hnsw, IndexKind::Ivf, IndexKind::IvfSq8] {
        let before = built(kind, &before_embeddings);
        let rows = changed(&before_embeddings);
        let now: Vec<Embedding> = rows.iter().map(|(_, embedding)| embedding.clone()).collect();

        let index = after(&before, kind, &rows);

        assert_eq!(index.changed(), 480, "120 gone, 120 changed in both, 120 new");
        let held = |index: &ProductIndex| Arc::as_ptr(&index.approximate.as_ref().unwrap().index);
        assert_eq!(held(&index), held(&before));
        for allowed in [RowSet::full(now.len()), RowSet::of(now.len(), (0..now.len()).step_by(2).map(Row))] {
            let mut recall = 0.0;
            // Each new product is asked for by itself.
            for (row, (_, asked)) in rows.iter().enumerate().filter(|(_, (before, _))| before.is_none()) {
                let found = index.search(&query(asked.as_slice()), &allowed, 20).unwrap();

                let expected = best(&now, asked.as_slice(), &allowed, 20);
                if allowed.len() == now.len() {
                    assert!(matches!(found.plan.method, Method::Approximate { .. }), "{:?}", found.plan);
                }
                let itself = found.hits.iter().any(|hit| hit.row == Row(row));
                let product = index.vectors.hit(asked.as_slice(), Row(row)).inner_product;
                let is_among_them = f64::from(product) > expected[19] + 1e-5 && allowed.contains(Row(row));
                assert!(itself || !is_among_them, "{kind:?} does not find row {row}");
                assert_eq!(found.hits.len(), 20);
                assert!(found.hits.iter().all(|hit| allowed.contains(hit.row)));
                recall += share_found(&expected, &found.hits);
            }
            assert!(recall / 240.0 >= target(kind), "{kind:?} finds {}", recall / 240.0);
        }
    }
}

#[test]
fn changes_upon_changes_are_counted_from_when_the_index_was_built() {
    let first = embeddings(ROWS, 1);
    let before = built(IndexKind::Ivf, &first);
    let drop_last = |count: usize| -> Vec<(Option<Row>, Embedding)> {
        first[..count]
            .iter()
            .enumerate()
            .map(|(row, embedding)| (Some(Row(row)), embedding.clone()))
            .collect()
    };

    let fewer = after(&before, IndexKind::Ivf, &drop_last(11_700));
    let fewer_still = after(&fewer, IndexKind::Ivf, &drop_last(11_500));
    let too_few = after(&fewer_still, IndexKind::Ivf, &drop_last(11_399));

    assert_eq!((fewer.changed(), fewer_still.changed()), (300, 500));
    assert_eq!(too_few.changed(), 0, "more than 5 % have gone, so that the index was built anew");
}

#[test]
fn an_index_of_another_space_or_kind_is_not_built_upon() {
    let embeddings = embeddings(ROWS, 1);
    let before = built(IndexKind::Ivf, &embeddings);
    let rows: Vec<Option<Row>> = (0..ROWS).map(|row| Some(Row(row))).collect();
    let build = |kind, generation| {
        let settings = settings(kind);
        let unchanged = Some(Unchanged { index: &before, rows: rows.clone() });
        IndexBuilder { settings: &settings, unchanged, directory: None }
            .build(generation, &embeddings)
            .unwrap()
    };
    let shares = |index: &ProductIndex| {
        Arc::ptr_eq(&index.approximate.as_ref().unwrap().index, &before.approximate.as_ref().unwrap().index)
    };
    let elsewhere =
        Generation { embedding_space: EmbeddingSpace::parse("s2").unwrap(), ..generation(DIMENSION) };
    let next_run = Generation { run_id: 2, ..generation(DIMENSION) };

    assert!(shares(&build(IndexKind::Ivf, next_run)));
    assert!(!shares(&build(IndexKind::Ivf, elsewhere)));
    assert!(!shares(&build(IndexKind::IvfSq8, generation(DIMENSION))));
}
