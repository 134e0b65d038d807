//! The contract, rpc by rpc: checks requests, asks the rooms of this crate, and words the answers.

mod feature_wire;
mod features;
mod history;
mod models;
mod people;
mod read;
mod refresh;
mod reload;
mod statistics;
mod stopping;
mod tower_inputs;
mod traffic;
mod verify;
mod write;

use std::time::Duration;

use finrank_contracts::feature::v1::{
    self, feature_store_service_server::FeatureStoreService as FeatureStoreRpcs,
};
use finrank_model::{Customer, Event, ModelVersion, Product};
use finrank_serving::Pseudonyms;
use finrank_store::Store;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::models::ModelRegistryService;
use crate::{
    cache::HotCache,
    features::{Horizon, Registry},
    ingest::{Ingested, ingest},
    people::{Exported, Exports},
    refresh::Refresher,
    served::Sampler,
    tower_inputs::KnownTowers,
    watch::{Steps, Watcher},
};

/// Implements `finrank.feature.v1.FeatureStoreService`.
pub(crate) struct FeatureStoreService {
    /// For what a client waits for.
    pub(crate) store: Store,
    /// For what takes its time.
    pub(crate) background: Store,
    pub(crate) refresher: Refresher,
    pub(crate) exports: Exports,
    pub(crate) watcher: Watcher,
    pub(crate) registry: Registry,
    pub(crate) horizon: Horizon,
    pub(crate) cache: HotCache,
    /// What models' user towers read.
    pub(crate) towers: KnownTowers,
    /// Told of every complete answer of values as they are now.
    pub(crate) sampler: Sampler,
    pub(crate) pseudonyms: Pseudonyms,
    /// How long a client that writes may be silent.
    pub(crate) stream_idle_limit: Duration,
    /// Once cancelled, streams end.
    pub(crate) stop: CancellationToken,
}

#[tonic::async_trait]
impl FeatureStoreRpcs for FeatureStoreService {
    type WriteRowsStream = write::Answers;
    type GetHistoricalFeaturesStream = history::Rows;
    type VerifyServedFeaturesStream = verify::Steps;
    type ExportCustomerStream = Exported;
    type WatchRefreshStream = refresh::States;
    type WatchProductEmbeddingsStream = Steps;

    async fn write_customers(
        &self,
        request: Request<Streaming<v1::WriteCustomersRequest>>,
    ) -> Result<Response<v1::WriteCustomersResponse>, Status> {
        let summary = self.write::<Customer>(request.into_inner()).await?;
        Ok(Response::new(v1::WriteCustomersResponse { summary: Some(summary) }))
    }

    async fn write_products(
        &self,
        request: Request<Streaming<v1::WriteProductsRequest>>,
    ) -> Result<Response<v1::WriteProductsResponse>, Status> {
        let summary = self.write::<Product>(request.into_inner()).await?;
        Ok(Response::new(v1::WriteProductsResponse { summary: Some(summary) }))
    }

    async fn write_events(
        &self,
        request: Request<Streaming<v1::WriteEventsRequest>>,
    ) -> Result<Response<v1::WriteEventsResponse>, Status> {
        let summary = self.write::<Event>(request.into_inner()).await?;
        Ok(Response::new(v1::WriteEventsResponse { summary: Some(summary) }))
    }

    async fn write_rows(
        &self,
        request: Request<Streaming<v1::WriteRowsRequest>>,
    ) -> Result<Response<Self::WriteRowsStream>, Status> {
        Ok(Response::new(write::rows(self, request.into_inner())))
    }

    async fn start_refresh(
        &self,
        request: Request<v1::StartRefreshRequest>,
    ) -> Result<Response<v1::StartRefreshResponse>, Status> {
        Ok(Response::new(refresh::start(&self.refresher, request.into_inner()).await?))
    }

    async fn watch_refresh(
        &self,
        request: Request<v1::WatchRefreshRequest>,
    ) -> Result<Response<Self::WatchRefreshStream>, Status> {
        let stop = self.stop.clone();
        Ok(Response::new(refresh::watch(self.refresher.clone(), request.into_inner(), stop).await?))
    }

    async fn cancel_refresh(
        &self,
        request: Request<v1::CancelRefreshRequest>,
    ) -> Result<Response<v1::CancelRefreshResponse>, Status> {
        Ok(Response::new(refresh::cancel(&self.refresher, request.into_inner()).await?))
    }

    async fn list_refreshes(
        &self,
        request: Request<v1::ListRefreshesRequest>,
    ) -> Result<Response<v1::ListRefreshesResponse>, Status> {
        Ok(Response::new(refresh::list(&self.refresher, request.into_inner()).await?))
    }

    async fn batch_get_embeddings(
        &self,
        request: Request<v1::BatchGetEmbeddingsRequest>,
    ) -> Result<Response<v1::BatchGetEmbeddingsResponse>, Status> {
        Ok(Response::new(read::embeddings(&self.store, &self.cache, request.into_inner()).await?))
    }

    async fn batch_get_holdings(
        &self,
        request: Request<v1::BatchGetHoldingsRequest>,
    ) -> Result<Response<v1::BatchGetHoldingsResponse>, Status> {
        Ok(Response::new(read::holdings(&self.store, request.into_inner()).await?))
    }

    async fn batch_get_tower_inputs(
        &self,
        request: Request<v1::BatchGetTowerInputsRequest>,
    ) -> Result<Response<v1::BatchGetTowerInputsResponse>, Status> {
        Ok(Response::new(tower_inputs::tower_inputs(self, request.into_inner()).await?))
    }

    async fn get_online_features(
        &self,
        request: Request<v1::GetOnlineFeaturesRequest>,
    ) -> Result<Response<v1::GetOnlineFeaturesResponse>, Status> {
        Ok(Response::new(self.online_features(request.into_inner()).await?))
    }

    async fn get_features_as_of(
        &self,
        request: Request<v1::GetFeaturesAsOfRequest>,
    ) -> Result<Response<v1::GetFeaturesAsOfResponse>, Status> {
        Ok(Response::new(features::as_of(self, request.into_inner()).await?))
    }

    async fn get_historical_features(
        &self,
        request: Request<Streaming<v1::GetHistoricalFeaturesRequest>>,
    ) -> Result<Response<Self::GetHistoricalFeaturesStream>, Status> {
        Ok(Response::new(history::join(self, request.into_inner()).await?))
    }

    async fn verify_served_features(
        &self,
        request: Request<v1::VerifyServedFeaturesRequest>,
    ) -> Result<Response<Self::VerifyServedFeaturesStream>, Status> {
        Ok(Response::new(verify::verify(self, request.into_inner()).await?))
    }

    async fn export_customer(
        &self,
        request: Request<v1::ExportCustomerRequest>,
    ) -> Result<Response<Self::ExportCustomerStream>, Status> {
        Ok(Response::new(people::export(self, request.into_inner()).await?))
    }

    async fn erase_customer(
        &self,
        request: Request<v1::EraseCustomerRequest>,
    ) -> Result<Response<v1::EraseCustomerResponse>, Status> {
        let receipt = people::erase(self, request.into_inner()).await?;
        // They are erased; that this server forgets them in its next turn is no reason to say otherwise.
        let _ = self.horizon.advance().await;
        Ok(Response::new(receipt))
    }

    async fn list_feature_views(
        &self,
        _: Request<v1::ListFeatureViewsRequest>,
    ) -> Result<Response<v1::ListFeatureViewsResponse>, Status> {
        Ok(Response::new(statistics::list(self).await?))
    }

    async fn reload_feature_definitions(
        &self,
        _: Request<v1::ReloadFeatureDefinitionsRequest>,
    ) -> Result<Response<v1::ReloadFeatureDefinitionsResponse>, Status> {
        Ok(Response::new(reload::reload(&self.registry).await?))
    }

    async fn describe_feature_view(
        &self,
        request: Request<v1::DescribeFeatureViewRequest>,
    ) -> Result<Response<v1::DescribeFeatureViewResponse>, Status> {
        Ok(Response::new(statistics::describe(self, request.into_inner()).await?))
    }

    async fn watch_product_embeddings(
        &self,
        request: Request<v1::WatchProductEmbeddingsRequest>,
    ) -> Result<Response<Self::WatchProductEmbeddingsStream>, Status> {
        let request = request.into_inner();
        let version = optional_version(&request.model_version)?;
        Ok(Response::new(self.watcher.watch(version, &request.resume_token).await?))
    }
}

impl FeatureStoreService {
    /// Values as they are now, in whatever contract they are asked for.
    pub(crate) async fn online_features(
        &self,
        request: v1::GetOnlineFeaturesRequest,
    ) -> crate::Result<v1::GetOnlineFeaturesResponse> {
        features::online(self, request).await
    }

    /// Writes a stream of rows, after which what they say can be read.
    async fn write<I: Ingested>(&self, rows: Streaming<I::Message>) -> Result<v1::WriteSummary, Status> {
        let summary = ingest::<I>(&self.store, rows, self.stream_idle_limit).await?;
        self.horizon.follow_write().await;
        Ok(summary)
    }
}

/// A model version that may be left empty.
fn optional_version(raw: &str) -> crate::Result<Option<ModelVersion>> {
    if raw.is_empty() { Ok(None) } else { Ok(Some(ModelVersion::parse(raw)?)) }
}
