//! `finrank audit check`: whether a proof holds. Asks nobody.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;
use finrank_contracts::ranking::v1::{DecisionRecord, InclusionProof};
use finrank_decisions::{checkpoint::PublicKey, proof};
use prost::Message;
use serde::Serialize;

use crate::{commands::features::moment, output::Format};

/// Check a proof of a decision by the log's public key, which you have from somebody you trust.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank audit check proof.bin --public-key 0f3a…")]
pub(super) struct Check {
    /// The proof.
    proof: PathBuf,
    /// The log's public key, 64 hexadecimal digits; may be repeated.
    #[arg(long, value_name = "KEY", required = true, value_parser = |raw: &str| PublicKey::parse(raw))]
    public_key: Vec<PublicKey>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    decision_id: String,
    decided_at: String,
    model_version: String,
    policy_version: String,
    offered: Vec<String>,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let bytes = fs::read(&self.proof).with_context(|| format!("cannot read {}", self.proof.display()))?;
        let proof = InclusionProof::decode(bytes.as_slice())
            .with_context(|| format!("{} is no proof", self.proof.display()))?;
        let record: DecisionRecord = proof::check(&proof, &self.public_key)?;
        let offered = record.items.into_iter().filter_map(|item| Some(item.candidate?.product_id));
        let report = Report {
            decided_at: record.decided_at.as_ref().map(moment).unwrap_or_default(),
            decision_id: record.decision_id,
            model_version: record.model_version,
            policy_version: record.policy_version,
            offered: offered.collect(),
        };
        self.format.print(&report, |report| {
            format!(
                "the proof holds: decision {} of {} by model {} and policy {} offered {}",
                report.decision_id,
                report.decided_at,
                report.model_version,
                report.policy_version,
                report.offered.join(", ")
            )
        })
    }
}
