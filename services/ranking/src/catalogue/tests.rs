use finrank_model::{EmbeddingSpace, ModelVersion};
use proptest::prelude::*;

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
            let length = norm(&catalogue.index().embedding(Row(row)).embedding);
            if length == 0.0 {
                prop_assert_eq!(direction.as_slice(), sample.vector);
            } else {
                prop_assert!((norm(&direction) - 1.0).abs() < 1e-6);
                for (unit, value) in direction.as_slice().iter().zip(sample.vector) {
                    prop_assert!((f64::from(*unit) * length - f64::from(value)).abs() < 1e-5);
                }
            }
        }
    }
}
