//! What ranking asks the feature store: a customer's embedding and holdings, and the stream of product
//! embeddings. Nothing else in this crate knows that there is a network behind it.

use std::time::Duration;

use finrank_contracts::{
    common,
    feature::v1::{
        BatchGetEmbeddingsRequest, BatchGetHoldingsRequest, EmbeddingResult, EmbeddingStatus, EntityKind,
        WatchProductEmbeddingsRequest, WatchProductEmbeddingsResponse,
        feature_store_service_client::FeatureStoreServiceClient,
    },
};
use finrank_model::{Embedding, EmbeddingSpace, ProductId, UserId};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{Generation, RankingError, Result, deadline::Deadline, index::SpacedEmbedding};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle connection is tested, so that a feature store that vanished is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The largest message taken: a chunk of 1,000 products with all that is known of them.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A customer as a vector.
#[derive(Clone, Debug)]
pub(crate) struct UserEmbedding {
    /// The vector, in its space.
    pub(crate) embedding: SpacedEmbedding,
    /// The refresh run that it comes from.
    pub(crate) run_id: i64,
}

/// A feature store, over one shared connection that is made when first needed and made again when it breaks.
#[derive(Clone, Debug)]
pub(crate) struct FeatureStore {
    client: FeatureStoreServiceClient<Channel>,
}

impl FeatureStore {
    /// A feature store at a URL, for example `http://127.0.0.1:50051`. Does not connect yet.
    pub(crate) fn at(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| RankingError::FeatureStoreUrl(url.to_owned()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let client = FeatureStoreServiceClient::new(endpoint.connect_lazy())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client })
    }

    /// The product embeddings that are served, whatever their model.
    pub(crate) async fn watch(&self) -> Result<Streaming<WatchProductEmbeddingsResponse>, Status> {
        let request = WatchProductEmbeddingsRequest {
            model_version: String::new(),
        };
        let response = self.client.clone().watch_product_embeddings(request).await?;
        Ok(response.into_inner())
    }

    /// A user's embedding of the catalogue's model, which is asked for by version: vectors of two models never
    /// meet.
    pub(crate) async fn embedding(
        &self,
        user_id: &UserId,
        catalogue: &Generation,
        deadline: Deadline,
    ) -> Result<UserEmbedding> {
        let request = BatchGetEmbeddingsRequest {
            entity: EntityKind::User.into(),
            ids: vec![user_id.to_string()],
            model_version: catalogue.model_version.to_string(),
        };
        let response = self
            .client
            .clone()
            .batch_get_embeddings(deadline.within(request))
            .await;
        let response = response.map_err(|status| match status.code() {
            Code::FailedPrecondition => RankingError::CatalogueOutdated {
                model_version: catalogue.model_version.clone(),
            },
            _ => RankingError::FeatureStore(status),
        })?;
        let response = response.into_inner();
        let run_id = response
            .generation
            .map(|generation| generation.run_id)
            .unwrap_or_default();
        let result = single(response.results, "embeddings")?;
        Ok(UserEmbedding {
            embedding: user_embedding(user_id, catalogue, result)?,
            run_id,
        })
    }

    /// What a user holds.
    pub(crate) async fn holdings(&self, user_id: &UserId, deadline: Deadline) -> Result<Vec<ProductId>> {
        let request = BatchGetHoldingsRequest {
            user_ids: vec![user_id.to_string()],
        };
        let response = self
            .client
            .clone()
            .batch_get_holdings(deadline.within(request))
            .await;
        let results = response.map_err(RankingError::FeatureStore)?.into_inner().results;
        let product_ids = single(results, "holdings")?.product_ids;
        product_ids
            .iter()
            .map(|product_id| {
                ProductId::parse(product_id).map_err(|invalid| RankingError::BadAnswer(invalid.to_string()))
            })
            .collect()
    }
}

/// The one result for the one id asked for.
fn single<T>(results: Vec<T>, of_what: &str) -> Result<T> {
    let count = results.len();
    let mut results = results.into_iter();
    match (results.next(), results.next()) {
        (Some(result), None) => Ok(result),
        _ => Err(RankingError::BadAnswer(format!(
            "{count} {of_what} for one customer"
        ))),
    }
}

fn user_embedding(
    user_id: &UserId,
    catalogue: &Generation,
    result: EmbeddingResult,
) -> Result<SpacedEmbedding> {
    match result.status() {
        EmbeddingStatus::Present => {
            let embedding = result.embedding.ok_or_else(|| {
                RankingError::BadAnswer("an embedding that is present and absent".to_owned())
            })?;
            spaced(catalogue, embedding)
        }
        EmbeddingStatus::UnknownEntity => Err(RankingError::UserNotFound(user_id.clone())),
        EmbeddingStatus::NotMaterialised => Err(RankingError::UserNotMaterialised(user_id.clone())),
        EmbeddingStatus::Unspecified => Err(RankingError::BadAnswer(
            "an embedding without a status".to_owned(),
        )),
    }
}

/// The embedding with the space that it says; whether that is the catalogue's is for the index to judge.
fn spaced(catalogue: &Generation, embedding: common::v1::Embedding) -> Result<SpacedEmbedding> {
    let bad = |reason: String| RankingError::BadAnswer(format!("a user embedding that {reason}"));
    Ok(SpacedEmbedding {
        space: EmbeddingSpace::parse(&embedding.embedding_space)
            .map_err(|invalid| bad(invalid.to_string()))?,
        embedding: Embedding::new(embedding.values, catalogue.dimension)
            .map_err(|invalid| bad(invalid.to_string()))?,
    })
}
