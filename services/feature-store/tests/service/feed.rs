//! What follows a snapshot: changes as they commit, and resuming after a break.

use std::collections::BTreeMap;

use finrank_contracts::{
    common::v1::Product,
    feature::v1::{
        RefreshScope, SnapshotReason, feature_store_service_client::FeatureStoreServiceClient,
        watch_product_embeddings_response::Step,
    },
};
use finrank_model::Bundle;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    learned::{Learned, PRODUCTS, computed, learn, learned},
    samples::{product, product_message, products},
    watching::{Snapshot, Watched, heartbeat, news, resume, snapshot, step, watch},
};

async fn started(products: usize) -> (FeatureStore, Bundle) {
    let mut store = FeatureStore::start_filled_live(3, products).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;
    (store, bundle)
}

/// A client's own copy of the catalogue, with where it is.
#[derive(Default)]
struct Copy {
    vectors: BTreeMap<String, Vec<f32>>,
    resume_token: Vec<u8>,
}

impl From<Snapshot> for Copy {
    fn from(snapshot: Snapshot) -> Self {
        let mut copy = Self { resume_token: snapshot.resume_token, ..Self::default() };
        for shown in snapshot.products {
            copy.take(Step::Upsert(shown));
        }
        copy
    }
}

impl Copy {
    fn take(&mut self, step: Step) {
        match step {
            Step::Upsert(shown) => {
                let id = shown.product.unwrap().product_id;
                self.vectors.insert(id, shown.embedding.unwrap().values);
            }
            Step::Delete(deleted) => drop(self.vectors.remove(&deleted.product_id)),
            Step::GenerationChanged(_) => {}
            Step::Progress(progress) => self.resume_token = progress.resume_token,
            Step::Heartbeat(heartbeat) => self.resume_token = heartbeat.resume_token,
            other => panic!("{other:?} is a snapshot's"),
        }
    }

    /// Takes what there is, up to the first heartbeat after `version` was live.
    async fn catch_up(&mut self, watched: &mut Watched) {
        loop {
            let step = step(watched).await;
            let is_over = matches!(step, Step::Heartbeat(_));
            self.take(step);
            if is_over {
                return;
            }
        }
    }
}

fn taken_back(index: usize) -> Product {
    Product { revision: 1, retracted: true, ..product_message(&product(index), 100) }
}

fn ids(steps: &[Step]) -> Vec<String> {
    let id = |step: &Step| match step {
        Step::Upsert(shown) => Some(format!("+{}", shown.product.as_ref().unwrap().product_id)),
        Step::Delete(deleted) => Some(format!("-{}", deleted.product_id)),
        _ => None,
    };
    steps.iter().filter_map(id).collect()
}

#[tokio::test]
async fn sends_a_new_product_with_its_embedding_and_a_taken_back_one_as_deleted_without_a_refresh() {
    let (mut store, bundle) = started(5).await;
    let mut watched = watch(&mut store, "").await;
    let mut copy = Copy::from(snapshot(&mut watched).await);

    store.write_products(vec![product_message(&product(7), 100), taken_back(2)]).await;
    while !copy.vectors.contains_key("p0007") || copy.vectors.contains_key("p0002") {
        copy.take(step(&mut watched).await);
    }

    let embedding = &bundle.product.encode(&[product(7)]).unwrap()[0];
    assert_eq!(copy.vectors["p0007"], embedding.as_slice());
    assert_eq!(copy.vectors.len(), 5);
}

#[tokio::test]
async fn whoever_was_away_is_sent_what_it_missed_and_nothing_else() {
    let (mut store, bundle) = started(5).await;
    let mut watched = watch(&mut store, "").await;
    let mut copy = Copy::from(snapshot(&mut watched).await);
    drop(watched);

    store.write_products(vec![product_message(&product(7), 100), taken_back(2)]).await;
    let like_another = Product { product_id: "p0001".to_owned(), ..product_message(&product(6), 200) };
    store.write_products(vec![like_another]).await;
    let run = store.refresh("m1").await;
    store.until_live("m1").await;
    let mut watched = resume(&store.client, "", copy.resume_token.clone()).await.unwrap();
    let steps = news(&mut watched).await;

    assert_eq!(ids(&steps), ["+p0001", "+p0007", "-p0002"]);
    let generation = steps.iter().find_map(|step| match step {
        Step::GenerationChanged(changed) => changed.generation.clone(),
        _ => None,
    });
    assert_eq!(generation.unwrap().run_id, run.run_id);
    steps.into_iter().for_each(|step| copy.take(step));
    let mut computed = computed(&store, &bundle).await;
    computed.retain(|id, _| id.starts_with('p'));
    assert_eq!(copy.vectors, computed);
    // From where it is now on there is nothing.
    let mut watched = resume(&store.client, "", copy.resume_token).await.unwrap();
    heartbeat(&mut watched).await;
}

#[tokio::test]
async fn a_heartbeats_token_leaves_out_what_was_looked_through() {
    let (mut store, _) = started(5).await;
    let mut watched = watch(&mut store, "").await;
    let first = snapshot(&mut watched).await.resume_token;

    let later = heartbeat(&mut watched).await;

    assert_ne!(later, first);
    store.write_products(vec![taken_back(2)]).await;
    store.until_live("m1").await;
    for token in [first, later] {
        let mut resumed = resume(&store.client, "", token).await.unwrap();
        assert_eq!(ids(&news(&mut resumed).await), ["-p0002"]);
    }
}

#[tokio::test]
async fn a_newer_generation_of_the_model_needs_no_snapshot() {
    let (mut store, _) = started(5).await;
    let mut watched = watch(&mut store, "").await;
    let snapshot = snapshot(&mut watched).await;

    let run = store.refresh("m1").await;
    let steps = news(&mut watched).await;

    let [Step::GenerationChanged(changed), Step::Progress(progress)] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(changed.generation.as_ref().unwrap().run_id, run.run_id);
    assert_ne!(progress.resume_token, snapshot.resume_token);
}

#[tokio::test]
async fn without_live_embeddings_a_new_product_comes_with_the_refresh_that_computes_it() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut watched = watch(&mut store, "").await;
    snapshot(&mut watched).await;

    store.write_products(vec![product_message(&product(7), 100)]).await;
    heartbeat(&mut watched).await;
    heartbeat(&mut watched).await;
    let run = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    let steps = news(&mut watched).await;

    assert_eq!(ids(&steps), ["+p0007"]);
    assert!(matches!(&steps[1], Step::GenerationChanged(changed)
        if changed.generation.as_ref().unwrap().run_id == run.run_id));
}

async fn why(client: &FeatureStoreServiceClient<Channel>, token: Vec<u8>) -> SnapshotReason {
    snapshot(&mut resume(client, "", token).await.unwrap()).await.reason
}

#[tokio::test]
async fn a_token_that_changes_do_not_lead_on_from_gets_a_snapshot_and_is_told_why() {
    let (mut store, _) = started(5).await;
    let (mut other, _) = started(5).await;
    let token = snapshot(&mut watch(&mut store, "").await).await.resume_token;
    let elsewhere = snapshot(&mut watch(&mut other, "").await).await.resume_token;
    let forgetful =
        store.second_server_configured(|config| config.watch.resume_limit = std::time::Duration::ZERO).await;

    assert_eq!(why(&store.client, elsewhere).await, SnapshotReason::TokenFromElsewhere);
    assert_eq!(why(&forgetful, token.clone()).await, SnapshotReason::TokenTooOld);
    store.register_model("m2", 2).await;
    store.refresh("m2").await;
    assert_eq!(why(&store.client, token.clone()).await, SnapshotReason::ModelVersionChanged);
    // Of the model version that it is of, it is still good.
    heartbeat(&mut resume(&store.client, "m1", token).await.unwrap()).await;
}

#[tokio::test]
async fn a_malformed_token_is_refused_by_name() {
    let (mut store, _) = started(5).await;
    let mut cut_off = snapshot(&mut watch(&mut store, "").await).await.resume_token;
    cut_off.pop();

    for token in [cut_off, b"nonsense".to_vec(), vec![1]] {
        let status = resume(&store.client, "", token).await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "resume_token");
    }
}

#[tokio::test]
async fn more_than_fits_into_a_batch_comes_in_several() {
    let (mut store, bundle) = started(5).await;
    let token = snapshot(&mut watch(&mut store, "").await).await.resume_token;
    for part in products(2100)[100..].chunks(1000) {
        store.write_products(part.iter().map(|product| product_message(product, 100)).collect()).await;
    }
    store.refresh("m1").await;
    store.until_live("m1").await;
    let mut copy = Copy { resume_token: token, ..Copy::default() };
    let mut watched = resume(&store.client, "", copy.resume_token.clone()).await.unwrap();

    let mut batches = Vec::new();
    while copy.vectors.len() < 2000 {
        let steps = news(&mut watched).await;
        batches.push(ids(&steps).len());
        steps.into_iter().for_each(|step| copy.take(step));
    }

    assert!(batches.len() > 1 && batches.iter().all(|batch| *batch <= 1000), "{batches:?}");
    let last = &bundle.product.encode(&[product(2099)]).unwrap()[0];
    assert_eq!(copy.vectors["p2099"], last.as_slice());
}

#[derive(Clone, Debug)]
enum Act {
    Learn(Learned),
    Refresh(RefreshScope),
    /// Reads so many steps.
    Read(usize),
    /// Breaks off, and comes back with the last token.
    Break,
}

#[test]
fn however_often_it_breaks_off_a_client_ends_with_the_catalogue_as_it_is() {
    let acts = prop_oneof![
        8 => learned().prop_map(Act::Learn),
        1 => prop::sample::select(vec![RefreshScope::Full, RefreshScope::Changes]).prop_map(Act::Refresh),
        3 => (1..4_usize).prop_map(Act::Read),
        3 => Just(Act::Break),
    ];
    let runtime = Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() });

    runner
        .run(&vec(acts, 1..30), |acts| {
            runtime.block_on(async {
                let (mut store, bundle) = started(PRODUCTS - 1).await;
                let mut watched = watch(&mut store, "").await;
                let mut copy = Copy::from(snapshot(&mut watched).await);
                for act in &acts {
                    match act {
                        Act::Learn(learned) => learn(&mut store, learned).await,
                        Act::Refresh(scope) => {
                            let run = store.start_scoped_refresh("m1", *scope).await.unwrap();
                            store.watch_refresh(run.run_id).await;
                        }
                        Act::Read(steps) => {
                            for _ in 0..*steps {
                                copy.take(step(&mut watched).await);
                            }
                        }
                        Act::Break => {
                            watched = resume(&store.client, "", copy.resume_token.clone()).await.unwrap();
                        }
                    }
                }
                store.until_live("m1").await;
                // The first heartbeat of a stream says that there is nothing more.
                let mut watched = resume(&store.client, "", copy.resume_token.clone()).await.unwrap();
                copy.catch_up(&mut watched).await;

                let mut computed = computed(&store, &bundle).await;
                computed.retain(|id, _| id.starts_with('p'));
                prop_assert_eq!(&copy.vectors, &computed);
                Ok(())
            })
        })
        .unwrap();
}
