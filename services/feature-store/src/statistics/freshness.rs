//! How fresh views are, as refreshes have found them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use finrank_store::Store;

use crate::{Result, refresh::RunId};

/// How fresh a view is.
#[derive(Clone, Debug)]
pub(crate) struct Freshness {
    /// The last run that has read it.
    pub(crate) run_id: RunId,
    /// The moment as of which it has.
    pub(crate) moment: DateTime<Utc>,
    /// Whether it has read all entities, and not only those that had changed.
    pub(crate) whole: bool,
    /// Since when the newest statement is true that the last full run, or one of changes after it, has read.
    pub(crate) newest_event_time: Option<DateTime<Utc>>,
}

struct Row {
    view: String,
    run_id: i64,
    moment: DateTime<Utc>,
    whole: bool,
    event_time: Option<DateTime<Utc>>,
}

/// How fresh each of these views is, those that no run has read yet left out.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn freshness(
    store: &Store,
    views: impl Iterator<Item = &String>,
) -> Result<BTreeMap<String, Freshness>> {
    let views: Vec<String> = views.cloned().collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select view as "view!", last.run_id, last.moment, last.whole, newest.event_time
           from unnest($1::text[]) as asked (view)
           cross join lateral (
               select run_id, moment, whole from feature_statistics s
               where s.view = asked.view
               order by run_id desc
               limit 1
           ) as last
           -- What has changed since the last full run is newer; what that run has read may be gone with older ones.
           cross join lateral (
               select max((summary #>> '{event_times,1}')::timestamptz) as event_time from feature_statistics s
               where s.view = asked.view
                 and run_id >= coalesce(
                     (select max(run_id) from feature_statistics full_run where full_run.view = asked.view and whole), 0
                 )
           ) as newest"#,
        &views,
    )
    .fetch_all(store.pool())
    .await?;
    let of_view = |row| {
        let Row { view, run_id, moment, whole, event_time } = row;
        (view, Freshness { run_id: run_id.into(), moment, whole, newest_event_time: event_time })
    };
    Ok(rows.into_iter().map(of_view).collect())
}
