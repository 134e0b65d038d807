//! The mean customer in a bundle: carried, checked, and asked for by name when it is not there.

#![allow(clippy::unwrap_used)]

mod samples;

use finrank_model::{Bundle, FeatureMeans, ModelError};
use samples::written::Written;
use tempfile::TempDir;

/// A bundle that carries the mean of some customers, on disk.
fn written() -> (TempDir, Bundle) {
    let models = tempfile::tempdir().unwrap();
    let bundle = samples::bundle(1);
    let users = samples::users(20, &mut samples::random(4));
    let vocabulary = bundle.user.tower.vocabulary_len();
    let means = FeatureMeans::of(&bundle.user.transform.rows(&users), vocabulary);
    let bundle = bundle.with_means(means).unwrap();
    bundle.write(&models.path().join("m-1")).unwrap();
    (models, bundle)
}

#[test]
fn a_bundle_that_carries_the_mean_customer_comes_back_and_explains_bit_for_bit() {
    let (models, bundle) = written();
    let users = samples::users(1, &mut samples::random(8));
    let products = bundle.product.encode(&samples::products(2)).unwrap();

    let back = Bundle::read_registered(&models.path().join("m-1"), bundle.digest()).unwrap();

    assert_eq!(back, bundle);
    let explained = |bundle: &Bundle| bundle.explainer().unwrap().explain(&users[0], &products).unwrap();
    assert_eq!(explained(&back), explained(&bundle));
}

#[test]
fn golden_vectors_and_the_mean_customer_travel_together_in_either_order() {
    let (_models, bundle) = written();
    let users = samples::users(2, &mut samples::random(3));
    let means = bundle.means().unwrap().clone();

    let before = bundle.with_golden(&users, &samples::products(2)).unwrap();
    let after = samples::bundle(1).with_golden(&users, &samples::products(2)).unwrap();

    assert_eq!(before.digest(), after.with_means(means).unwrap().digest());
    let names: Vec<&str> = before.manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names[..2], ["golden.json", "means.json"]);
}

#[test]
fn a_bundle_of_an_earlier_version_is_read_and_refuses_to_explain() {
    let error = Written::new().read().unwrap().explainer().unwrap_err();

    let expected = "model m-1 does not carry the mean customer that explanations start from: train it anew";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refuses_the_mean_customer_of_another_tower() {
    let other = FeatureMeans::of(&samples::bundle(1).user.transform.rows(&[]), 2);

    let error = samples::bundle(1).with_means(other).unwrap_err();

    assert!(matches!(error, ModelError::Shape { .. }), "{error}");
}
