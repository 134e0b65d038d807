//! `finrank batch-recommend`: recommendations for many customers, into files.

mod campaign;
mod part;
mod rows;

use std::{num::NonZeroUsize, path::PathBuf, time::Instant};

use clap::{ArgGroup, Args};
use serde::Serialize;

use self::{
    campaign::{Campaign, Source, Wanted},
    part::{Counts, Part},
};
use super::recommend::{ScenarioName, Wishes};
use crate::{
    client::RankingServer,
    output::{FileFormat, Format},
    progress,
    settings::Settings,
};

/// Recommend to many customers, into the files of a folder.
///
/// The folder gets a file for every so many customers, in their order, and each file its name once it is whole. The same
/// command goes on where it was cut off. Every customer has at least one row: who gets nothing has the reason in the
/// column `refusal`. The folder also keeps what was asked for (campaign.json, customers.csv), and holds to it.
#[derive(Args)]
#[command(
    group = ArgGroup::new("customers").required(true),
    after_help = "Examples:\n  finrank batch-recommend --users users.csv -k 3 --scenario insurance --out campaign\n  \
                  finrank batch-recommend --all -k 10 --form parquet --out nightly\n  \
                  finrank batch-recommend --all --class wealth --diversity 0.3 --out spring"
)]
pub(crate) struct BatchRecommend {
    /// A CSV file with a column user_id.
    #[arg(long, value_name = "FILE", group = "customers")]
    users: Option<PathBuf>,
    /// Everybody whom the database knows when the command is first given.
    #[arg(long, group = "customers")]
    all: bool,
    /// The folder; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The form of the files.
    #[arg(long, value_enum, default_value = "csv")]
    form: FileFormat,
    /// How many products for each, 1 to 500.
    #[arg(short, long, default_value_t = 10)]
    k: u32,
    /// Where they will be shown, which decides the product classes.
    #[arg(long, value_enum, default_value_t = ScenarioName::All)]
    scenario: ScenarioName,
    /// A product not to offer; may be repeated.
    #[arg(long, value_name = "PRODUCT_ID")]
    exclude: Vec<String>,
    #[command(flatten)]
    wishes: Wishes,
    /// How many customers a file is for.
    #[arg(long, value_name = "N", default_value = "50000")]
    part: NonZeroUsize,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

/// What was done.
#[derive(Serialize)]
struct Report {
    /// Customers of this run; those of an earlier one are not among them.
    customers: u64,
    /// Of them, those who got nothing.
    refused: u64,
    /// Products that were recommended to them.
    recommendations: u64,
    /// Files that this run wrote.
    written: usize,
    /// Files that were there from an earlier one.
    kept: usize,
    seconds: f64,
    out: PathBuf,
}

impl BatchRecommend {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let wanted = Wanted {
            k: self.k,
            scenario: self.scenario,
            exclude: self.exclude.clone(),
            wishes: self.wishes.clone(),
            form: self.form,
            part: self.part,
            // Filled in once they are written down.
            customers_sha256: String::new(),
        };
        let report = super::block_on(async {
            let source = match &self.users {
                Some(file) => Source::File(file.clone()),
                None => Source::Everybody(settings.store().await?),
            };
            let campaign = Campaign::open(&self.out, source, wanted).await?;
            self.write(settings, &campaign).await
        })?;
        self.format.print(&report, |report| {
            let files = |number| if number == 1 { "1 file".to_owned() } else { format!("{number} files") };
            let kept = match report.kept {
                0 => String::new(),
                kept => format!("; {} from before stay as they are", files(kept)),
            };
            format!(
                "{} recommendations for {} customers ({} got none) in {}, {:.0} customers a second{kept}\n{}",
                report.recommendations,
                report.customers,
                report.refused,
                files(report.written),
                report.customers as f64 / report.seconds.max(f64::MIN_POSITIVE),
                report.out.display(),
            )
        })
    }

    async fn write(&self, settings: &Settings, campaign: &Campaign) -> anyhow::Result<Report> {
        let mut ranking = self.server.connect(settings).await?;
        let bar = progress::bar(campaign.customers, "customers", self.format);
        let started = Instant::now();
        let (mut counts, mut written, mut kept) = (Counts::default(), 0, 0);
        for (number, customers) in campaign.parts()?.enumerate() {
            let customers = customers?;
            let part = Part::new(campaign, number);
            if part.is_written() {
                kept += 1;
                bar.inc(customers.len() as u64);
                continue;
            }
            counts += part.write(&mut ranking, customers, &bar).await?;
            written += 1;
        }
        bar.finish_and_clear();
        Ok(Report {
            customers: counts.customers,
            refused: counts.refused,
            recommendations: counts.recommendations,
            written,
            kept,
            seconds: started.elapsed().as_secs_f64(),
            out: self.out.clone(),
        })
    }
}
