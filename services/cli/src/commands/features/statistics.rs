//! `finrank features statistics`: what a view's values are like, as the newest refreshes found them.

use anyhow::bail;
use clap::Args;
use finrank_contracts::feature::v1::{
    DescribeFeatureViewRequest, DescribeFeatureViewResponse, FeatureBreach, FeatureStatistics,
    FeatureViewStatistics, feature_store_service_client::FeatureStoreServiceClient,
};
use serde::Serialize;

use super::selection::moment;
use crate::{
    client,
    output::{Format, table},
    settings::Settings,
};

/// Tell what a view's values are like and how fresh they are, as refreshes found them.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features statistics customer_profile\n  finrank features statistics customer_profile --history 30 --json"
)]
pub(super) struct Statistics {
    /// The view's name.
    view: String,
    /// How many refreshes to tell of, newest first.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    history: u32,
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Statistics {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.unwrap_or_else(|| settings.feature_store_url());
        let request = DescribeFeatureViewRequest { view: self.view.clone(), history: self.history };
        let described = super::super::block_on(async {
            let mut store = FeatureStoreServiceClient::new(client::connect(&url, "feature-store").await?);
            let described = store.describe_feature_view(request).await;
            anyhow::Ok(described.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        if described.statistics.is_empty() {
            bail!("no refresh has looked at {} yet: `finrank refresh` does", self.view);
        }
        self.format.print(&Report::from(described), Report::to_text)
    }
}

/// A line that tells of a breach.
pub(crate) fn breach_in_words(breach: &FeatureBreach) -> String {
    let FeatureBreach { feature, expectation, allowed, found, stops, entity_ids } = breach;
    let stops = if *stops { "must" } else { "should" };
    let of = if entity_ids.is_empty() { String::new() } else { format!(" (of {})", entity_ids.join(", ")) };
    format!("{feature}: {expectation} {stops} be {allowed:.4}, is {found:.4}{of}")
}

#[derive(Serialize)]
struct Report {
    view: String,
    known_at: String,
    refreshes: Vec<Refreshed>,
}

/// What one refresh found.
#[derive(Serialize)]
struct Refreshed {
    run_id: i64,
    moment: String,
    whole: bool,
    entities: u64,
    not_found: u64,
    outside_max_age: u64,
    oldest_event_time: Option<String>,
    newest_event_time: Option<String>,
    features: Vec<Found>,
    breaches: Vec<String>,
}

#[derive(Serialize)]
struct Found {
    name: String,
    count: u64,
    null_rate: f64,
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// Each with its share.
    quantiles: Vec<(f64, f64)>,
    distinct: Option<u32>,
    /// Each with its count.
    top: Vec<(String, u64)>,
}

impl From<DescribeFeatureViewResponse> for Report {
    fn from(described: DescribeFeatureViewResponse) -> Self {
        Self {
            view: described.view.unwrap_or_default().name,
            known_at: described.known_at.as_ref().map(moment).unwrap_or_default(),
            refreshes: described.statistics.into_iter().map(Refreshed::from).collect(),
        }
    }
}

impl From<FeatureViewStatistics> for Refreshed {
    fn from(statistics: FeatureViewStatistics) -> Self {
        let breaches = statistics.features.iter().flat_map(|feature| &feature.breaches);
        Self {
            run_id: statistics.run_id,
            moment: statistics.moment.as_ref().map(moment).unwrap_or_default(),
            whole: statistics.whole,
            entities: statistics.entities,
            not_found: statistics.not_found,
            outside_max_age: statistics.outside_max_age,
            oldest_event_time: statistics.oldest_event_time.as_ref().map(moment),
            newest_event_time: statistics.newest_event_time.as_ref().map(moment),
            breaches: breaches.map(breach_in_words).collect(),
            features: statistics.features.into_iter().map(Found::from).collect(),
        }
    }
}

impl From<FeatureStatistics> for Found {
    fn from(feature: FeatureStatistics) -> Self {
        let (numbers, texts) = (feature.numbers.as_ref(), feature.texts.as_ref());
        let quantiles = numbers.map(|numbers| numbers.quantiles.as_slice()).unwrap_or_default();
        let top = texts.map(|texts| texts.top.as_slice()).unwrap_or_default();
        Self {
            count: feature.count,
            null_rate: feature.null_rate,
            mean: numbers.map(|numbers| numbers.mean),
            min: numbers.map(|numbers| numbers.min),
            max: numbers.map(|numbers| numbers.max),
            quantiles: quantiles.iter().map(|quantile| (quantile.share, quantile.value)).collect(),
            distinct: texts.map(|texts| texts.distinct),
            top: top.iter().map(|text| (text.text.clone(), text.count)).collect(),
            name: feature.name,
        }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let refreshes = self.refreshes.iter().map(Refreshed::to_text).collect::<Vec<_>>().join("\n\n");
        format!(
            "{} · what is served now rests on all learned before {}\n\n{refreshes}",
            self.view, self.known_at
        )
    }
}

impl Refreshed {
    fn to_text(&self) -> String {
        let Self { run_id, moment, entities, not_found, outside_max_age, .. } = self;
        let of = if self.whole { "all" } else { "changed" };
        let newest = self.newest_event_time.as_deref().unwrap_or("never");
        let breaches: String = self.breaches.iter().map(|breach| format!("\n! {breach}")).collect();
        format!(
            "refresh {run_id}, as of {moment}: {entities} entities ({of}), {not_found} without a statement, \
             {outside_max_age} too old; newest statement of {newest}\n{}{breaches}",
            table(
                ["feature", "most frequent", "count", "null", "mean", "min", "5 %", "median", "95 %", "max"],
                2,
                self.features.iter().map(Found::cells),
            )
        )
    }
}

impl Found {
    fn cells(&self) -> [String; 10] {
        let number = |number: Option<f64>| number.map(short).unwrap_or_default();
        let quantile = |share: f64| {
            let found = self.quantiles.iter().find(|(of, _)| *of == share);
            number(found.map(|(_, value)| *value))
        };
        let top: Vec<String> =
            self.top.iter().take(3).map(|(text, count)| format!("{text} {count}")).collect();
        [
            self.name.clone(),
            top.join(", "),
            self.count.to_string(),
            format!("{:.1} %", self.null_rate * 100.0),
            number(self.mean),
            number(self.min),
            quantile(0.05),
            quantile(0.5),
            quantile(0.95),
            number(self.max),
        ]
    }
}

/// Four digits are more than a quantile is right to.
fn short(number: f64) -> String {
    if number.abs() >= 1000.0 || number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.3}")
    }
}
