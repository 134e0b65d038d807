//! The contract, rpc by rpc: parses a request, fetches what it needs to know of the customer, lets the pipeline
//! work on one catalogue, and words the answer.

mod arms;
mod audit;
mod batch;
mod compute;
mod debug;
mod decided;
mod degradation;
mod eligibility;
mod explanation;
mod export;
mod item;
mod ladder;
mod outcomes;
mod recommend;
mod record;
mod replay;
mod request;
mod response;
mod selection;
mod shadow;
mod standing;
mod why;
mod wishes;

use std::{slice, sync::Arc};

use finrank_contracts::ranking::v1::{self, ranking_service_server::RankingService as RankingRpcs};
use finrank_model::{ProductId, UserId, reasons::ReasonTable};
use finrank_serving::Pseudonyms;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    RankingError, Result,
    catalogue::{Catalogue, CurrentCatalogue},
    deadline::Deadline,
    feature_store::{FeatureStore, UserEmbedding},
    index::Row,
    pipeline::{Pipeline, Terms},
    policies::Policies,
    popularity::KnownPopularity,
    selections::Selections,
    shadow::ShadowQueue,
    traffic::Traffic,
};
use compute::compute;
pub(crate) use ladder::Ladder;
pub(crate) use record::Log;
use request::{Explain, ExplainDecision, ExplainItem, Recommend, Retrieve, RetrieveBy, Score, Similar};

/// Implements `finrank.ranking.v1.RankingService`.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RankingService {
    pub(crate) current: Arc<CurrentCatalogue>,
    /// What is tried beside it.
    pub(crate) traffic: Arc<Traffic>,
    /// Where decisions are left for the shadow, if they are kept.
    pub(crate) shadow: Option<ShadowQueue>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) selections: Arc<Selections>,
    pub(crate) popularity: Arc<KnownPopularity>,
    pub(crate) ladder: Arc<Ladder>,
    pub(crate) feature_store: FeatureStore,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) pipeline: Arc<Pipeline>,
    /// One message of BatchRecommend is decided at a time.
    pub(crate) batches: Arc<Semaphore>,
    /// Where decisions are kept, if they are.
    pub(crate) log: Option<Log>,
    /// What reasons are told for where a request does not say.
    pub(crate) explanation_purpose: Arc<str>,
    /// What they are told by.
    pub(crate) reasons: Arc<ReasonTable>,
}

#[tonic::async_trait]
impl RankingRpcs for RankingService {
    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        let deadline = Deadline::of(&request);
        let request = Recommend::parse(&request.into_inner())?;
        Ok(Response::new(self.decide(request, deadline).await?))
    }

    type BatchRecommendStream = batch::Answers;

    async fn batch_recommend(
        &self,
        request: Request<Streaming<v1::BatchRecommendRequest>>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        let deadline = Deadline::of(&request);
        Ok(Response::new(batch::recommend(self.clone(), request.into_inner(), deadline)))
    }

    async fn retrieve(
        &self,
        request: Request<v1::RetrieveRequest>,
    ) -> Result<Response<v1::RetrieveResponse>, Status> {
        let deadline = Deadline::of(&request);
        let request = Retrieve::parse(request.into_inner())?;
        Ok(Response::new(self.find(request, deadline).await?))
    }

    async fn score(&self, request: Request<v1::ScoreRequest>) -> Result<Response<v1::ScoreResponse>, Status> {
        let deadline = Deadline::of(&request);
        let request = Score::parse(&request.into_inner())?;
        Ok(Response::new(self.rate(request, deadline).await?))
    }

    async fn similar_products(
        &self,
        request: Request<v1::SimilarProductsRequest>,
    ) -> Result<Response<v1::SimilarProductsResponse>, Status> {
        let request = Similar::parse(&request.into_inner())?;
        Ok(Response::new(self.compare(request).await?))
    }

    async fn explain_eligibility(
        &self,
        request: Request<v1::ExplainEligibilityRequest>,
    ) -> Result<Response<v1::ExplainEligibilityResponse>, Status> {
        let deadline = Deadline::of(&request);
        let request = Explain::parse(&request.into_inner())?;
        Ok(Response::new(self.explain(request, deadline).await?))
    }

    async fn explain_item(
        &self,
        request: Request<v1::ExplainItemRequest>,
    ) -> Result<Response<v1::ExplainItemResponse>, Status> {
        let deadline = Deadline::of(&request);
        let request = ExplainItem::parse(request.into_inner())?;
        Ok(Response::new(self.explain_item_for(request, deadline).await?))
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainDecisionRequest>,
    ) -> Result<Response<v1::ExplainDecisionResponse>, Status> {
        let request = ExplainDecision::parse(&request.into_inner())?;
        Ok(Response::new(self.explain_decided(request).await?))
    }

    async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<Response<v1::GetDecisionResponse>, Status> {
        Ok(Response::new(self.kept_decision(request.into_inner()).await?))
    }

    async fn prove_decision(
        &self,
        request: Request<v1::ProveDecisionRequest>,
    ) -> Result<Response<v1::InclusionProof>, Status> {
        Ok(Response::new(self.prove(request.into_inner()).await?))
    }

    type VerifyDecisionLogStream = audit::Verifying;

    async fn verify_decision_log(
        &self,
        request: Request<v1::VerifyDecisionLogRequest>,
    ) -> Result<Response<Self::VerifyDecisionLogStream>, Status> {
        Ok(Response::new(self.verify_log(&request.into_inner())?))
    }

    type ExportDecisionLogStream = export::Exporting;

    async fn export_decision_log(
        &self,
        request: Request<v1::ExportDecisionLogRequest>,
    ) -> Result<Response<Self::ExportDecisionLogStream>, Status> {
        Ok(Response::new(self.export_log(&request.into_inner())?))
    }

    async fn replay_decision(
        &self,
        request: Request<v1::ReplayDecisionRequest>,
    ) -> Result<Response<v1::ReplayDecisionResponse>, Status> {
        Ok(Response::new(self.replay(request.into_inner()).await?))
    }

    type ReplayDecisionsStream = replay::Replaying;

    async fn replay_decisions(
        &self,
        request: Request<v1::ReplayDecisionsRequest>,
    ) -> Result<Response<Self::ReplayDecisionsStream>, Status> {
        Ok(Response::new(self.replay_many(request.into_inner())?))
    }

    async fn record_outcome(
        &self,
        request: Request<v1::RecordOutcomeRequest>,
    ) -> Result<Response<v1::RecordOutcomeResponse>, Status> {
        Ok(Response::new(self.keep_outcome(request.into_inner()).await?))
    }

    async fn measure_outcomes(
        &self,
        request: Request<v1::MeasureOutcomesRequest>,
    ) -> Result<Response<v1::MeasureOutcomesResponse>, Status> {
        Ok(Response::new(self.count_outcomes(request.into_inner()).await?))
    }

    async fn measure_shadow(
        &self,
        request: Request<v1::MeasureShadowRequest>,
    ) -> Result<Response<v1::MeasureShadowResponse>, Status> {
        Ok(Response::new(self.compare_shadow(request.into_inner()).await?))
    }

    async fn reload_policy(
        &self,
        _request: Request<v1::ReloadPolicyRequest>,
    ) -> Result<Response<v1::ReloadPolicyResponse>, Status> {
        let reloaded = self.policies.reload().await?;
        Ok(Response::new(v1::ReloadPolicyResponse {
            policy: Some(response::policy_version(&reloaded.in_force)),
            previous: Some(response::policy_version(&reloaded.before)),
        }))
    }

    async fn reload_selection(
        &self,
        _request: Request<v1::ReloadSelectionRequest>,
    ) -> Result<Response<v1::ReloadSelectionResponse>, Status> {
        let reloaded = self.selections.reload(|_| {}).await?;
        Ok(Response::new(v1::ReloadSelectionResponse {
            selection: Some(selection::version(&reloaded.in_force)),
            previous: Some(selection::version(&reloaded.before)),
        }))
    }
}

/// A catalogue, and the embeddings that may meet it, in the order in which they were asked for.
type Users = (Arc<Catalogue>, Vec<Result<UserEmbedding>>);

impl RankingService {
    async fn find(&self, request: Retrieve, deadline: Deadline) -> Result<v1::RetrieveResponse> {
        let Retrieve { by, k, scenario } = request;
        let (catalogue, query, user_generation) = match by {
            RetrieveBy::User(user_id) => {
                let (catalogue, user) = self.user(&user_id, deadline).await?;
                (catalogue, user.embedding, user.run_id)
            }
            RetrieveBy::Vector(vector) => {
                let catalogue = self.catalogue()?;
                let query = vector.of(catalogue.generation())?;
                (catalogue, query, 0)
            }
        };
        // What a customer holds plays no part: this is the stage alone, and a vector holds nothing.
        let terms = Terms { scenario, ..Terms::default() };
        let pipeline = Arc::clone(&self.pipeline);
        compute(catalogue, move |catalogue| {
            let candidates =
                pipeline.retrieve(catalogue, &query, &terms, k).map_err(request::blame_vector)?;
            Ok(response::retrieve(catalogue, user_generation, &candidates))
        })
        .await
    }

    async fn rate(&self, request: Score, deadline: Deadline) -> Result<v1::ScoreResponse> {
        let (catalogue, user) = self.user(&request.user_id, deadline).await?;
        let rows = request
            .product_ids
            .iter()
            .enumerate()
            .map(|(place, product_id)| row_of(&catalogue, product_id, || format!("product_ids[{place}]")))
            .collect::<Result<Vec<Row>>>()?;
        let pipeline = Arc::clone(&self.pipeline);
        compute(catalogue, move |catalogue| {
            let scored = pipeline.score(catalogue, &user.embedding, &rows)?;
            Ok(response::score(catalogue, user.run_id, &scored))
        })
        .await
    }

    async fn compare(&self, request: Similar) -> Result<v1::SimilarProductsResponse> {
        let catalogue = self.catalogue()?;
        let product = row_of(&catalogue, &request.product_id, || "product_id".to_owned())?;
        let pipeline = Arc::clone(&self.pipeline);
        compute(catalogue, move |catalogue| {
            let similar = pipeline.similar(catalogue, product, request.k)?;
            Ok(response::similar(catalogue, &similar))
        })
        .await
    }

    /// A customer's embedding, and the catalogue that it may meet.
    async fn user(&self, user_id: &UserId, deadline: Deadline) -> Result<(Arc<Catalogue>, UserEmbedding)> {
        let (catalogue, embeddings) = self.users(&self.current, slice::from_ref(user_id), deadline).await?;
        let embedding = embeddings.into_iter().next();
        Ok((catalogue, embedding.ok_or_else(|| RankingError::UserNotFound(user_id.clone()))??))
    }

    /// Customers' embeddings in the order asked, and the catalogue that they may meet.
    ///
    /// The feature store keeps the two newest generations, and those of the promoted model, of the one before and of those in
    /// traffic, so it has dropped the catalogue's model only if as many refreshes or promotions came since; then the next catalogue may
    /// have come meanwhile, and is tried once.
    async fn users(
        &self,
        current: &CurrentCatalogue,
        user_ids: &[UserId],
        deadline: Deadline,
    ) -> Result<Users> {
        let catalogue = current.get().ok_or(RankingError::NoCatalogue)?;
        let users = self.feature_store.embeddings(user_ids, catalogue.generation(), deadline).await;
        let Err(RankingError::CatalogueOutdated { model_version }) = users else {
            return Ok((catalogue, users?));
        };
        let next = current.get().ok_or(RankingError::NoCatalogue)?;
        if next.generation().model_version == model_version {
            return Err(RankingError::CatalogueOutdated { model_version });
        }
        let users = self.feature_store.embeddings(user_ids, next.generation(), deadline).await?;
        Ok((next, users))
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>> {
        self.current.get().ok_or(RankingError::NoCatalogue)
    }
}

fn row_of(catalogue: &Catalogue, product_id: &ProductId, field: impl FnOnce() -> String) -> Result<Row> {
    catalogue
        .row(product_id)
        .ok_or_else(|| RankingError::ProductNotFound { product_id: product_id.clone(), field: field() })
}

#[cfg(test)]
mod tests;
