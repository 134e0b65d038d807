//! `finrank audit replay`: decisions made again, and compared with what was recorded.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use finrank_contracts::ranking::v1::{
    self, ReplayDecisionRequest, ReplayDecisionsRequest, ReplayOutcome,
    ranking_service_client::RankingServiceClient, replay_decisions_response::Step,
};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;
use tonic::transport::Channel;

use crate::{
    client::{self, RankingServer},
    commands::block_on,
    output::{Format, spoken, table},
    progress,
    settings::Settings,
};

/// Make decisions again from what was kept of them, and compare the two bit for bit. Fails if one comes out otherwise.
///
/// What cannot be made again, since the customer was erased or a bundle is gone, is counted and no failure.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Examples:\n  finrank audit replay 0198f3c2-7d1e-7c11-9a53-0242ac120002\n  finrank audit replay --last 1000\n  finrank audit replay --since 2026-11-01 --json"
)]
pub(super) struct Replay {
    /// The decisions' ids, as answers told them.
    #[arg(value_name = "DECISION_ID", group = "which")]
    decision_ids: Vec<String>,
    /// All that were made at this moment or later: a date, or a time in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--since", raw), group = "which", conflicts_with = "decision_ids")]
    since: Option<DateTime<Utc>>,
    /// Only so many, the last ones of the log.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), group = "which", conflicts_with = "decision_ids")]
    last: Option<i64>,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

/// What came of all of them.
#[derive(Default, Serialize)]
struct Report {
    /// How many, by outcome.
    outcomes: BTreeMap<String, u64>,
    /// Those that did not come out as they were.
    others: Vec<Other>,
}

#[derive(Serialize)]
struct Other {
    decision_id: String,
    sequence: i64,
    outcome: String,
    /// Where the first difference is.
    stage: String,
    product_id: String,
    /// What differs, or is missing.
    what: String,
}

impl Replay {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let report = block_on(self.ask(settings))?;
        self.format.print(&report, Report::to_string)?;
        let diverged = report.outcomes.get(&outcome_name(ReplayOutcome::Diverged)).copied().unwrap_or(0);
        if diverged > 0 {
            bail!("{diverged} decisions did not come out as they were made");
        }
        Ok(())
    }

    async fn ask(&self, settings: &Settings) -> anyhow::Result<Report> {
        let mut ranking = self.server.connect(settings).await?;
        match self.decision_ids.as_slice() {
            [] => self.replay_span(&mut ranking).await,
            decision_ids => replay_named(&mut ranking, decision_ids).await,
        }
    }

    async fn replay_span(&self, ranking: &mut RankingServiceClient<Channel>) -> anyhow::Result<Report> {
        let request = ReplayDecisionsRequest {
            since: self.since.map(wire::timestamp),
            last: self.last.unwrap_or_default(),
        };
        let answers = ranking.replay_decisions(request).await;
        let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
        let bar = progress::bar(0, "decisions", self.format);
        let mut report = Report::default();
        while let Some(answer) = answers.message().await.map_err(|status| client::refusal(&status))? {
            match answer.step.context("the server sent an empty message")? {
                Step::Total(total) => bar.set_length(total.unsigned_abs()),
                Step::Replay(replay) => {
                    report.add(replay);
                    bar.inc(1);
                }
                Step::Replayed(_) => {
                    bar.finish_and_clear();
                    return Ok(report);
                }
            }
        }
        bail!("the server stopped before it had replayed all")
    }
}

async fn replay_named(
    ranking: &mut RankingServiceClient<Channel>,
    decision_ids: &[String],
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for decision_id in decision_ids {
        let request = ReplayDecisionRequest { decision_id: decision_id.clone() };
        let answer = ranking.replay_decision(request).await.map_err(|status| client::refusal(&status))?;
        report.add(answer.into_inner().replay.context("the server sent no replay")?);
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, replay: v1::Replay) {
        let outcome = replay.outcome();
        let name = outcome_name(outcome);
        *self.outcomes.entry(name.clone()).or_default() += 1;
        if outcome == ReplayOutcome::Exact {
            return;
        }
        let divergence = replay.divergence.unwrap_or_default();
        self.others.push(Other {
            decision_id: replay.decision_id,
            sequence: replay.sequence,
            outcome: name,
            stage: divergence.stage,
            product_id: divergence.product_id,
            what: if divergence.message.is_empty() { replay.missing } else { divergence.message },
        });
    }
}

/// `REPLAY_OUTCOME_INPUT_ERASED` as "input erased".
fn outcome_name(outcome: ReplayOutcome) -> String {
    spoken(outcome.as_str_name(), "REPLAY_OUTCOME_")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcomes.is_empty() {
            return write!(f, "no decision was made then");
        }
        let counts = self.outcomes.iter().map(|(outcome, count)| [outcome.clone(), count.to_string()]);
        write!(f, "{}", table(["outcome", "decisions"], 1, counts))?;
        for Other { decision_id, sequence, outcome, stage, product_id, what } in &self.others {
            write!(f, "\n{sequence}  {decision_id}  {outcome}  {stage} {product_id} {what}")?;
        }
        Ok(())
    }
}
