//! Retrieval: from all that is eligible to some hundred candidates worth scoring.

use std::fmt::Debug;

use finrank_model::ProductId;
use tracing::{debug, debug_span};

use super::{candidate::RetrievedCandidate, eligibility::Eligible};
use crate::{
    catalogue::Catalogue,
    index::{IndexError, Method, Plan, ProductIndex, Row, SpacedEmbedding},
};

/// What retrieval found, and how.
#[derive(Clone, Debug)]
pub struct Retrieved {
    /// Best first.
    pub candidates: Vec<RetrievedCandidate>,
    /// How they were searched for.
    pub plan: Plan,
}

/// Finds candidates.
pub trait Retriever: Debug + Send + Sync {
    /// The `count` eligible products that fit a query best, best first; all of them when there are fewer.
    ///
    /// # Errors
    /// When the query and the catalogue are not of one space and dimension.
    fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        eligible: &Eligible,
        count: usize,
    ) -> Result<Retrieved, IndexError>;
}

/// By the largest inner product: exactly, or approximately where that was measured to be good enough (see
/// [`crate::index`]).
#[derive(Debug)]
pub struct InnerProductRetriever;

impl Retriever for InnerProductRetriever {
    fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        eligible: &Eligible,
        count: usize,
    ) -> Result<Retrieved, IndexError> {
        search(catalogue.index(), query, eligible, count)
    }
}

/// By the largest cosine: the inner product of directions. The query's own length plays no part in the order,
/// and one of length 1 makes the scores cosines.
#[derive(Debug)]
pub struct CosineRetriever;

impl Retriever for CosineRetriever {
    fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        eligible: &Eligible,
        count: usize,
    ) -> Result<Retrieved, IndexError> {
        search(catalogue.directions(), query, eligible, count)
    }
}

/// What an approximate search found once, since its index is gone: of these products what is eligible, in their order.
#[derive(Debug)]
pub struct RecordedRetriever(pub Vec<ProductId>);

impl Retriever for RecordedRetriever {
    fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        eligible: &Eligible,
        _count: usize,
    ) -> Result<Retrieved, IndexError> {
        let rows = self.0.iter().filter_map(|product_id| catalogue.row(product_id));
        let rows: Vec<Row> = rows.filter(|&row| eligible.rows().contains(row)).collect();
        let candidates = named(catalogue, query, &rows)?;
        let (eligible, returned) = (eligible.count(), candidates.len());
        let plan = Plan { method: Method::ExactScan, eligible, expected_recall: 1.0, returned };
        Ok(Retrieved { candidates, plan })
    }
}

/// Candidates of the products named, in their order, whatever else would fit better.
///
/// # Errors
/// When the query and the catalogue are not of one space and dimension.
pub(super) fn named(
    catalogue: &Catalogue,
    query: &SpacedEmbedding,
    rows: &[Row],
) -> Result<Vec<RetrievedCandidate>, IndexError> {
    let inner_products = catalogue.index().inner_products(query, rows)?;
    let candidate = |(&row, retrieval_score)| RetrievedCandidate { row, retrieval_score };
    Ok(rows.iter().zip(inner_products).map(candidate).collect())
}

fn search(
    index: &ProductIndex,
    query: &SpacedEmbedding,
    eligible: &Eligible,
    count: usize,
) -> Result<Retrieved, IndexError> {
    let _stage = debug_span!("retrieve", eligible = eligible.count(), count).entered();
    let found = index.search(query, eligible.rows(), count)?;
    metrics::counter!("finrank_ranking_retrieval_plans_total", "plan" => found.plan.method.name())
        .increment(1);
    debug!(plan = ?found.plan);
    let candidates = found
        .hits
        .into_iter()
        .map(|hit| RetrievedCandidate { row: hit.row, retrieval_score: hit.inner_product });
    Ok(Retrieved { candidates: candidates.collect(), plan: found.plan })
}
