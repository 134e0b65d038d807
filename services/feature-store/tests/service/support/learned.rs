//! Anything that may be learned, and what embeddings must then be.

use std::collections::BTreeMap;

use finrank_contracts::{
    common::v1::{Customer, EventKind},
    feature::v1::EntityKind,
};
use finrank_model::Bundle;
use finrank_store::records;
use proptest::prelude::*;

use super::{
    FeatureStore,
    samples::{customer_message, event_message, product, product_message, user},
};

/// Customers and products that there may be.
pub(crate) const USERS: usize = 25;
pub(crate) const PRODUCTS: usize = 6;

/// Something that is learned.
#[derive(Clone, Debug)]
pub(crate) enum Learned {
    /// What user `index` may know of another customer, true since so many seconds; old, perhaps.
    Customer {
        index: usize,
        like: usize,
        seconds: i64,
    },
    CustomerIsGone {
        index: usize,
    },
    Event {
        user: usize,
        product: usize,
        kind: EventKind,
        revision: u32,
        retracted: bool,
        seconds: i64,
    },
    Product {
        index: usize,
        like: usize,
        seconds: i64,
    },
    ProductIsGone {
        index: usize,
    },
}

/// Anything.
pub(crate) fn learned() -> impl Strategy<Value = Learned> {
    let kinds = prop::sample::select(vec![EventKind::Acquired, EventKind::Closed, EventKind::Viewed]);
    let event = (0..USERS, 0..PRODUCTS, kinds, 0..3_u32, any::<bool>(), 0..400_i64);
    prop_oneof![
        (0..USERS, 0..USERS, 0..400_i64).prop_map(|(index, like, seconds)| Learned::Customer {
            index,
            like,
            seconds
        }),
        (0..USERS).prop_map(|index| Learned::CustomerIsGone { index }),
        event.prop_map(|(user, product, kind, revision, retracted, seconds)| Learned::Event {
            user,
            product,
            kind,
            revision,
            retracted: retracted && revision > 0,
            seconds
        }),
        (0..PRODUCTS, 0..PRODUCTS, 0..400_i64).prop_map(|(index, like, seconds)| Learned::Product {
            index,
            like,
            seconds
        }),
        (0..PRODUCTS).prop_map(|index| Learned::ProductIsGone { index }),
    ]
}

/// Writes it.
pub(crate) async fn learn(store: &mut FeatureStore, learned: &Learned) {
    match *learned {
        Learned::Customer { index, like, seconds } => {
            let said =
                Customer { user_id: user(index).user_id.into(), ..customer_message(&user(like), seconds) };
            store.write_customers(vec![said]).await;
        }
        Learned::CustomerIsGone { index } => {
            let gone = Customer { revision: 1, retracted: true, ..customer_message(&user(index), 100) };
            store.write_customers(vec![gone]).await;
        }
        Learned::Event { user: index, product: of, kind, revision, retracted, seconds } => {
            // The id of the event by which the product may have come to be held.
            let of = product(of).product_id.to_string();
            let id = format!("acquired {of}");
            let mut event = event_message(&id, user(index).user_id.as_str(), &of, kind, seconds);
            (event.revision, event.retracted) = (revision, retracted);
            store.write_events(vec![event]).await;
        }
        Learned::Product { index, like, seconds } => {
            let mut said = product_message(&product(like), seconds);
            said.product_id = product(index).product_id.into();
            store.write_products(vec![said]).await;
        }
        Learned::ProductIsGone { index } => {
            let mut gone = product_message(&product(index), 100);
            (gone.revision, gone.retracted) = (1, true);
            store.write_products(vec![gone]).await;
        }
    }
}

/// What readers find of everyone and everything.
pub(crate) async fn found(store: &mut FeatureStore) -> Vec<(String, Option<Vec<f32>>)> {
    let users: Vec<String> = (0..USERS).map(|index| user(index).user_id.into()).collect();
    let products: Vec<String> = (0..PRODUCTS).map(|index| product(index).product_id.into()).collect();
    let mut found = Vec::new();
    for (kind, ids) in [(EntityKind::User, users), (EntityKind::Product, products)] {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answer = store.embeddings(kind, &ids, "m1").await.unwrap();
        for result in answer.results {
            found.push((result.id, result.embedding.map(|embedding| embedding.values)));
        }
    }
    found
}

/// What a full refresh would compute of all that is known now.
pub(crate) async fn computed(store: &FeatureStore, bundle: &Bundle) -> BTreeMap<String, Vec<f32>> {
    let users = records::user_records(&store.database.store, None, None, 1000).await.unwrap();
    let products = records::product_records(&store.database.store, None, None, 1000).await.unwrap();
    let embeddings = bundle.user.encode(&users).unwrap().into_iter();
    let mut computed: BTreeMap<_, _> = users
        .iter()
        .zip(embeddings)
        .map(|(user, embedding)| (user.user_id.to_string(), embedding.as_slice().to_vec()))
        .collect();
    let embeddings = bundle.product.encode(&products).unwrap().into_iter();
    computed.extend(
        products
            .iter()
            .zip(embeddings)
            .map(|(product, embedding)| (product.product_id.to_string(), embedding.as_slice().to_vec())),
    );
    computed
}
