//! One file: some customers' recommendations, asked for in one stream.

use std::{
    ffi::OsStr,
    fs::File,
    io::BufWriter,
    ops::AddAssign,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use finrank_contracts::ranking::v1::{
    BatchRecommendRequest, RecommendRequest, Scenario, batch_recommend_response::Outcome,
    ranking_service_client::RankingServiceClient,
};
use indicatif::ProgressBar;
use tonic::transport::Channel;

use super::{
    campaign::{Campaign, Wanted},
    rows::{Row, Rows},
};
use crate::{client, output::FileFormat, whole_file::WholeFile};

/// Customers of one message: the next are looked up while these are decided for.
const MESSAGE: usize = 200;

/// With what the name of every file begins.
const NAME: &str = "part-";

/// A file of a campaign.
pub(super) struct Part<'c> {
    wanted: &'c Wanted,
    path: PathBuf,
}

/// What became of customers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) customers: u64,
    pub(super) refused: u64,
    pub(super) recommendations: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.customers += other.customers;
        self.refused += other.refused;
        self.recommendations += other.recommendations;
    }
}

impl<'c> Part<'c> {
    pub(super) fn new(campaign: &'c Campaign, number: usize) -> Self {
        let wanted = &campaign.wanted;
        let name = format!("{NAME}{number:05}.{}", wanted.form.extension());
        Self { wanted, path: campaign.directory.join(name) }
    }

    /// Whether a file is one of a campaign's, by its name, and whole.
    pub(super) fn is_named(path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str);
        let form = path.extension().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with(NAME))
            && form.is_some_and(|form| FileFormat::value_variants().iter().any(|of| of.extension() == form))
    }

    /// Whether it is there, and so whole.
    pub(super) fn is_written(&self) -> bool {
        self.path.exists()
    }

    /// Asks for all customers and writes the file.
    pub(super) async fn write(
        &self,
        ranking: &mut RankingServiceClient<Channel>,
        customers: Vec<String>,
        bar: &ProgressBar,
    ) -> anyhow::Result<Counts> {
        let file = WholeFile::create(&self.path)?;
        let mut rows = Rows::new(self.wanted.form, file.writer()?)?;
        let counts = self.ask(ranking, customers, &mut rows, bar).await?;
        rows.finish().with_context(|| format!("cannot write {}", self.path.display()))?;
        file.keep()?;
        Ok(counts)
    }

    async fn ask(
        &self,
        ranking: &mut RankingServiceClient<Channel>,
        customers: Vec<String>,
        rows: &mut Rows<BufWriter<File>>,
        bar: &ProgressBar,
    ) -> anyhow::Result<Counts> {
        let expected = customers.len() as u64;
        let request = RecommendRequest {
            k: self.wanted.k,
            scenario: Scenario::from(self.wanted.scenario).into(),
            exclude_product_ids: self.wanted.exclude.clone(),
            filters: Some(self.wanted.wishes.filters()),
            selection: Some(self.wanted.wishes.selection()),
            ..RecommendRequest::default()
        };
        let messages: Vec<BatchRecommendRequest> = customers
            .chunks(MESSAGE)
            .map(|user_ids| BatchRecommendRequest {
                user_ids: user_ids.to_vec(),
                request: Some(request.clone()),
            })
            .collect();
        let answers = ranking.batch_recommend(tokio_stream::iter(messages)).await;
        let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
        let mut counts = Counts::default();
        while let Some(answer) = answers.message().await.map_err(|status| client::refusal(&status))? {
            let outcome = answer.outcome.context("the server sent an empty answer")?;
            counts.customers += 1;
            match &outcome {
                Outcome::Recommendation(answer) if !answer.items.is_empty() => {
                    counts.recommendations += answer.items.len() as u64;
                }
                _ => counts.refused += 1,
            }
            for row in Row::of(outcome) {
                rows.write(row)?;
            }
            bar.inc(1);
        }
        if counts.customers != expected {
            bail!("the server answered for {} of {expected} customers", counts.customers);
        }
        Ok(counts)
    }
}
