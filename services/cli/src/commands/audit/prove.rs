//! `finrank audit prove`: the proof of one decision, as a file for somebody else.

use std::path::PathBuf;

use clap::Args;
use finrank_contracts::ranking::v1::ProveDecisionRequest;
use prost::Message;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::block_on,
    output::Format,
    settings::Settings,
    whole_file,
};

/// Write the proof that a decision stands in the log. Who gets it needs only the log's public key, and
/// `finrank audit check`. It holds nothing that names the customer.
#[derive(Args)]
#[command(
    after_help = "Example:\n  finrank audit prove 0198f3c2-7d1e-7c11-9a53-0242ac120002 --out proof.bin"
)]
pub(super) struct Prove {
    /// The decision's id, as the answer told it.
    decision_id: String,
    /// Where the proof goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    sequence: i64,
    checkpoint: i64,
    public_key: String,
    out: PathBuf,
}

impl Prove {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let request = ProveDecisionRequest { decision_id: self.decision_id };
        let proof = block_on(async {
            let proof = self.server.connect(settings).await?.prove_decision(request).await;
            Ok(proof.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        whole_file::write(&self.out, &proof.encode_to_vec())?;
        let checkpoint = proof.checkpoint.unwrap_or_default();
        let report = Report {
            sequence: proof.sequence,
            checkpoint: checkpoint.sequence,
            public_key: hex::encode(&checkpoint.public_key),
            out: self.out,
        };
        self.format.print(&report, |report| {
            format!(
                "number {} of the log, signed up to number {} by {}; the proof is in {}",
                report.sequence,
                report.checkpoint,
                report.public_key,
                report.out.display()
            )
        })
    }
}
