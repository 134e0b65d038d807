//! The moments that customers' embeddings are of: as of which features were read for the one that is served.

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, UserId};
use finrank_store::Store;

use super::generation::refusal;
use crate::{FeatureStoreError, Result, refresh::RunId};

/// Of customers in one generation.
pub(crate) struct Moments {
    pub(crate) run_id: RunId,
    pub(crate) model_version: ModelVersion,
    /// One per id asked for.
    pub(crate) moments: Vec<Moment>,
}

/// Of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Of(DateTime<Utc>),
    /// Never written, or taken back.
    UnknownEntity,
    /// Without an embedding yet.
    NotMaterialised,
}

/// The moments of a model version's embeddings, of the one that is served if none is named: which they are is decided as
/// [`super::lookup::lookup_users`] decides which embedding is read. A run of an earlier version does not say what moment it
/// read; what it knew is the nearest.
///
/// # Errors
/// When there is no whole generation to read.
pub(crate) async fn moments_of(
    store: &Store,
    ids: &[UserId],
    version: Option<&ModelVersion>,
) -> Result<Moments> {
    let asked: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let rows = sqlx::query!(
        r#"with generation as (
               select * from generations
               where model_version = coalesce($2, serving_version(), model_version)
               order by run_id desc
               limit 1
           )
           select g.run_id as "run_id!", g.model_version as "model_version!",
                  entity.known is not null as "known!",
                  coalesce(live.known_at, e.moment) as moment
           from generation g
           cross join unnest($1::text[]) with ordinality as asked (user_id, place)
           left join lateral (
               select true as known from customers where customers.user_id = asked.user_id limit 1
           ) entity on true
           left join live_user_embeddings live
               on live.user_id = asked.user_id and live.model_version = g.model_version
               and live.known_at > g.known_at
           left join lateral (
               select coalesce(run.summarised_at, run.known_at, run.features_as_of) as moment
               from user_embeddings embedding
               join refresh_runs run on run.run_id = embedding.run_id
               where embedding.user_id = asked.user_id and embedding.run_id = any(g.runs)
               order by embedding.run_id desc
               limit 1
           ) e on true
           order by asked.place"#,
        &asked as _,
        version.map(ModelVersion::as_str),
    )
    .fetch_all(store.pool())
    .await?;
    // The generation stands in every row; without one there are no rows.
    let Some(first) = rows.first() else {
        return Err(refusal(store, version).await?);
    };
    let (run_id, model_version) = (first.run_id.into(), first.model_version.clone());
    let moment = |(known, moment): (bool, Option<DateTime<Utc>>)| match moment {
        _ if !known => Moment::UnknownEntity,
        Some(moment) => Moment::Of(moment),
        None => Moment::NotMaterialised,
    };
    Ok(Moments {
        run_id,
        model_version: ModelVersion::parse(model_version).map_err(FeatureStoreError::StoredRow)?,
        moments: rows.into_iter().map(|row| moment((row.known, row.moment))).collect(),
    })
}
