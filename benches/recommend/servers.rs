//! The servers that are asked, and how.

use std::{path::Path, sync::Arc, time::Duration};

use finrank_contracts::{
    feast::serving::{
        GetFeastServingInfoRequest, GetFeastServingInfoResponse, GetOnlineFeaturesRequest as FeastRequest,
        GetOnlineFeaturesResponse as FeastResponse,
        serving_service_client::ServingServiceClient,
        serving_service_server::{ServingService, ServingServiceServer},
    },
    feature::v1::{
        BatchGetEmbeddingsRequest, BatchGetHoldingsRequest, EntityKind, ExpiredPolicy, FeatureSelection,
        GetOnlineFeaturesRequest, feature_store_service_client::FeatureStoreServiceClient,
    },
    ranking::v1::{PipelineStage, RecommendRequest, ranking_service_client::RankingServiceClient},
};
use finrank_decisions::{DecisionLogConfig, Mode};
use finrank_policy::{BUILT_IN_POLICY, Policy};
use finrank_ranking::{RankingConfig, RetrievalConfig};
use finrank_serving::{Server, ServerConfig};
use finrank_store::Store;
use futures::FutureExt;
use prost::Message;
use prost_types::FieldMask;
use rand::RngExt;
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{Result, load::Call, server::Served};

/// Candidates that are scored.
const CANDIDATES: usize = 200;
/// Products asked for.
const K: u32 = 10;
/// How often it is looked whether a server serves.
const POLL: Duration = Duration::from_millis(20);

fn anybody(users: u32) -> String {
    format!("user-{:07}", rand::rng().random_range(0..users))
}

fn any_port() -> ServerConfig {
    ServerConfig { listen: ([127, 0, 0, 1], 0).into(), ..ServerConfig::default() }
}

/// A ranking server.
pub(crate) struct Ranking {
    channel: Channel,
    shutdown: CancellationToken,
    server: JoinHandle<finrank_ranking::Result<()>>,
}

impl Ranking {
    /// Starts one beside a feature store, and waits until it has its catalogue.
    pub(crate) async fn start(
        store: &Store,
        models: &Path,
        feature_store: &Served,
        mode: Mode,
    ) -> Result<Self> {
        let candidates = CANDIDATES.try_into()?;
        let config = RankingConfig {
            feature_store: feature_store.url.clone(),
            server: any_port(),
            models_dir: models.to_owned(),
            retrieval: RetrievalConfig { candidates, ..RetrievalConfig::default() },
            decision_log: DecisionLogConfig { mode, ..DecisionLogConfig::default() },
            ..RankingConfig::default()
        };
        let shutdown = CancellationToken::new();
        let (bound, address) = oneshot::channel();
        let server =
            tokio::spawn(finrank_ranking::serve(config, Some(store.clone()), shutdown.clone(), bound));
        let channel = Endpoint::from_shared(format!("http://{}", address.await?))?.connect().await?;
        let ranking = Self { channel, shutdown, server };
        while ranking.answer_length().await.is_err() {
            sleep(POLL).await;
        }
        Ok(ranking)
    }

    /// How many bytes an answer has.
    pub(crate) async fn answer_length(&self) -> Result<usize> {
        let request = RecommendRequest { user_id: anybody(1), k: K, ..RecommendRequest::default() };
        let answer = RankingServiceClient::new(self.channel.clone()).recommend(request).await?;
        Ok(answer.into_inner().encoded_len())
    }

    /// Recommends to somebody.
    pub(crate) fn call(&self, users: u32) -> Call {
        let client = RankingServiceClient::new(self.channel.clone());
        Arc::new(move || {
            let mut client = client.clone();
            async move {
                let request =
                    RecommendRequest { user_id: anybody(users), k: K, ..RecommendRequest::default() };
                client.recommend(request).await.map(drop)
            }
            .boxed()
        })
    }

    /// Recommends to somebody, and tells how many seconds each stage took.
    pub(crate) async fn stages(&self, users: u32) -> Result<Vec<(PipelineStage, f64)>> {
        let debug = Some(FieldMask { paths: vec!["stages".to_owned()] });
        let request =
            RecommendRequest { user_id: anybody(users), k: K, debug, ..RecommendRequest::default() };
        let answer = RankingServiceClient::new(self.channel.clone()).recommend(request).await?.into_inner();
        let stages = answer.debug.ok_or("the server told nothing of its stages")?.stages;
        let told = stages.iter().map(|report| {
            let took = report.took.unwrap_or_default();
            (report.stage(), took.seconds as f64 + f64::from(took.nanos) * 1e-9)
        });
        Ok(told.collect())
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let Self { channel, shutdown, server } = self;
        drop(channel);
        shutdown.cancel();
        Ok(server.await??)
    }
}

/// The three requests that a recommendation makes, side by side.
pub(crate) fn lookups(feature_store: &Served, users: u32) -> Call {
    let client: FeatureStoreServiceClient<Channel> = feature_store.client();
    let source = Policy::parse(BUILT_IN_POLICY).expect("the built-in policy holds together").source().clone();
    Arc::new(move || {
        let [mut embeddings, mut features, mut holdings] = [client.clone(), client.clone(), client.clone()];
        let (user_id, source) = (anybody(users), source.clone());
        async move {
            let ids = vec![user_id];
            let selection = FeatureSelection {
                feature_service: source.service,
                purpose: source.purpose,
                expired: ExpiredPolicy::Flag.into(),
                ..FeatureSelection::default()
            };
            tokio::try_join!(
                embeddings.batch_get_embeddings(BatchGetEmbeddingsRequest {
                    entity: EntityKind::User.into(),
                    ids: ids.clone(),
                    model_version: String::new(),
                }),
                features.get_online_features(GetOnlineFeaturesRequest {
                    selection: Some(selection),
                    entity_ids: ids.clone(),
                }),
                holdings.batch_get_holdings(BatchGetHoldingsRequest { user_ids: ids.clone() }),
            )
            .map(drop)
        }
        .boxed()
    })
}

/// A server that answers so many bytes, and does nothing.
pub(crate) struct Empty {
    channel: Channel,
    shutdown: CancellationToken,
    server: JoinHandle<finrank_serving::Result<()>>,
}

struct Canned(GetFeastServingInfoResponse);

#[tonic::async_trait]
impl ServingService for Canned {
    async fn get_feast_serving_info(
        &self,
        _: Request<GetFeastServingInfoRequest>,
    ) -> std::result::Result<Response<GetFeastServingInfoResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn get_online_features(
        &self,
        _: Request<FeastRequest>,
    ) -> std::result::Result<Response<FeastResponse>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }
}

impl Empty {
    pub(crate) async fn start(length: usize) -> Result<Self> {
        let canned = Canned(GetFeastServingInfoResponse { version: "x".repeat(length) });
        let server = Server::bind(any_port()).await?.with(ServingServiceServer::new(canned)).await;
        let url = format!("http://{}", server.address());
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(server.serve(shutdown.clone()));
        let channel = Endpoint::from_shared(url)?.connect().await?;
        Ok(Self { channel, shutdown, server })
    }

    pub(crate) fn call(&self) -> Call {
        let client = ServingServiceClient::new(self.channel.clone());
        Arc::new(move || {
            let mut client = client.clone();
            async move { client.get_feast_serving_info(GetFeastServingInfoRequest {}).await.map(drop) }
                .boxed()
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let Self { channel, shutdown, server } = self;
        drop(channel);
        shutdown.cancel();
        Ok(server.await??)
    }
}
