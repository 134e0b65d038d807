//! What ranking asks the feature store: a customer's embedding, holdings and facts, and the stream of product
//! embeddings. Nothing else in this crate knows that there is a network behind it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use finrank_contracts::{
    common,
    feature::v1::{
        BatchGetEmbeddingsRequest, BatchGetHoldingsRequest, BatchGetTowerInputsRequest, EmbeddingResult,
        EmbeddingStatus, EntityKind, ExpiredPolicy, FeatureSelection, FeatureValue, GetOnlineFeaturesRequest,
        GetOnlineFeaturesResponse, WatchProductEmbeddingsRequest, WatchProductEmbeddingsResponse,
        feature_store_service_client::FeatureStoreServiceClient, feature_value::Value,
    },
    model::v1::{
        GetTrafficRequest, GetTrafficResponse, model_registry_service_client::ModelRegistryServiceClient,
    },
};
use finrank_model::{Embedding, EmbeddingSpace, InvalidField, ModelVersion, ProductId, UserId};
use finrank_policy::{FactSource, Profiling};
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    Generation, RankingError, Result, catalogue::Catalogue, deadline::Deadline, explanations::FedInputs,
    facts::GivenFacts, index::SpacedEmbedding, popularity::Popularity,
};

/// The most entities that one request may ask about.
pub(crate) const ENTITIES: usize = 1000;

/// The most customers whose towers' inputs one request may ask for.
const FED: usize = 100;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the answer may take what is tried beside the version that is served.
const TRAFFIC_TIMEOUT: Duration = Duration::from_secs(3);
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
    registry: ModelRegistryServiceClient<Channel>,
}

impl FeatureStore {
    /// A feature store at a URL, for example `http://127.0.0.1:50051`. Does not connect yet.
    pub(crate) fn at(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .ok()
            .filter(|endpoint| endpoint.uri().scheme_str() == Some("http"))
            .ok_or_else(|| RankingError::FeatureStoreUrl(url.to_owned()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        let registry = ModelRegistryServiceClient::new(channel.clone());
        let client = FeatureStoreServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client, registry })
    }

    /// What is tried beside the version that is served.
    pub(crate) async fn traffic(&self) -> Result<GetTrafficResponse, Status> {
        let mut request = Request::new(GetTrafficRequest {});
        request.set_timeout(TRAFFIC_TIMEOUT);
        Ok(self.registry.clone().get_traffic(request).await?.into_inner())
    }

    /// The product embeddings of a model version, or else those that are served, whatever their model, from a resume token on
    /// if it is not empty.
    pub(crate) async fn watch(
        &self,
        version: Option<&ModelVersion>,
        resume_token: Vec<u8>,
    ) -> Result<Streaming<WatchProductEmbeddingsResponse>, Status> {
        let model_version = version.map(ToString::to_string).unwrap_or_default();
        let request = WatchProductEmbeddingsRequest { model_version, resume_token };
        let response = self.client.clone().watch_product_embeddings(request).await?;
        Ok(response.into_inner())
    }

    /// Users' embeddings of the catalogue's model, in the order asked. It is asked for by version: vectors of two models
    /// never meet. At most [`ENTITIES`] users.
    pub(crate) async fn embeddings(
        &self,
        user_ids: &[UserId],
        catalogue: &Generation,
        deadline: Deadline,
    ) -> Result<Vec<Result<UserEmbedding>>> {
        let request = BatchGetEmbeddingsRequest {
            entity: EntityKind::User.into(),
            ids: raw(user_ids),
            model_version: catalogue.model_version.to_string(),
        };
        let response = self.client.clone().batch_get_embeddings(deadline.within(request)).await;
        let response = response.map_err(|status| match status.code() {
            Code::FailedPrecondition => {
                RankingError::CatalogueOutdated { model_version: catalogue.model_version.clone() }
            }
            _ => RankingError::FeatureStore(status),
        })?;
        let response = response.into_inner();
        let run_id = response.generation.map(|generation| generation.run_id).unwrap_or_default();
        let results = of_each(user_ids, response.results, "embeddings")?;
        let embedding = |(user_id, result)| {
            Ok(UserEmbedding { embedding: user_embedding(user_id, catalogue, result)?, run_id })
        };
        Ok(results.map(embedding).collect())
    }

    /// What the policy asks to know of users, in the order asked. At most [`ENTITIES`] users.
    pub(crate) async fn facts(
        &self,
        user_ids: &[UserId],
        source: &FactSource,
        deadline: Deadline,
    ) -> Result<Vec<GivenFacts>> {
        let FactSource { service, purpose } = source;
        let selection = FeatureSelection {
            feature_service: service.clone(),
            purpose: purpose.clone(),
            // Whatever the views' own policies: what is too old is said to be, and does not end the request.
            expired: ExpiredPolicy::Flag.into(),
            ..FeatureSelection::default()
        };
        let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids: raw(user_ids) };
        let response = self.client.clone().get_online_features(deadline.within(request)).await;
        let response = response.map_err(|status| match status.code() {
            Code::InvalidArgument => RankingError::FactsNotDeclared {
                service: service.clone(),
                purpose: purpose.clone(),
                refusal: status.message().to_owned(),
            },
            _ => RankingError::FeatureStore(status),
        })?;
        let GetOnlineFeaturesResponse { header, rows } = response.into_inner();
        let features = header.unwrap_or_default().features;
        let rows = of_each(user_ids, rows, "rows of features")?;
        rows.map(|(_, row)| GivenFacts::new(features.clone(), row.values)).collect()
    }

    /// What was fed to the user tower of the catalogue's model, of those who have an embedding.
    ///
    /// # Errors
    /// [`RankingError::Invalid`] under `explain.purpose` when the feature store declares no such purpose.
    pub(crate) async fn tower_inputs(
        &self,
        user_ids: &[UserId],
        catalogue: &Generation,
        purpose: &str,
        deadline: Deadline,
    ) -> Result<HashMap<UserId, FedInputs>> {
        let mut fed = HashMap::with_capacity(user_ids.len());
        for user_ids in user_ids.chunks(FED) {
            let request = BatchGetTowerInputsRequest {
                user_ids: raw(user_ids),
                model_version: catalogue.model_version.to_string(),
                purpose: purpose.to_owned(),
            };
            let response = self.client.clone().batch_get_tower_inputs(deadline.within(request)).await;
            let response = response.map_err(|status| match status.code() {
                Code::InvalidArgument => {
                    let reason =
                        format!("is {purpose:?}, which the feature store refuses: {}", status.message());
                    InvalidField::new("explain.purpose", reason).into()
                }
                _ => RankingError::FeatureStore(status),
            })?;
            let response = response.into_inner();
            let declared: Arc<[_]> = response.inputs.into();
            for (user_id, result) in of_each(user_ids, response.results, "inputs of towers")? {
                if let Some(inputs) = result.inputs {
                    fed.insert(user_id.clone(), FedInputs { inputs, declared: Arc::clone(&declared) });
                }
            }
        }
        Ok(fed)
    }

    /// How popular a catalogue's products are.
    pub(crate) async fn popularity(
        &self,
        catalogue: &Catalogue,
        profiling: &Profiling,
        deadline: Deadline,
    ) -> Result<Popularity> {
        let mut by_row = Vec::with_capacity(catalogue.len());
        for products in catalogue.products().chunks(ENTITIES) {
            let request = GetOnlineFeaturesRequest {
                selection: Some(FeatureSelection {
                    features: vec![profiling.popularity.to_string()],
                    purpose: profiling.purpose.clone(),
                    ..FeatureSelection::default()
                }),
                entity_ids: products.iter().map(|product| product.product_id.to_string()).collect(),
            };
            let response = self.client.clone().get_online_features(deadline.within(request)).await;
            let rows = response.map_err(RankingError::FeatureStore)?.into_inner().rows;
            if rows.len() != products.len() {
                let told = format!("{} rows of features for {} products", rows.len(), products.len());
                return Err(RankingError::BadAnswer(told));
            }
            by_row.extend(rows.iter().map(|row| row.values.first().map_or(0.0, popularity)));
        }
        Ok(Popularity::new(by_row))
    }

    /// What users hold, in the order asked. At most [`ENTITIES`] users.
    pub(crate) async fn holdings(
        &self,
        user_ids: &[UserId],
        deadline: Deadline,
    ) -> Result<Vec<Vec<ProductId>>> {
        let request = BatchGetHoldingsRequest { user_ids: raw(user_ids) };
        let response = self.client.clone().batch_get_holdings(deadline.within(request)).await;
        let results = response.map_err(RankingError::FeatureStore)?.into_inner().results;
        let product_id = |raw: &String| {
            ProductId::parse(raw).map_err(|invalid| RankingError::BadAnswer(invalid.to_string()))
        };
        let holdings = of_each(user_ids, results, "holdings")?;
        holdings.map(|(_, result)| result.product_ids.iter().map(product_id).collect()).collect()
    }
}

/// A number of any kind; whatever is none counts as 0.
fn popularity(value: &FeatureValue) -> f64 {
    match value.value {
        Some(Value::Number(number)) => number,
        Some(Value::Count(count)) => count as f64,
        _ => 0.0,
    }
}

fn raw(user_ids: &[UserId]) -> Vec<String> {
    user_ids.iter().map(ToString::to_string).collect()
}

/// Each user with the result in its place.
fn of_each<'u, T>(
    user_ids: &'u [UserId],
    results: Vec<T>,
    of_what: &str,
) -> Result<impl Iterator<Item = (&'u UserId, T)> + use<'u, T>> {
    if results.len() != user_ids.len() {
        let told = format!("{} {of_what} for {} customers", results.len(), user_ids.len());
        return Err(RankingError::BadAnswer(told));
    }
    Ok(user_ids.iter().zip(results))
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
        EmbeddingStatus::Unspecified => {
            Err(RankingError::BadAnswer("an embedding without a status".to_owned()))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{DIMENSION, generation};

    fn result(status: EmbeddingStatus, values: Option<Vec<f32>>) -> EmbeddingResult {
        EmbeddingResult {
            id: "u".to_owned(),
            status: status.into(),
            embedding: values.map(|values| common::v1::Embedding {
                values,
                embedding_space: "s9".to_owned(),
                ..Default::default()
            }),
        }
    }

    fn read(status: EmbeddingStatus, values: Option<Vec<f32>>) -> Result<SpacedEmbedding> {
        user_embedding(&UserId::parse("u").unwrap(), &generation(1), result(status, values))
    }

    #[tokio::test]
    async fn only_an_http_url_names_a_feature_store() {
        assert!(FeatureStore::at("http://store.internal:50051").is_ok());
        for url in ["127.0.0.1:50051", "https://store.internal", "a b", ""] {
            assert!(matches!(FeatureStore::at(url), Err(RankingError::FeatureStoreUrl(_))), "{url}");
        }
    }

    #[test]
    fn an_embedding_keeps_the_space_that_it_came_with() {
        let embedding = read(EmbeddingStatus::Present, Some(vec![0.5; DIMENSION])).unwrap();

        assert_eq!(embedding.space.as_str(), "s9");
        assert_eq!(embedding.embedding.as_slice(), [0.5; DIMENSION]);
    }

    #[test]
    fn an_unknown_customer_and_one_without_an_embedding_are_told_apart() {
        let unknown = read(EmbeddingStatus::UnknownEntity, None).unwrap_err();
        let late = read(EmbeddingStatus::NotMaterialised, None).unwrap_err();

        assert!(matches!(unknown, RankingError::UserNotFound(_)));
        assert!(matches!(late, RankingError::UserNotMaterialised(_)));
    }

    #[test]
    fn an_answer_that_breaks_the_contract_is_no_embedding() {
        let broken = [
            read(EmbeddingStatus::Present, None),
            read(EmbeddingStatus::Present, Some(vec![0.5; DIMENSION - 1])),
            read(EmbeddingStatus::Present, Some(vec![f32::INFINITY; DIMENSION])),
            read(EmbeddingStatus::Unspecified, None),
        ];

        for answer in broken {
            assert!(matches!(answer, Err(RankingError::BadAnswer(_))), "{answer:?}");
        }
    }

    #[test]
    fn as_many_results_as_customers_are_an_answer() {
        let users = ["a", "b"].map(|id| UserId::parse(id).unwrap());

        let answered = |results: Vec<i32>| of_each(&users, results, "embeddings").map(Iterator::count);

        assert_eq!(answered(vec![1, 2]).unwrap(), 2);
        for results in [vec![], vec![1], vec![1, 2, 3]] {
            assert!(matches!(answered(results), Err(RankingError::BadAnswer(_))));
        }
    }
}
