//! `finrank audit show`: one decision, as it was recorded.

use anyhow::Context;
use clap::Args;
use finrank_contracts::ranking::v1::{
    DecisionRecord, GetDecisionRequest, GetDecisionResponse, RankingBasis, RecordedCandidate, RecordedItem,
    RecordedSelection, Scenario,
};
use serde::Serialize;

use super::inputs::Inputs;
use crate::{
    client::{self, RankingServer},
    commands::{
        block_on,
        features::moment,
        recommend::{basis_name, degradation_name, scenario_name},
    },
    output::{Format, short, spoken, table},
    settings::Settings,
};

/// Show a decision: what was offered, what else was scored, and which model and policy decided.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank audit show 0198f3c2-7d1e-7c11-9a53-0242ac120002 --inputs --json")]
pub(super) struct Show {
    /// The decision's id, as the answer told it.
    decision_id: String,
    /// Also show what it was made from, which is personal.
    #[arg(long)]
    inputs: bool,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

/// A decision, as printed.
#[derive(Serialize)]
struct Shown {
    sequence: i64,
    chain_sha256: String,
    decision_id: String,
    decided_at: String,
    scenario: String,
    k: u32,
    diversity: f64,
    embedding_space: String,
    model_version: String,
    index_generation: i64,
    user_generation: i64,
    policy_version: String,
    policy_sha256: String,
    /// Absent from what was decided before there were selection files.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<Selection>,
    ranking_basis: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    degradation: Option<String>,
    eligible_count: u32,
    human_review_count: u32,
    candidate_count: u32,
    candidates_sha256: String,
    items: Vec<Item>,
    candidates: Vec<Item>,
    inputs_erased: bool,
    inputs: Option<Inputs>,
}

#[derive(Serialize)]
struct Selection {
    version: String,
    sha256: String,
    exploration: String,
}

#[derive(Serialize)]
struct Item {
    product_id: String,
    retrieval_score: f32,
    logit: f32,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_sha256: Option<String>,
}

/// How an item came to its place.
#[derive(Serialize)]
struct Standing {
    placement: String,
    placed_by: String,
    boosted_by: f64,
    propensity: f64,
}

impl Show {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let request = GetDecisionRequest { decision_id: self.decision_id, include_inputs: self.inputs };
        let kept = block_on(async {
            let kept = self.server.connect(settings).await?.get_decision(request).await;
            Ok(kept.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Shown::of(kept)?, Shown::to_text)
    }
}

impl Shown {
    fn of(kept: GetDecisionResponse) -> anyhow::Result<Self> {
        let record: DecisionRecord = kept.record.context("the server sent no record")?;
        let items = record.items.iter().map(|item| {
            let candidate = item.candidate.clone().unwrap_or_default();
            Item {
                proof_sha256: Some(hex::encode(&item.proof_sha256)),
                standing: record.selection.is_some().then(|| Standing::of(item)),
                ..Item::of(&candidate)
            }
        });
        Ok(Self {
            sequence: kept.sequence,
            chain_sha256: hex::encode(&kept.sha256),
            items: items.collect(),
            candidates: record.candidates.iter().map(Item::of).collect(),
            decided_at: record.decided_at.as_ref().map(moment).unwrap_or_default(),
            scenario: Scenario::try_from(record.scenario).map(scenario_name).unwrap_or_default(),
            ranking_basis: RankingBasis::try_from(record.ranking_basis).map(basis_name).unwrap_or_default(),
            degradation: record.degradation.as_ref().map(degradation_name),
            policy_sha256: hex::encode(&record.policy_sha256),
            candidates_sha256: hex::encode(&record.candidates_sha256),
            decision_id: record.decision_id,
            k: record.k,
            diversity: record.diversity,
            embedding_space: record.embedding_space,
            model_version: record.model_version,
            index_generation: record.index_generation,
            user_generation: record.user_generation,
            policy_version: record.policy_version,
            selection: record.selection.map(Selection::of),
            eligible_count: record.eligible_count,
            human_review_count: record.human_review_count,
            candidate_count: record.candidate_count,
            inputs_erased: kept.inputs_erased,
            inputs: kept.inputs.map(Inputs::of),
        })
    }

    fn to_text(&self) -> String {
        let rows = self.items.iter().zip(1..).map(|(item, rank): (&Item, usize)| {
            [
                rank.to_string(),
                item.product_id.clone(),
                format!("{:.1} %", 100.0 * item.score),
                format!("{:.4}", item.logit),
                format!("{:.4}", item.retrieval_score),
                item.standing.as_ref().map(Standing::to_text).unwrap_or_default(),
            ]
        });
        let items = table(["#", "product_id", "score", "logit", "retrieval", "placed by"], 2, rows);
        let selection = self.selection.as_ref().map(Selection::to_text).unwrap_or_default();
        let inputs = match (&self.inputs, self.inputs_erased) {
            (Some(inputs), _) => format!("\n{}", inputs.to_text()),
            (None, true) => "\nwhat it was made from was erased with the customer".to_owned(),
            (None, false) => String::new(),
        };
        format!(
            "decision {} · {} · number {} of the log\n{items}\n{} of {} scored products kept, {} eligible, {} for \
             human review · ranked by {}{} · scenario {} · k {} · diversity {}\nmodel {} · index generation {} · customer's generation {} · \
             policy {} ({}){selection}{inputs}",
            self.decision_id,
            self.decided_at,
            self.sequence,
            self.candidates.len(),
            self.candidate_count,
            self.eligible_count,
            self.human_review_count,
            self.ranking_basis,
            self.degradation.as_ref().map(|told| format!(", {told}")).unwrap_or_default(),
            self.scenario,
            self.k,
            self.diversity,
            self.model_version,
            self.index_generation,
            self.user_generation,
            self.policy_version,
            short(&self.policy_sha256),
        )
    }
}

impl Item {
    fn of(candidate: &RecordedCandidate) -> Self {
        Self {
            product_id: candidate.product_id.clone(),
            retrieval_score: candidate.retrieval_score,
            logit: candidate.logit,
            score: candidate.score,
            standing: None,
            proof_sha256: None,
        }
    }
}

impl Selection {
    fn of(recorded: RecordedSelection) -> Self {
        let RecordedSelection { version, sha256, exploration, .. } = recorded;
        Self { version, sha256: hex::encode(sha256), exploration }
    }

    fn to_text(&self) -> String {
        format!(" · selection {} ({})", self.version, short(&self.sha256))
    }
}

impl Standing {
    fn of(item: &RecordedItem) -> Self {
        Self {
            placement: spoken(item.placement().as_str_name(), "PLACEMENT_"),
            placed_by: item.placed_by.clone(),
            boosted_by: item.boosted_by,
            propensity: item.propensity,
        }
    }

    fn to_text(&self) -> String {
        let mut text = self.placement.clone();
        if !self.placed_by.is_empty() {
            text = format!("{text} {}", self.placed_by);
        }
        if self.boosted_by != 1.0 {
            text = format!("{text}, odds × {}", self.boosted_by);
        }
        if self.propensity < 1.0 {
            text = format!("{text}, probability {:.4}", self.propensity);
        }
        text
    }
}
