//! `finrank features get`: values of a few entities, now or as they were served.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::feature::v1::{
    FeatureDenial, FeatureHeader, FeatureRow, FeatureSelection, GetFeaturesAsOfRequest,
    GetOnlineFeaturesRequest, feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_model::parse_moment;
use serde::Serialize;

use super::selection::{Selection, cell, json, moment, status};
use crate::{
    client,
    output::{Format, short, table},
    settings::Settings,
};

/// Get the features of a few customers or products, as they are now or were at a moment.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features get user-0000001 --service offer_ranking --purpose marketing\n  finrank features get user-0000001 --features customer_profile:age --purpose fairness_monitoring --json\n  finrank features get user-0000001 --service offer_ranking --purpose marketing --as-of 2026-01-31T12:00:00Z"
)]
pub(super) struct Get {
    /// User ids or product ids, as the features ask for.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// What was served at this moment: RFC 3339, such as the `known_at` of an earlier answer.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--as-of", raw))]
    as_of: Option<DateTime<Utc>>,
    /// By these definitions instead of those that were in force then: the `definitions_sha256` of an earlier answer.
    #[arg(long, value_name = "SHA256", requires = "as_of")]
    definitions: Option<String>,
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Get {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.unwrap_or_else(|| settings.feature_store_url());
        let selection: FeatureSelection = self.selection.into();
        let (header, rows) = super::super::block_on(async {
            let mut store = FeatureStoreServiceClient::new(client::connect(&url, "feature-store").await?);
            let (header, rows) = match self.as_of {
                None => {
                    let request =
                        GetOnlineFeaturesRequest { selection: Some(selection), entity_ids: self.ids };
                    let answer = store.get_online_features(request).await;
                    let answer = answer.map_err(|status| client::refusal(&status))?.into_inner();
                    (answer.header, answer.rows)
                }
                Some(as_of) => {
                    let request = GetFeaturesAsOfRequest {
                        selection: Some(selection),
                        entity_ids: self.ids,
                        moment: Some(finrank_serving::wire::timestamp(as_of)),
                        definitions_sha256: self.definitions.unwrap_or_default(),
                    };
                    let answer = store.get_features_as_of(request).await;
                    let answer = answer.map_err(|status| client::refusal(&status))?.into_inner();
                    (answer.header, answer.rows)
                }
            };
            anyhow::Ok((header.unwrap_or_default(), rows))
        })?;
        self.format.print(&Answer::of(&header, &rows), Answer::to_text)
    }
}

/// The values, as printed.
#[derive(Serialize)]
struct Answer {
    known_at: String,
    definitions_sha256: String,
    values: Vec<PrintedValue>,
    denials: Vec<Denial>,
}

/// A feature that the purpose does not allow.
#[derive(Serialize)]
struct Denial {
    feature: String,
    protected: bool,
    allowed_purposes: Vec<String>,
}

#[derive(Serialize)]
struct PrintedValue {
    id: String,
    feature: String,
    status: &'static str,
    value: serde_json::Value,
    #[serde(skip)]
    cell: String,
    event_time: Option<String>,
}

impl Answer {
    fn of(header: &FeatureHeader, rows: &[FeatureRow]) -> Self {
        let values = rows.iter().flat_map(|row| {
            row.values.iter().zip(&header.features).map(|(value, feature)| PrintedValue {
                id: row.entity_id.clone(),
                feature: feature.clone(),
                status: status(value),
                value: json(value),
                cell: cell(value),
                event_time: value.event_time.as_ref().map(moment),
            })
        });
        Self {
            known_at: header.known_at.as_ref().map(moment).unwrap_or_default(),
            definitions_sha256: header.definitions_sha256.clone(),
            values: values.collect(),
            denials: header.denials.iter().map(Denial::from).collect(),
        }
    }

    fn to_text(&self) -> String {
        let rows = self.values.iter().map(|value| {
            [
                value.id.clone(),
                value.feature.clone(),
                value.cell.clone(),
                value.status.to_owned(),
                value.event_time.clone().unwrap_or_default(),
            ]
        });
        let table = table(["id", "feature", "value", "status", "since"], 5, rows);
        let denials: String = self.denials.iter().map(Denial::to_text).collect();
        let definitions = short(&self.definitions_sha256);
        format!("{table}\n{denials}known at {} · definitions {definitions}", self.known_at)
    }
}

impl Denial {
    fn to_text(&self) -> String {
        let protected = if self.protected { " is protected and" } else { "" };
        let allowed = match self.allowed_purposes.as_slice() {
            [] => "no purpose".to_owned(),
            purposes => purposes.join(", "),
        };
        format!("{}{protected} is served for {allowed} only\n", self.feature)
    }
}

impl From<&FeatureDenial> for Denial {
    fn from(denial: &FeatureDenial) -> Self {
        Self {
            feature: denial.feature.clone(),
            protected: denial.protected,
            allowed_purposes: denial.allowed_purposes.clone(),
        }
    }
}
