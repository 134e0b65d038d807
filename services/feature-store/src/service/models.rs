//! The model registry, rpc by rpc: which versions there are, and which one is served.
//!
//! What may be promoted is decided in `finrank-store`, on recorded checks; this checks requests, makes sure that the bundle
//! is whole and reproduces its golden vectors here, and words the answers.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use finrank_contracts::model::v1::{
    self, model_registry_service_server::ModelRegistryService as ModelRegistryRpcs,
};
use finrank_model::{InvalidField, ModelVersion, Sha256Digest};
use finrank_serving::wire;
use finrank_store::{
    Store, StoreError,
    models::{self, Action, GateCheck, PromotionRequest, RegisteredModel, Verdict, Waiver},
};
use tonic::{Request, Response, Status};

use crate::{FeatureStoreError, PromotionConfig, Result, bundles, features::Horizon};

/// Rows of one page.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1000;

/// Implements `finrank.model.v1.ModelRegistryService`.
pub(crate) struct ModelRegistryService {
    pub(crate) store: Store,
    pub(crate) horizon: Horizon,
    pub(crate) models_dir: Arc<Path>,
    pub(crate) promotion: PromotionConfig,
}

#[tonic::async_trait]
impl ModelRegistryRpcs for ModelRegistryService {
    async fn list_models(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        Ok(Response::new(self.list().await?))
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> Result<Response<v1::GetModelResponse>, Status> {
        Ok(Response::new(self.describe(&request.into_inner().model_version).await?))
    }

    async fn compare_models(
        &self,
        request: Request<v1::CompareModelsRequest>,
    ) -> Result<Response<v1::CompareModelsResponse>, Status> {
        Ok(Response::new(self.compare(request.into_inner()).await?))
    }

    async fn promote_model(
        &self,
        request: Request<v1::PromoteModelRequest>,
    ) -> Result<Response<v1::PromoteModelResponse>, Status> {
        let promotion = Some(self.promote(request.into_inner()).await?);
        Ok(Response::new(v1::PromoteModelResponse { promotion }))
    }

    async fn rollback_model(
        &self,
        request: Request<v1::RollbackModelRequest>,
    ) -> Result<Response<v1::RollbackModelResponse>, Status> {
        let promotion = Some(self.roll_back(request.into_inner()).await?);
        Ok(Response::new(v1::RollbackModelResponse { promotion }))
    }

    async fn list_promotions(
        &self,
        request: Request<v1::ListPromotionsRequest>,
    ) -> Result<Response<v1::ListPromotionsResponse>, Status> {
        Ok(Response::new(self.history(request.into_inner()).await?))
    }

    async fn set_traffic(
        &self,
        request: Request<v1::SetTrafficRequest>,
    ) -> Result<Response<v1::SetTrafficResponse>, Status> {
        let traffic = Some(self.divide(request.into_inner()).await?);
        Ok(Response::new(v1::SetTrafficResponse { traffic }))
    }

    async fn get_traffic(
        &self,
        _: Request<v1::GetTrafficRequest>,
    ) -> Result<Response<v1::GetTrafficResponse>, Status> {
        Ok(Response::new(self.traffic().await?))
    }
}

impl ModelRegistryService {
    async fn list(&self) -> Result<v1::ListModelsResponse> {
        let name = |version: Option<ModelVersion>| version.map(String::from).unwrap_or_default();
        Ok(v1::ListModelsResponse {
            models: models::list(&self.store).await?.into_iter().map(model).collect(),
            serving_version: name(models::serving(&self.store).await?),
            rollback_version: name(models::rollback_target(&self.store).await?),
        })
    }

    async fn describe(&self, raw_version: &str) -> Result<v1::GetModelResponse> {
        let found = self.registered(raw_version).await?;
        let version = found.model_version.clone();
        Ok(v1::GetModelResponse {
            model: Some(model(found)),
            check: models::newest_check(&self.store, &version).await?.map(check),
            waivers: models::waivers_of(&self.store, &version).await?.into_iter().map(waiver).collect(),
        })
    }

    async fn compare(&self, request: v1::CompareModelsRequest) -> Result<v1::CompareModelsResponse> {
        let one = self.registered(&request.model_version).await?;
        let other = match request.other_version.as_str() {
            "" => models::serving_or_newest(&self.store)
                .await?
                .ok_or(FeatureStoreError::ModelVersionNotFound { version: None })?,
            version => self.registered(version).await?,
        };
        let (one, other) = (model(one), model(other));
        let names: BTreeSet<&String> = one.metrics.keys().chain(other.metrics.keys()).collect();
        let metrics = names.into_iter().map(|name| v1::MetricComparison {
            name: name.clone(),
            value: one.metrics.get(name).copied(),
            other_value: other.metrics.get(name).copied(),
        });
        Ok(v1::CompareModelsResponse {
            metrics: metrics.collect(),
            model_version: one.model_version,
            other_version: other.model_version,
        })
    }

    async fn promote(&self, request: v1::PromoteModelRequest) -> Result<v1::Promotion> {
        let model = self.registered(&request.model_version).await?;
        self.prove(&model).await?;
        let wanted = PromotionRequest {
            model_version: &model.model_version,
            policy: self.promotion.load()?.digest,
            promoted_by: &request.promoted_by,
            reason: &request.reason,
        };
        let promoted = models::promote(&self.store, &wanted).await?;
        // It is promoted; that this server's cache hears of it in its next turn is no reason to say otherwise.
        let _ = self.horizon.advance().await;
        Ok(promotion(promoted))
    }

    async fn roll_back(&self, request: v1::RollbackModelRequest) -> Result<v1::Promotion> {
        if let Some(version) = models::rollback_target(&self.store).await? {
            self.prove(&self.registered(version.as_str()).await?).await?;
        }
        let rolled = models::roll_back(&self.store, &request.promoted_by, &request.reason).await?;
        let _ = self.horizon.advance().await;
        Ok(promotion(rolled))
    }

    /// The token of a page is the number of the row before it.
    async fn history(&self, request: v1::ListPromotionsRequest) -> Result<v1::ListPromotionsResponse> {
        let before = match request.page_token.as_str() {
            "" => None,
            token => {
                Some(token.parse().map_err(|_| InvalidField::new("page_token", "is not from a response"))?)
            }
        };
        let page_size = match request.page_size {
            0 => DEFAULT_PAGE,
            size if size <= MAX_PAGE => size,
            _ => return Err(InvalidField::new("page_size", format!("is more than {MAX_PAGE}")).into()),
        };
        let mut rows = models::promotions(&self.store, before, page_size + 1).await?;
        let has_more = rows.len() > page_size as usize;
        rows.truncate(page_size as usize);
        let last = rows.last().filter(|_| has_more);
        Ok(v1::ListPromotionsResponse {
            next_page_token: last.map(|row| row.promotion_id.to_string()).unwrap_or_default(),
            promotions: rows.into_iter().map(promotion).collect(),
        })
    }

    pub(super) async fn registered(&self, raw_version: &str) -> Result<RegisteredModel> {
        let version = ModelVersion::parse(raw_version)?;
        let found = models::get(&self.store, &version).await?;
        Ok(found.ok_or_else(|| StoreError::UnknownModel { model_version: version.to_string() })?)
    }

    /// Reads the bundle, which scores its golden vectors.
    pub(super) async fn prove(&self, model: &RegisteredModel) -> Result<()> {
        let digest = Sha256Digest::parse(&model.bundle_sha256).map_err(FeatureStoreError::StoredRow)?;
        bundles::read_registered(&self.models_dir, &model.model_version, digest).await?;
        Ok(())
    }
}

fn model(registered: RegisteredModel) -> v1::Model {
    let numbers = |key: &str| registered.manifest[key].as_object().into_iter().flatten();
    v1::Model {
        metrics: numbers("metrics")
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect(),
        training_rows: numbers("training_rows")
            .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
            .collect(),
        model_version: registered.model_version.into(),
        embedding_space: registered.embedding_space.into(),
        bundle_sha256: registered.bundle_sha256,
        registered_at: Some(wire::timestamp(registered.registered_at)),
    }
}

fn check(check: GateCheck) -> v1::GateCheck {
    let results = check.results.into_iter().map(|result| {
        let verdict = match result.verdict {
            Verdict::Pass => v1::GateVerdict::Pass,
            Verdict::Fail => v1::GateVerdict::Fail,
            Verdict::Insufficient => v1::GateVerdict::Insufficient,
            Verdict::NotApplicable => v1::GateVerdict::NotApplicable,
        };
        v1::GateResult {
            gate: result.gate,
            verdict: verdict.into(),
            measured: result.measured,
            bound: result.bound,
            explanation: result.explanation,
            waivable: result.waivable,
        }
    });
    v1::GateCheck {
        check_id: check.check_id,
        results: results.collect(),
        model_version: check.model_version.into(),
        compared_with: check.compared_with.map(String::from).unwrap_or_default(),
        policy_sha256: check.policy.to_string(),
        checked_by: check.checked_by,
        checked_at: Some(wire::timestamp(check.checked_at)),
        valid_until: Some(wire::timestamp(check.valid_until)),
    }
}

fn waiver(waiver: Waiver) -> v1::Waiver {
    v1::Waiver {
        waiver_id: waiver.waiver_id,
        model_version: waiver.model_version.into(),
        gate: waiver.gate,
        reason: waiver.reason,
        asked_by: waiver.asked_by,
        approved_by: waiver.approved_by,
        granted_at: Some(wire::timestamp(waiver.granted_at)),
        expires_at: Some(wire::timestamp(waiver.expires_at)),
    }
}

fn promotion(promotion: models::Promotion) -> v1::Promotion {
    let action = match promotion.action {
        Action::Promote => v1::PromotionAction::Promote,
        Action::Rollback => v1::PromotionAction::Rollback,
    };
    v1::Promotion {
        promotion_id: promotion.promotion_id,
        model_version: promotion.model_version.into(),
        action: action.into(),
        check_id: promotion.check_id,
        policy_sha256: promotion.policy.map(|policy| policy.to_string()).unwrap_or_default(),
        waiver_ids: promotion.waiver_ids,
        promoted_by: promotion.promoted_by,
        reason: promotion.reason,
        promoted_at: Some(wire::timestamp(promotion.promoted_at)),
    }
}
