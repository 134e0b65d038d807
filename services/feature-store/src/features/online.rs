//! Values as they are now, from memory where nothing can have changed since they were read.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_store::{
    Store,
    features::{Asked, FeaturePlan, FeatureValue},
};

use super::Horizon;
use crate::{Result, cache::HotCache};

/// Reads values of a moment, which the horizon was at just now: a row for each of whom is asked, in their order.
///
/// # Errors
/// As [`FeaturePlan::read`].
pub(crate) async fn read_at_horizon(
    store: &Store,
    cache: &HotCache,
    horizon: &Horizon,
    plan: &FeaturePlan,
    asked: &[Asked],
    moment: DateTime<Utc>,
) -> Result<Vec<Arc<[FeatureValue]>>> {
    // Drawn first: of a moment that the horizon has left, nothing may be kept.
    let ticket = cache.ticket().filter(|_| horizon.is_at(moment));
    let kept = |asked: &Asked| ticket.and_then(|_| cache.rows.get(plan, &asked.id, moment));
    let mut rows: Vec<_> = asked.iter().map(kept).collect();
    let missing: Vec<Asked> =
        asked.iter().zip(&rows).filter(|(_, row)| row.is_none()).map(|(asked, _)| asked.clone()).collect();
    if !missing.is_empty() {
        let read = plan.read_lasting(store, &missing).await?;
        if let Some(ticket) = ticket {
            cache.keep(ticket, || cache.rows.put(plan, &missing, &read));
        }
        let empty = rows.iter_mut().filter(|row| row.is_none());
        empty.zip(read).for_each(|(row, read)| *row = Some(read.values));
    }
    Ok(rows.into_iter().flatten().collect())
}
