//! A model whose user tower reads a feature service: what it asks of records, and what its bundle says of itself.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod samples;

use std::sync::Arc;

use finrank_model::{
    AttributeValue, Bundle, ModelError, UserRecord,
    features::{Definitions, FeatureRow, FeatureSet, ProtectedFeatures},
};
use samples::{product_encoder, products, provenance, random, scorer, user_encoder, users};

fn set(name: &str) -> Arc<FeatureSet> {
    let text = format!(
        "version = 1
         purpose = [{{ name = 'marketing', description = '' }}]
         [[view]]
         name = 'activity'
         entity = 'customer'
         source = 'events'
         description = ''
         owner = 'test'
         sensitivity = 'personal'
         purposes = ['marketing']
         feature = [{{ name = '{name}', aggregate = 'count', description = '' }}]
         [[service]]
         name = 'towers'
         description = ''
         features = ['activity:*']"
    );
    let definitions = Definitions::parse(&text).unwrap();
    let refuse = ProtectedFeatures::Refuse;
    Arc::new(FeatureSet::of_service(&definitions, "towers", "marketing", refuse).unwrap())
}

/// Forty customers, of each its number as the feature's value, but for every seventh.
fn active_users(set: &Arc<FeatureSet>) -> Vec<UserRecord> {
    let mut users = users(40, &mut random(3));
    for (number, user) in users.iter_mut().enumerate() {
        let count = (number % 7 != 0).then_some(AttributeValue::Number(number as f64));
        user.features = set.row([count]);
    }
    users
}

fn bundle(users: &[UserRecord]) -> Bundle {
    let mut random = random(5);
    let users = user_encoder(users, &[12, 8], &mut random);
    let products = product_encoder(&products(6), &[12, 8], &mut random);
    Bundle::new(provenance(), users, products, scorer(&[16, 12, 1], &mut random)).unwrap()
}

#[test]
fn a_bundle_says_what_its_tower_reads_and_comes_back_whole() {
    let set = set("events");
    let bundle = bundle(&active_users(&set));
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("m-1");

    bundle.write(&directory).unwrap();

    let back = Bundle::read(&directory).unwrap();
    assert_eq!(back, bundle);
    assert_eq!(back.manifest.feature_set.as_ref(), Some(&*set));
    assert!(back.manifest.architecture.user.features.contains(&"activity:events".to_owned()));
}

#[test]
fn a_value_of_a_view_moves_the_embedding_and_a_missing_one_is_no_zero() {
    let set = set("events");
    let users = active_users(&set);
    let bundle = bundle(&users);
    let with = |value: Option<f64>| {
        let features = set.row([value.map(AttributeValue::Number)]);
        bundle.user.encode(&[UserRecord { features, ..users[1].clone() }]).unwrap()
    };

    assert_ne!(with(Some(0.0)), with(Some(30.0)));
    assert_ne!(with(Some(0.0)), with(None));
}

#[test]
fn records_without_these_features_are_refused() {
    let users = active_users(&set("events"));
    let bundle = bundle(&users);
    let encode = |features: FeatureRow| {
        let second = UserRecord { features, ..users[1].clone() };
        bundle.user.encode(&[users[0].clone(), second])
    };

    for features in [FeatureRow::default(), set("visits").row([None])] {
        let error = encode(features).unwrap_err();
        assert!(
            matches!(&error, ModelError::FeaturesMissing { row: 1, service } if service == "towers"),
            "{error}"
        );
    }
    encode(set("events").row([None])).unwrap();
}
