//! One snapshot of the product embeddings that are served, for who wants to look at them and not to follow.

use crate::{
    RankingError, Result, Snapshot,
    feature_store::FeatureStore,
    feed::{Feed, News},
};
use finrank_contracts::feature::v1::watch_product_embeddings_response::Step;

/// The product embeddings that the feature store at a URL serves.
///
/// # Errors
/// When the URL is malformed, the feature store refuses or breaks off, or nothing is served yet.
pub async fn fetch_snapshot(feature_store: &str) -> Result<Snapshot> {
    let feature_store = FeatureStore::at(feature_store)?;
    let mut steps = feature_store.watch(None, Vec::new()).await.map_err(RankingError::FeatureStore)?;
    let mut feed = Feed::default();
    while let Some(message) = steps.message().await.map_err(RankingError::FeatureStore)? {
        // It is sent only to who has all there is, or waits for the first.
        if matches!(message.step, Some(Step::Heartbeat(_))) {
            return Err(RankingError::BadAnswer(
                "no product embeddings: none are served yet, run a refresh".to_owned(),
            ));
        }
        let news = feed.take(message.step).map_err(|error| RankingError::BadAnswer(error.to_string()))?;
        if news == Some(News::Snapshot)
            && let Some(snapshot) = feed.snapshot()
        {
            return Ok(snapshot);
        }
    }
    Err(RankingError::BadAnswer("a snapshot that breaks off".to_owned()))
}
