//! The stream of product embeddings, as a client reads it.

use finrank_contracts::feature::v1::{
    Generation, ProductEmbedding, SnapshotReason, WatchProductEmbeddingsRequest,
    WatchProductEmbeddingsResponse, feature_store_service_client::FeatureStoreServiceClient,
    watch_product_embeddings_response::Step,
};
use tonic::{Status, Streaming, transport::Channel};

use super::FeatureStore;

pub(crate) type Watched = Streaming<WatchProductEmbeddingsResponse>;

pub(crate) struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) reason: SnapshotReason,
    pub(crate) products: Vec<ProductEmbedding>,
    /// The size of each.
    pub(crate) chunks: Vec<usize>,
    pub(crate) resume_token: Vec<u8>,
}

pub(crate) async fn watch(store: &mut FeatureStore, version: &str) -> Watched {
    resume(&store.client, version, Vec::new()).await.unwrap()
}

pub(crate) async fn resume(
    client: &FeatureStoreServiceClient<Channel>,
    version: &str,
    resume_token: Vec<u8>,
) -> Result<Watched, Status> {
    let request = WatchProductEmbeddingsRequest { model_version: version.to_owned(), resume_token };
    Ok(client.clone().watch_product_embeddings(request).await?.into_inner())
}

pub(crate) async fn step(watched: &mut Watched) -> Step {
    watched.message().await.unwrap().expect("the stream goes on").step.unwrap()
}

/// Reads past heartbeats to the next whole snapshot.
pub(crate) async fn snapshot(watched: &mut Watched) -> Snapshot {
    match past_heartbeats(watched).await {
        Step::SnapshotStarted(started) => {
            let reason = started.reason();
            let (generation, count) = (started.generation.unwrap(), started.product_count);
            let snapshot = rest_of_snapshot(watched, generation, reason).await;
            assert_eq!(count, snapshot.products.len() as u64);
            snapshot
        }
        other => panic!("{other:?} before a snapshot started"),
    }
}

async fn rest_of_snapshot(watched: &mut Watched, generation: Generation, reason: SnapshotReason) -> Snapshot {
    let mut products = Vec::new();
    let mut chunks = Vec::new();
    let complete = loop {
        match step(watched).await {
            Step::SnapshotChunk(chunk) => {
                chunks.push(chunk.products.len());
                products.extend(chunk.products);
            }
            Step::SnapshotComplete(complete) => break complete,
            other => panic!("{other:?} within a snapshot"),
        }
    };
    assert_eq!(complete.run_id, generation.run_id);
    Snapshot { generation, reason, products, chunks, resume_token: complete.resume_token }
}

/// Reads past heartbeats to the end of the next batch of changes, which is Progress.
pub(crate) async fn news(watched: &mut Watched) -> Vec<Step> {
    let mut steps = vec![past_heartbeats(watched).await];
    while !matches!(steps.last(), Some(Step::Progress(_))) {
        steps.push(match step(watched).await {
            within @ (Step::Upsert(_) | Step::Delete(_) | Step::GenerationChanged(_) | Step::Progress(_)) => {
                within
            }
            other => panic!("{other:?} within a batch that began with {steps:?}"),
        });
    }
    steps
}

async fn past_heartbeats(watched: &mut Watched) -> Step {
    for _ in 0..1000 {
        match step(watched).await {
            Step::Heartbeat(_) => {}
            other => return other,
        }
    }
    panic!("nothing but heartbeats");
}

/// The next step, which is a heartbeat. Returns its resume token.
pub(crate) async fn heartbeat(watched: &mut Watched) -> Vec<u8> {
    match step(watched).await {
        Step::Heartbeat(heartbeat) => {
            assert!(heartbeat.sent_at.is_some());
            heartbeat.resume_token
        }
        other => panic!("{other:?} instead of a heartbeat"),
    }
}
