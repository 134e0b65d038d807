//! `finrank features verify`: what was served online, held to what history says.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::feature::v1::{
    EntityKind, FeatureValue, ServedDifference, VerificationSummary, VerifyServedFeaturesRequest,
    feature_store_service_client::FeatureStoreServiceClient, verify_served_features_response::Step,
};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;

use super::selection::{cell, json, moment, status};
use crate::{client, output::Format, progress, settings::Settings};

/// Compute a sample of what was served online again from history, and tell every difference.
///
/// The server keeps one row in so many of what it serves (feature_store.features.sample). Exits with a failure if one
/// of them is not, bit for bit, what history says of its moment.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features verify\n  finrank features verify --since 2026-11-01 --json\n  finrank features verify --limit 10000 --at-least 100"
)]
pub(super) struct Verify {
    /// Only what was served at this moment or later: RFC 3339 or a date.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--since", raw))]
    since: Option<DateTime<Utc>>,
    /// At most so many rows, the newest; by default all that are kept.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Fail if fewer rows were kept, as when samples are not taken any more.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    at_least: u64,
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    checked: u64,
    equal: u64,
    different: u64,
    differences: Vec<Difference>,
}

/// A value that is not as it was served, or a row of which none can be told.
#[derive(Serialize)]
struct Difference {
    entity: &'static str,
    id: String,
    feature: Option<String>,
    known_at: String,
    definitions_sha256: String,
    purpose: String,
    served: Option<Value>,
    recomputed: Option<Value>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Value {
    status: &'static str,
    value: serde_json::Value,
    event_time: Option<String>,
    #[serde(skip)]
    cell: String,
}

impl Verify {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url());
        let (format, at_least) = (self.format, self.at_least);
        let report = super::super::block_on(self.verify(&url))?;
        format.print(&report, Report::to_text)?;
        if report.different > 0 {
            bail!("{} of {} rows are not what was served", report.different, report.checked);
        }
        if report.checked < at_least {
            bail!("{} rows were kept, fewer than --at-least {at_least}", report.checked);
        }
        Ok(())
    }

    async fn verify(self, url: &str) -> anyhow::Result<Report> {
        let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
        let bar = progress::bar(0, "rows", self.format);
        let request = VerifyServedFeaturesRequest {
            since: self.since.map(wire::timestamp),
            limit: self.limit.unwrap_or_default(),
        };
        let steps = store.verify_served_features(request).await;
        let mut steps = steps.map_err(|status| client::refusal(&status))?.into_inner();
        let (mut differences, mut summary) = (Vec::new(), None);
        while let Some(step) = steps.message().await.map_err(|status| client::refusal(&status))? {
            match step.step {
                Some(Step::Progress(progress)) => {
                    bar.set_length(progress.total);
                    bar.set_position(progress.checked);
                }
                Some(Step::Difference(difference)) => differences.push(Difference::from(difference)),
                Some(Step::Summary(found)) => summary = Some(found),
                None => {}
            }
        }
        bar.finish_and_clear();
        let VerificationSummary { checked, equal, different } =
            summary.context("the verification ended before all was checked; try again")?;
        Ok(Report { checked, equal, different, differences })
    }
}

impl From<ServedDifference> for Difference {
    fn from(difference: ServedDifference) -> Self {
        let entity = match difference.entity() {
            EntityKind::Product => "product",
            _ => "customer",
        };
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            entity,
            id: difference.entity_id,
            feature: said(difference.feature),
            known_at: difference.known_at.as_ref().map(moment).unwrap_or_default(),
            definitions_sha256: difference.definitions_sha256,
            purpose: difference.purpose,
            served: difference.served.as_ref().map(Value::from),
            recomputed: difference.recomputed.as_ref().map(Value::from),
            reason: said(difference.reason),
        }
    }
}

impl From<&FeatureValue> for Value {
    fn from(value: &FeatureValue) -> Self {
        Self {
            status: status(value),
            value: json(value),
            event_time: value.event_time.as_ref().map(moment),
            cell: cell(value),
        }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let differences: String = self.differences.iter().map(Difference::to_text).collect();
        let Self { checked, equal, different, .. } = self;
        match checked {
            0 => "nothing is kept of what was served: one row in feature_store.features.sample.one_in is (1000 by default; \
                  1 keeps all), as of the server's start"
                .to_owned(),
            _ => format!("{differences}{checked} rows checked: {equal} as they were served, {different} not"),
        }
    }
}

impl Difference {
    fn to_text(&self) -> String {
        let of = format!("{} {} at {}", self.entity, self.id, self.known_at);
        match (&self.feature, &self.reason) {
            (Some(feature), _) => {
                let (served, recomputed) =
                    (in_words(self.served.as_ref()), in_words(self.recomputed.as_ref()));
                format!("{of}: {feature} was served as {served}, history says {recomputed}\n")
            }
            (None, reason) => format!("{of}: {}\n", reason.as_deref().unwrap_or("differs")),
        }
    }
}

/// A value with its status, and since when it is true.
fn in_words(value: Option<&Value>) -> String {
    let Some(Value { status, cell, event_time, .. }) = value else { return "nothing".to_owned() };
    let cell = if cell.is_empty() { String::new() } else { format!("{cell} ") };
    let since = event_time.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    format!("{cell}({status}{since})")
}
