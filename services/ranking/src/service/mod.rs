//! The contract, rpc by rpc: parses a request, fetches what it needs to know of the customer, lets the pipeline
//! work on one catalogue, and words the answer.

mod compute;
mod request;
mod response;

use std::sync::Arc;

use finrank_contracts::ranking::v1::{self, ranking_service_server::RankingService as RankingRpcs};
use finrank_model::{ProductId, UserId};
use finrank_serving::Pseudonyms;
use tonic::{Request, Response, Status};

use crate::{
    RankingError, Result,
    catalogue::{Catalogue, CurrentCatalogue},
    deadline::Deadline,
    feature_store::{FeatureStore, UserEmbedding},
    index::Row,
    pipeline::{Ask, Pipeline, Terms},
};
use compute::compute;
use request::{Recommend, Retrieve, RetrieveBy, Score, Similar};

/// Implements `finrank.ranking.v1.RankingService`.
#[derive(Debug)]
pub(crate) struct RankingService {
    pub(crate) current: Arc<CurrentCatalogue>,
    pub(crate) feature_store: FeatureStore,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) pipeline: Arc<Pipeline>,
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
}

impl RankingService {
    async fn decide(&self, request: Recommend, deadline: Deadline) -> Result<v1::RecommendResponse> {
        let Recommend { user_id, k, scenario, excluded } = request;
        let ((catalogue, user), held) = tokio::try_join!(
            self.user(&user_id, deadline),
            self.feature_store.holdings(&user_id, deadline),
        )?;
        let ask = Ask {
            customer: self.pseudonyms.of(&user_id),
            user: user.embedding,
            user_generation: user.run_id,
            terms: Terms { scenario, held, excluded },
            k,
        };
        let pipeline = Arc::clone(&self.pipeline);
        compute(catalogue, move |catalogue| {
            let decision = pipeline.recommend(catalogue, &ask)?;
            Ok(response::recommend(&user_id, catalogue, &decision))
        })
        .await
    }

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
    ///
    /// The feature store keeps the two newest generations, so it has dropped the catalogue's model only if two
    /// refreshes ended since; then the next catalogue may have come meanwhile, and is tried once.
    async fn user(&self, user_id: &UserId, deadline: Deadline) -> Result<(Arc<Catalogue>, UserEmbedding)> {
        let catalogue = self.catalogue()?;
        let user = self.feature_store.embedding(user_id, catalogue.generation(), deadline).await;
        let Err(RankingError::CatalogueOutdated { model_version }) = user else {
            return Ok((catalogue, user?));
        };
        let next = self.catalogue()?;
        if next.generation().model_version == model_version {
            return Err(RankingError::CatalogueOutdated { model_version });
        }
        let user = self.feature_store.embedding(user_id, next.generation(), deadline).await?;
        Ok((next, user))
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
