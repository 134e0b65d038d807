//! What is asked: 50 features of 5 views, of some customers.

use std::fmt::Write as _;

use finrank_contracts::feast::{
    serving::{FeatureList, GetOnlineFeaturesRequest, get_online_features_request::Kind},
    types::{RepeatedValue, Value, value::Val},
};
use rand::RngExt;

pub(crate) const VIEWS: usize = 5;
pub(crate) const FEATURES_PER_VIEW: usize = 10;
/// Customers of one request.
pub(crate) const KEYS: [usize; 3] = [1, 10, 100];

/// A customer's id.
pub(crate) fn user_id(number: u32) -> String {
    format!("user-{number:07}")
}

/// The name of a feature, which is that of the attribute as well.
pub(crate) fn feature(view: usize, place: usize) -> String {
    format!("f_{view}_{place}")
}

/// The views as finrank declares them.
pub(crate) fn definitions() -> String {
    let mut text =
        "version = 1\npurpose = [{ name = \"marketing\", description = \"Offers.\" }]\n".to_owned();
    for view in 0..VIEWS {
        let _ = write!(
            text,
            "[[view]]\nname = \"view_{view}\"\nentity = \"customer\"\nsource = \"attributes\"\nttl = \"3650days\"\n\
             description = \"Ten numbers.\"\nowner = \"bench\"\nsensitivity = \"internal\"\npurposes = [\"marketing\"]\n"
        );
        for place in 0..FEATURES_PER_VIEW {
            let name = feature(view, place);
            let _ = write!(
                text,
                "[[view.feature]]\nname = \"{name}\"\ntype = \"number\"\ndescription = \"One.\"\n"
            );
        }
    }
    text
}

/// Some customers, drawn at random.
pub(crate) fn draw(users: u32, keys: usize) -> Vec<String> {
    let mut random = rand::rng();
    (0..keys).map(|_| user_id(random.random_range(0..users))).collect()
}

/// All features of customers drawn at random.
pub(crate) fn request(users: u32, keys: usize) -> GetOnlineFeaturesRequest {
    request_of(draw(users, keys))
}

/// All features of some customers, in Feast's words.
pub(crate) fn request_of(user_ids: Vec<String>) -> GetOnlineFeaturesRequest {
    let references = (0..VIEWS).flat_map(|view| {
        (0..FEATURES_PER_VIEW).map(move |place| format!("view_{view}:{}", feature(view, place)))
    });
    let ids = user_ids.into_iter().map(|id| Value { val: Some(Val::StringVal(id)) });
    GetOnlineFeaturesRequest {
        kind: Some(Kind::Features(FeatureList { val: references.collect() })),
        entities: [("user_id".to_owned(), RepeatedValue { val: ids.collect() })].into(),
        ..GetOnlineFeaturesRequest::default()
    }
}
