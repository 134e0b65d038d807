use std::time::Instant;

use finrank_decisions::contents::Contents;
use finrank_model::{AttributeValue, Attributes, EmbeddingSpace, ModelVersion, RiskGrade, Sha256Digest};
use finrank_store::scratch::ScratchDatabase;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    fixtures::{
        DIMENSION, Sample, bundle, catalogue, generation, product_id, products, sample, spaced, vector,
    },
    pipeline::Pipeline,
};

fn snapshot(samples: &[Sample]) -> Snapshot {
    let generation = generation(1);
    let bundle = bundle(&generation).digest();
    Snapshot { generation, bundle, products: products(samples) }
}

fn one() -> Sample {
    Sample { class: ProductClass::Wealth, status: ProductStatus::Active, vector: [1.0; DIMENSION] }
}

#[test]
fn rows_are_in_the_order_of_product_ids_however_the_snapshot_came() {
    let mut shuffled = snapshot(&[one(), one(), one()]);
    shuffled.products.rotate_left(1);

    let catalogue = Catalogue::build(shuffled, &bundle(&generation(1))).unwrap();

    for row in 0..3 {
        assert_eq!(catalogue.product(Row(row)).product_id, product_id(row));
        assert_eq!(catalogue.row(&product_id(row)), Some(Row(row)));
    }
    assert_eq!(catalogue.row(&product_id(3)), None);
}

#[test]
fn a_bundle_of_another_model_space_or_dimension_is_refused_naming_both() {
    let embeddings = generation(1);
    let others = [
        Generation { model_version: ModelVersion::parse("m2").unwrap(), ..embeddings.clone() },
        Generation { embedding_space: EmbeddingSpace::parse("s2").unwrap(), ..embeddings.clone() },
        Generation { dimension: 5, ..embeddings },
    ];

    let refusals =
        others.map(|other| Catalogue::build(snapshot(&[one()]), &bundle(&other)).unwrap_err().to_string());

    assert_eq!(
        refusals,
        [
            "the bundle's model version is m2, the embeddings' is m1",
            "the bundle's embedding space is s2, the embeddings' is s1",
            "the bundle's dimension is 5, the embeddings' is 4",
        ]
    );
}

#[test]
fn a_product_that_comes_twice_is_refused() {
    let mut twice = snapshot(&[one()]);
    twice.products.extend(products(&[one()]));

    let refusal = Catalogue::build(twice, &bundle(&generation(1))).unwrap_err();

    assert!(matches!(refusal, CatalogueError::DuplicateProduct(id) if id == product_id(0)));
}

proptest! {
    #[test]
    fn scores_named_products_by_the_plain_formula_in_the_order_named(
        samples in prop::collection::vec(sample(), 1..60),
        user in vector(),
        named in prop::collection::vec(any::<prop::sample::Index>(), 1..80),
    ) {
        let generation = generation(1);
        let catalogue = catalogue(&generation, &samples);
        let user = spaced(&generation, user);
        let rows: Vec<Row> = named.iter().map(|index| Row(index.index(samples.len()))).collect();

        let scored = Pipeline::new(1).score(&catalogue, &user, &rows).unwrap();

        let plain = bundle(&generation).scorer;
        prop_assert!(scored.iter().map(|candidate| candidate.row).eq(rows));
        for candidate in scored {
            let product = catalogue.index().embedding(candidate.row).embedding;
            let inner_product: f32 =
                user.embedding.as_slice().iter().zip(product.as_slice()).map(|(u, p)| u * p).sum();
            prop_assert_eq!(candidate.retrieval_score, inner_product);
            prop_assert!((candidate.score.get() - plain.score(&user.embedding, &product).get()).abs() < 1e-5);
        }
    }

    #[test]
    fn directions_have_length_1_and_keep_their_angle(samples in prop::collection::vec(sample(), 1..30)) {
        let catalogue = catalogue(&generation(1), &samples);

        for (row, sample) in samples.iter().enumerate() {
            let direction = catalogue.directions().embedding(Row(row)).embedding;
            let length = catalogue.index().embedding(Row(row)).embedding.norm();
            if length == 0.0 {
                prop_assert_eq!(direction.as_slice(), sample.vector);
            } else {
                prop_assert!((direction.norm() - 1.0).abs() < 1e-6);
                for (unit, value) in direction.as_slice().iter().zip(sample.vector) {
                    prop_assert!((f64::from(*unit) * length - f64::from(value)).abs() < 1e-5);
                }
            }
        }
    }
}

/// A product of every shape, so that whatever is left out of what is kept is missed.
fn declared(samples: &[Sample]) -> Snapshot {
    let mut snapshot = snapshot(samples);
    for (place, (product, _)) in snapshot.products.iter_mut().enumerate() {
        product.risk_grade = (place % 2 == 0).then(|| RiskGrade::new(1 + place as u32 % 5).unwrap());
        let attributes = [
            ("rate".to_owned(), AttributeValue::Number(place as f64 / 3.0)),
            ("term".to_owned(), AttributeValue::Text("long".to_owned())),
            ("open".to_owned(), AttributeValue::Flag(place % 3 == 0)),
        ];
        product.attributes = Attributes::new(attributes).unwrap();
    }
    snapshot
}

fn built(snapshot: Snapshot) -> Catalogue {
    let bundle = bundle(snapshot.generation());
    Catalogue::build(snapshot, &bundle).unwrap()
}

async fn rows(database: &ScratchDatabase, kind: &str) -> i64 {
    let counted = sqlx::query_scalar("select count(*) from kept_contents where kind = $1").bind(kind);
    counted.fetch_one(database.store.pool()).await.unwrap()
}

#[tokio::test]
async fn a_catalogue_that_is_kept_is_restored_bit_for_bit() {
    let database = ScratchDatabase::create().await;
    let contents = Contents::new(database.store.clone());
    let mut samples = vec![one(); 700];
    samples[1].status = ProductStatus::Withdrawn;
    samples[2].vector = [-0.0, f32::MIN_POSITIVE / 2.0, 1.0 / 3.0, -7.25];
    let catalogue = built(declared(&samples));

    catalogue.keep(&contents).await.unwrap();
    let restored = built(Snapshot::kept(&contents, catalogue.digest()).await.unwrap().unwrap());

    assert_eq!(restored.digest(), catalogue.digest());
    assert_eq!(restored.products(), catalogue.products());
    assert_eq!(restored.generation(), catalogue.generation());
    let bits = |catalogue: &Catalogue, row| {
        let embedding = catalogue.index().embedding(Row(row)).embedding;
        embedding.as_slice().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert!((0..700).all(|row| bits(&restored, row) == bits(&catalogue, row)));
    assert!(Snapshot::kept(&contents, Sha256Digest::of(b"another")).await.unwrap().is_none());
}

#[tokio::test]
async fn of_the_next_catalogue_only_what_has_changed_is_kept() {
    let database = ScratchDatabase::create().await;
    let contents = Contents::new(database.store.clone());
    let before = vec![one(); 2_000];
    let mut after = before.clone();
    after[1_000].vector = [2.0; DIMENSION];

    built(declared(&before)).keep(&contents).await.unwrap();
    let pages = rows(&database, "page").await;
    built(declared(&after)).keep(&contents).await.unwrap();
    built(declared(&after)).keep(&contents).await.unwrap();

    assert_eq!(rows(&database, "product").await, 2_001);
    assert!((2..=100).contains(&pages), "{pages}");
    // Two where the product that has changed ends a page in one of the two catalogues.
    assert!((1..=2).contains(&(rows(&database, "page").await - pages)));
    assert_eq!(rows(&database, "catalogue").await, 2);
}

/// The figures of docs/decisions.md: `cargo test -p finrank-ranking --lib a_hundred_thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute's work"]
async fn a_hundred_thousand_products_are_kept_and_restored() {
    const COMPONENTS: usize = 64;
    let database = ScratchDatabase::create().await;
    let contents = Contents::new(database.store.clone());
    let generation = Generation { dimension: COMPONENTS, ..generation(1) };
    let bundle = bundle(&generation);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut rows: Vec<(CatalogueProduct, Embedding)> = products(&vec![one(); 100_000])
        .into_iter()
        .map(|(product, _)| {
            let values: Vec<f32> = (0..COMPONENTS).map(|_| random.random_range(-1.0..1.0)).collect();
            (product, Embedding::new(values, COMPONENTS).unwrap())
        })
        .collect();
    let built = |rows: &[(CatalogueProduct, Embedding)]| {
        let snapshot =
            Snapshot { generation: generation.clone(), bundle: bundle.digest(), products: rows.to_vec() };
        Catalogue::build(snapshot, &bundle).unwrap()
    };
    let before = built(&rows);
    rows[50_000].1 = Embedding::new(vec![0.5; COMPONENTS], COMPONENTS).unwrap();
    let after = built(&rows);

    let started = Instant::now();
    before.digest();
    let named = started.elapsed();
    before.keep(&contents).await.unwrap();
    let kept = started.elapsed() - named;
    after.digest();
    let started = Instant::now();
    after.keep(&contents).await.unwrap();
    let changed = started.elapsed();
    let started = Instant::now();
    let restored = Snapshot::kept(&contents, after.digest()).await.unwrap().unwrap();
    let read = started.elapsed();

    let megabytes: f64 = sqlx::query_scalar("select pg_total_relation_size('kept_contents') / 1e6::float8")
        .fetch_one(database.store.pool())
        .await
        .unwrap();
    println!(
        "named in {named:?}, kept in {kept:?} ({megabytes:.0} MB), one change in {changed:?}, read in {read:?}"
    );
    assert_eq!(Catalogue::build(restored, &bundle).unwrap().digest(), after.digest());
}
