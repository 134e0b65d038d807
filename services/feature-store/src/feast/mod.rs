//! Feast's own contracts, so that its clients work unchanged: what they ask is put into our words, answered by the
//! same path, and put back into theirs. It reads and writes nothing by ways of its own.
//!
//! | Feast | here |
//! |---|---|
//! | GetOnlineFeatures of either service | GetOnlineFeatures of ours; rows become columns |
//! | join key `user_id`, `product_id` | the customer's, the product's id |
//! | `view:feature`, feature service | the same |
//! | `request_context["purpose"]`, metadata `finrank-purpose`, a setting | the selection's purpose, in this order |
//! | PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE | the same |
//! | – | DENIED: Feast has no such status, and null would be a lie, so that the whole request is refused |
//! | Push, WriteToOnlineStore | an [overlay](crate::ingest::Overlay): a statement of these attributes |
//!
//! `docs/feast.md` tells it to clients.

mod columns;
mod online;
mod push;
mod values;

use std::{collections::HashMap, sync::Arc};

use finrank_contracts::feast::{
    server::{
        PushRequest, PushResponse, WriteToOnlineStoreRequest, WriteToOnlineStoreResponse,
        grpc_feature_server_server::GrpcFeatureServer,
    },
    serving::{
        GetFeastServingInfoRequest, GetFeastServingInfoResponse, GetOnlineFeaturesRequest,
        GetOnlineFeaturesResponse, serving_service_server::ServingService,
    },
    types,
};
use finrank_model::InvalidField;
use tonic::{Request, Response, Status};

use crate::{FeastConfig, ingest, service::FeatureStoreService};

/// Implements Feast's services over ours.
pub(crate) struct Feast {
    service: Arc<FeatureStoreService>,
    config: FeastConfig,
}

#[tonic::async_trait]
impl ServingService for Feast {
    async fn get_feast_serving_info(
        &self,
        _: Request<GetFeastServingInfoRequest>,
    ) -> Result<Response<GetFeastServingInfoResponse>, Status> {
        let version = concat!("finrank/", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Response::new(GetFeastServingInfoResponse { version }))
    }

    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        Ok(Response::new(online::features(self, request).await?))
    }
}

#[tonic::async_trait]
impl GrpcFeatureServer for Feast {
    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        Ok(Response::new(online::features(self, request).await?))
    }

    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let PushRequest { features, typed_features, stream_feature_view, to, .. } = request.into_inner();
        push::check_destination(&to)?;
        self.write("stream_feature_view", &stream_feature_view, features, typed_features).await?;
        Ok(Response::new(PushResponse { status: true }))
    }

    async fn write_to_online_store(
        &self,
        request: Request<WriteToOnlineStoreRequest>,
    ) -> Result<Response<WriteToOnlineStoreResponse>, Status> {
        let WriteToOnlineStoreRequest { features, typed_features, feature_view_name, .. } =
            request.into_inner();
        self.write("feature_view_name", &feature_view_name, features, typed_features).await?;
        Ok(Response::new(WriteToOnlineStoreResponse { status: true }))
    }
}

impl Feast {
    /// Stands before our own service.
    ///
    /// # Errors
    /// When the configured purpose is not declared.
    pub(crate) fn new(service: Arc<FeatureStoreService>, config: FeastConfig) -> Result<Self, InvalidField> {
        let declared = service.registry.declared();
        let declared = &declared.definitions.purposes;
        match &config.purpose {
            Some(purpose) if !declared.contains_key(purpose) => {
                let declared: Vec<&str> = declared.keys().map(String::as_str).collect();
                let reason = format!("is {purpose:?}; declared are {}", declared.join(", "));
                Err(InvalidField::new(online::PURPOSE_SETTING, reason))
            }
            _ => Ok(Self { service, config }),
        }
    }

    /// Writes one row of a view, after which it can be read.
    async fn write(
        &self,
        field: &'static str,
        view: &str,
        texts: HashMap<String, String>,
        values: HashMap<String, types::Value>,
    ) -> crate::Result<()> {
        let columns = push::columns(texts, values)?;
        let declared = self.service.registry.declared();
        let view = push::writable_view(&declared.definitions, field, view)?;
        ingest::overlay(&self.service.store, &push::overlay(view, columns)?).await?;
        self.service.horizon.follow_write().await;
        Ok(())
    }
}
