//! The summaries of whole runs, as they are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use finrank_model::features::Definitions;
use finrank_store::Store;
use postgres::{Transaction, fallible_iterator::FallibleIterator as _, types::Json};

use super::{Breach, Expectation, Summaries, Summariser, ViewSummary, judge};
use crate::{Result, refresh::RunId};

/// Outliers that are named with a breach.
const NAMED_OUTLIERS: i64 = 20;

/// What a run found of a view.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) run_id: RunId,
    pub(crate) definitions_sha256: String,
    /// The moment whose values were summarised.
    pub(crate) moment: DateTime<Utc>,
    /// Whether all entities were, and not only those that had changed.
    pub(crate) whole: bool,
    pub(crate) summary: ViewSummary,
    pub(crate) breaches: Vec<Breach>,
    /// Some of the entities that they are breached by.
    pub(crate) outliers: Outliers,
}

/// Some of the entities of a view that are not as expected.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    /// By feature; those whose value is out of range.
    out_of_range: BTreeMap<String, Vec<String>>,
    /// Likewise those without one.
    without_value: BTreeMap<String, Vec<String>>,
}

impl Outliers {
    /// The ids of some that breach an expectation of a feature; none if all together do.
    pub(crate) fn of(&self, feature: &str, expectation: Expectation) -> &[String] {
        let by_feature = match expectation {
            Expectation::Min | Expectation::Max => &self.out_of_range,
            Expectation::NullRate => &self.without_value,
            Expectation::Distinct | Expectation::Drift => return &[],
        };
        by_feature.get(feature).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Merges the summaries of a run's partitions, holds them to what is expected, and keeps them. Returns what is not as
/// expected.
///
/// # Errors
/// When Postgres refuses.
pub(crate) fn keep(
    transaction: &mut Transaction<'_>,
    run_id: RunId,
    summariser: &Summariser,
) -> Result<Vec<Breach>> {
    let Summariser { definitions, moment, whole } = summariser;
    let mut breaches = Vec::new();
    for (view, mut summary) in merged(transaction, run_id)? {
        if let Some(declared) = definitions.views.get(&view) {
            let before = if *whole { before(transaction, &view, definitions)? } else { None };
            breaches.extend(judge(declared, &summary, before.as_ref(), *whole));
            // Kept for as long as there are statistics, beyond any erasure.
            summary.forget_rare_texts(declared.sensitivity);
        }
        transaction.execute(
            "insert into feature_statistics (run_id, view, definitions_sha256, moment, whole, summary)
             values ($1, $2, $3, $4, $5, $6)",
            &[&run_id.get(), &view, &definitions.digest.to_string(), moment, whole, &Json(summary)],
        )?;
    }
    for breach in &breaches {
        transaction.execute(
            "insert into feature_breaches (run_id, view, feature, expectation, allowed, found, stops)
             values ($1, $2, $3, $4, $5, $6, $7)",
            &[
                &run_id.get(),
                &breach.view,
                &breach.feature,
                &breach.expectation.as_str(),
                &breach.allowed,
                &breach.found,
                &breach.stops,
            ],
        )?;
    }
    Ok(breaches)
}

/// One partition's summaries are in memory at a time.
fn merged(transaction: &mut Transaction<'_>, run_id: RunId) -> Result<Summaries> {
    let statement = "select summaries from refresh_partitions
                     where run_id = $1 and summaries is not null
                     order by entity, partition";
    let mut merged = Summaries::new();
    let mut partitions = transaction.query_raw(statement, [run_id.get()])?;
    while let Some(row) = partitions.next()? {
        let Json(summaries): Json<Summaries> = row.get(0);
        for (view, summary) in summaries {
            merged.entry(view).or_default().merge(summary);
        }
    }
    Ok(merged)
}

/// Removes what partitions kept for the whole of their run, once it is merged. Whoever erases may change the same rows, and
/// then keeps others from erasing: so this comes after that lock.
///
/// # Errors
/// When Postgres refuses.
pub(crate) fn forget_parts(transaction: &mut Transaction<'_>, run_id: RunId) -> Result<()> {
    // Who has no value is named only where too many have none.
    transaction.execute(
        "delete from feature_outliers o
         where run_id = $1 and value is null
           and not exists (
               select from feature_breaches b
               where (b.run_id, b.view, b.feature) = (o.run_id, o.view, o.feature) and expectation = 'null_rate'
           )",
        &[&run_id.get()],
    )?;
    let summaries = "update refresh_partitions set summaries = null where run_id = $1";
    transaction.execute(summaries, &[&run_id.get()])?;
    Ok(())
}

/// What the view was like when all of it was last refreshed and served, as far as its features are still made alike.
fn before(
    transaction: &mut Transaction<'_>,
    view: &str,
    definitions: &Definitions,
) -> Result<Option<ViewSummary>> {
    let row = transaction.query_opt(
        "select summary, definitions
         from feature_statistics statistics
         left join lateral (
             select definitions from feature_definitions where sha256 = statistics.definitions_sha256 limit 1
         ) as declared on true
         where view = $1 and whole
           and not exists (select from feature_breaches where feature_breaches.run_id = statistics.run_id and stops)
         order by run_id desc
         limit 1",
        &[&view],
    )?;
    let Some(row) = row else {
        return Ok(None);
    };
    let Json(mut summary): Json<ViewSummary> = row.get(0);
    let text: Option<String> = row.get(1);
    let then = text.and_then(|text| Definitions::parse(&text).ok());
    let recipe = |definitions: &Definitions, feature: &str| {
        Some(definitions.views.get(view)?.feature(feature)?.recipe.clone())
    };
    summary.features.retain(|feature, _| {
        let was = then.as_ref().and_then(|then| recipe(then, feature));
        was.is_some() && was == recipe(definitions, feature)
    });
    Ok(Some(summary))
}

/// What the newest runs found of a view, newest first.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn describe(store: &Store, view: &str, limit: i64) -> Result<Vec<Described>> {
    let rows = sqlx::query!(
        r#"select run_id, definitions_sha256, moment, whole, summary as "summary: sqlx::types::Json<ViewSummary>"
           from feature_statistics where view = $1 order by run_id desc limit $2"#,
        view,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    let mut described = Vec::new();
    for row in rows {
        described.push(Described {
            run_id: row.run_id.into(),
            definitions_sha256: row.definitions_sha256,
            moment: row.moment,
            whole: row.whole,
            summary: row.summary.0,
            breaches: breaches(store, row.run_id, Some(view)).await?,
            outliers: outliers(store, row.run_id, view).await?,
        });
    }
    Ok(described)
}

/// What a run found not to be as expected, with some of the entities that it is breached by.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn breaches_and_outliers(
    store: &Store,
    run_id: RunId,
) -> Result<Vec<(Breach, Vec<String>)>> {
    let mut found = Vec::new();
    for breach in breaches(store, run_id.get(), None).await? {
        let outliers = outliers(store, run_id.get(), &breach.view).await?;
        let ids = outliers.of(&breach.feature, breach.expectation).to_vec();
        found.push((breach, ids));
    }
    Ok(found)
}

/// What a run found not to be as expected, of one view or of all.
async fn breaches(store: &Store, run_id: i64, view: Option<&str>) -> Result<Vec<Breach>> {
    let rows = sqlx::query_as!(
        Row,
        "select view, feature, expectation, allowed, found, stops from feature_breaches
         where run_id = $1 and view = coalesce($2, view)
         order by view, feature, expectation",
        run_id,
        view,
    )
    .fetch_all(store.pool())
    .await?;
    let breach = |row| {
        let Row { view, feature, expectation, allowed, found, stops } = row;
        Breach { view, feature, expectation: Expectation::from_stored(&expectation), allowed, found, stops }
    };
    Ok(rows.into_iter().map(breach).collect())
}

struct Row {
    view: String,
    feature: String,
    expectation: String,
    allowed: f64,
    found: f64,
    stops: bool,
}

async fn outliers(store: &Store, run_id: i64, view: &str) -> Result<Outliers> {
    let rows = sqlx::query!(
        r#"select feature, id, without_value as "without_value!" from (
             select feature, id, value is null as without_value,
                    row_number() over (partition by feature, value is null order by id) as place
             from feature_outliers where run_id = $1 and view = $2
         ) as numbered
         where place <= $3
         order by feature, id"#,
        run_id,
        view,
        NAMED_OUTLIERS,
    )
    .fetch_all(store.pool())
    .await?;
    let mut outliers = Outliers::default();
    for row in rows {
        let by_feature =
            if row.without_value { &mut outliers.without_value } else { &mut outliers.out_of_range };
        by_feature.entry(row.feature).or_default().push(row.id);
    }
    Ok(outliers)
}
