//! How long it takes until what is pushed is in the embedding that is read: from the moment the push begins, by Feast's
//! contract, to the answer that has it. One push after the other, each of a customer drawn at random.

use std::time::{Duration, Instant};

use chrono::Utc;
use finrank_contracts::{
    feast::server::{PushRequest, grpc_feature_server_client::GrpcFeatureServerClient},
    feature::v1::{
        BatchGetEmbeddingsRequest, EntityKind, feature_store_service_client::FeatureStoreServiceClient,
    },
};
use tonic::transport::Channel;

use crate::{Result, shape};

/// When it is given up on one.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Its multiples' fractions are spread, and none comes twice.
const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Pushes for `span`; returns how long each took, in ascending order.
pub(crate) async fn measure(channel: &Channel, users: u32, span: Duration) -> Result<Vec<Duration>> {
    let mut pusher = GrpcFeatureServerClient::new(channel.clone());
    let mut reader = FeatureStoreServiceClient::new(channel.clone());
    let begin = Instant::now();
    let mut lags = Vec::new();
    while begin.elapsed() < span {
        let user_id = shape::draw(users, 1).remove(0);
        let before = vector(&mut reader, &user_id).await?;
        let pushed = Instant::now();
        pusher.push(push(&user_id, lags.len())).await?;
        while vector(&mut reader, &user_id).await? == before {
            if pushed.elapsed() > TIMEOUT {
                return Err(format!("what was pushed of {user_id} is not in its embedding").into());
            }
        }
        lags.push(pushed.elapsed());
    }
    lags.sort_unstable();
    Ok(lags)
}

/// Its first feature becomes another number, within those that the tower was fitted to.
fn push(user_id: &str, number: usize) -> PushRequest {
    let features = [
        ("user_id".to_owned(), user_id.to_owned()),
        ("event_timestamp".to_owned(), Utc::now().to_rfc3339()),
        (shape::feature(0, 0), (number as f64 * GOLDEN_RATIO).fract().to_string()),
    ];
    PushRequest {
        features: features.into(),
        stream_feature_view: "view_0".to_owned(),
        to: "online".to_owned(),
        ..PushRequest::default()
    }
}

async fn vector(reader: &mut FeatureStoreServiceClient<Channel>, user_id: &str) -> Result<Vec<f32>> {
    let request = BatchGetEmbeddingsRequest {
        entity: EntityKind::User.into(),
        ids: vec![user_id.to_owned()],
        model_version: String::new(),
    };
    let mut answer = reader.batch_get_embeddings(request).await?.into_inner();
    let embedding = answer.results.pop().and_then(|result| result.embedding);
    Ok(embedding.ok_or_else(|| format!("{user_id} has no embedding"))?.values)
}
