//! `finrank customer`: what is held on a person, and its erasure.

use std::io::{ErrorKind, Write, stdout};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use finrank_contracts::{
    common::v1::{AttributeValue, attribute_value::Kind},
    feature::v1::{
        EraseCustomerRequest, EraseCustomerResponse, ExportCustomerRequest, ShadowScore,
        export_customer_response::Item, feature_store_service_client::FeatureStoreServiceClient,
    },
    ranking::v1::{DecisionInputs, DecisionRecord},
};
use finrank_model::UserId;
use finrank_serving::Pseudonyms;
use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    audit, block_on,
    features::{self, moment},
};
use crate::{
    client,
    output::{Format, spoken, table},
    settings::Settings,
};

/// Export all that is held on a customer, erase it everywhere, or find them in the logs.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank customer export caravan-0003 > caravan-0003.jsonl\n  finrank customer erase caravan-0003 --yes\n  grep \"$(finrank customer pseudonym caravan-0003)\" ranking.log"
)]
pub(crate) struct Customer {
    #[command(subcommand)]
    command: Command,
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL", global = true)]
    feature_store: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Print every statement, event, embedding, kept sample of what was served, what decisions were made from and what
    /// came of them, and what refreshes found not to be as expected, one JSON object a line.
    #[command(after_help = "Example:\n  finrank customer export caravan-0003 > caravan-0003.jsonl")]
    Export {
        /// Whose.
        user_id: String,
    },
    /// Print how logs name a customer: a hash with the key that `feature_store.server.pseudonym_key` names.
    #[command(after_help = "Example:\n  grep \"$(finrank customer pseudonym caravan-0003)\" ranking.log")]
    Pseudonym {
        /// Whose.
        user_id: String,
    },
    /// Erase every statement, event, embedding, sample, what decisions were made from and what came of them for good, and print the receipt.
    #[command(after_help = "Example:\n  finrank customer erase caravan-0003 --yes")]
    Erase {
        /// Whose.
        user_id: String,
        /// Say that you mean it: there is no way back.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
}

impl Customer {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.unwrap_or_else(|| settings.feature_store_url());
        match self.command {
            Command::Export { user_id } => block_on(export(&url, user_id)),
            Command::Pseudonym { user_id } => {
                let key = settings.feature_store.server.pseudonym_key.as_deref();
                let key = key.context(
                    "feature_store.server.pseudonym_key is not set: each server names customers by a key of its own",
                )?;
                println!("{}", Pseudonyms::of_servers(key)?.of(&UserId::parse(user_id)?));
                Ok(())
            }
            Command::Erase { user_id, yes: false, .. } => {
                bail!("this erases {user_id} for good; say --yes if you mean it")
            }
            Command::Erase { user_id, format, .. } => {
                let receipt = block_on(erase(&url, user_id))?;
                format.print(&receipt, Receipt::to_text)
            }
        }
    }
}

async fn connect(url: &str) -> anyhow::Result<FeatureStoreServiceClient<Channel>> {
    Ok(FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?))
}

async fn export(url: &str, user_id: String) -> anyhow::Result<()> {
    let answers = connect(url).await?.export_customer(ExportCustomerRequest { user_id }).await;
    let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
    let mut out = stdout().lock();
    while let Some(answer) = answers.message().await.map_err(|status| client::refusal(&status))? {
        if let Some(item) = answer.item {
            match writeln!(out, "{}", line(&item)?) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
    }
    Ok(())
}

/// An item as one JSON object.
fn line(item: &Item) -> anyhow::Result<serde_json::Value> {
    Ok(match item {
        Item::Customer(statement) => {
            let customer = statement.customer.clone().unwrap_or_default();
            let attributes = customer.attributes.iter().map(|(name, value)| (name.clone(), plain(value)));
            json!({
                "statement": "customer",
                "user_id": customer.user_id,
                "attributes": attributes.collect::<serde_json::Map<_, _>>(),
                "event_time": customer.event_time.as_ref().map(moment),
                "revision": customer.revision,
                "retracted": customer.retracted,
                "known_at": statement.known_at.as_ref().map(moment),
                "stated": (statement.pushed > 0).then_some(&statement.stated),
            })
        }
        Item::Event(statement) => {
            let event = statement.event.clone().unwrap_or_default();
            let kind = spoken(event.kind().as_str_name(), "EVENT_KIND_");
            let amount = event.amount.map(
                |money| json!({ "minor_units": money.minor_units, "currency_code": money.currency_code }),
            );
            json!({
                "statement": "event",
                "user_id": event.user_id,
                "event_id": event.event_id,
                "product_id": event.product_id,
                "kind": kind,
                "event_time": event.event_time.as_ref().map(moment),
                "quantity": event.quantity,
                "amount": amount,
                "revision": event.revision,
                "retracted": event.retracted,
                "known_at": statement.known_at.as_ref().map(moment),
            })
        }
        Item::Embedding(held) => {
            let embedding = held.embedding.clone().unwrap_or_default();
            json!({
                "statement": "embedding",
                "generation": held.run_id,
                "model_version": embedding.model_version,
                "values": embedding.values,
                "computed_at": embedding.computed_at.as_ref().map(moment),
            })
        }
        Item::Decision(made) => {
            let inputs = DecisionInputs::decode(made.inputs.as_slice()).with_context(|| {
                format!("what decision {} was made from cannot be read", made.decision_id)
            })?;
            let record = DecisionRecord::decode(made.record.as_slice())
                .with_context(|| format!("the record of decision {} cannot be read", made.decision_id))?;
            json!({
                "statement": "decision",
                "decision_id": made.decision_id,
                "decided_at": record.decided_at.as_ref().map(moment),
                "model_version": record.model_version,
                "policy_version": record.policy_version,
                "offered": offered(&record),
                "inputs": audit::Inputs::of(inputs),
            })
        }
        Item::Outcome(outcome) => json!({
            "statement": "outcome",
            "decision_id": outcome.decision_id,
            "outcome_id": outcome.outcome_id,
            "product_id": outcome.product_id,
            "kind": outcome.kind,
            "occurred_at": outcome.occurred_at.as_ref().map(moment),
            "known_at": outcome.recorded_at.as_ref().map(moment),
        }),
        Item::Outlier(outlier) => json!({
            "statement": "outlier",
            "feature": outlier.feature,
            "generation": outlier.run_id,
            "value": outlier.value,
        }),
        Item::Shadow(shadow) => {
            let scores = |scores: &[ShadowScore]| -> Vec<Value> {
                let score =
                    |score: &ShadowScore| json!({ "product_id": score.product_id, "score": score.score });
                scores.iter().map(score).collect()
            };
            json!({
                "statement": "shadow",
                "decision_id": shadow.decision_id,
                "model_version": shadow.model_version,
                "items": scores(&shadow.items),
                "shown": scores(&shadow.shown),
                "decided_at": shadow.decided_at.as_ref().map(moment),
            })
        }
        Item::Served(served) => {
            let row = served.row.clone().unwrap_or_default();
            let values = served.features.iter().cloned().zip(row.values.iter().map(features::json));
            json!({
                "statement": "served",
                "user_id": row.entity_id,
                "purpose": served.purpose,
                "values": values.collect::<serde_json::Map<_, _>>(),
                "known_at": served.known_at.as_ref().map(moment),
                "definitions_sha256": served.definitions_sha256,
            })
        }
    })
}

/// What was offered, best first.
fn offered(record: &DecisionRecord) -> Vec<serde_json::Value> {
    let offered = record.items.iter().filter_map(|item| item.candidate.as_ref());
    offered.map(|item| json!({ "product_id": item.product_id, "score": item.score })).collect()
}

fn plain(value: &AttributeValue) -> serde_json::Value {
    match &value.kind {
        None => serde_json::Value::Null,
        Some(Kind::Number(number)) => (*number).into(),
        Some(Kind::Text(text)) => text.as_str().into(),
        Some(Kind::Flag(flag)) => (*flag).into(),
    }
}

async fn erase(url: &str, user_id: String) -> anyhow::Result<Receipt> {
    let erased = connect(url).await?.erase_customer(EraseCustomerRequest { user_id }).await;
    Ok(erased.map_err(|status| client::refusal(&status))?.into_inner().into())
}

/// The receipt, as printed.
#[derive(Serialize)]
struct Receipt {
    erasure_id: String,
    erased_at: String,
    removed: Vec<Removed>,
}

#[derive(Serialize)]
struct Removed {
    table: String,
    rows: u64,
}

impl From<EraseCustomerResponse> for Receipt {
    fn from(receipt: EraseCustomerResponse) -> Self {
        let removed = receipt.removed.into_iter();
        Self {
            erasure_id: receipt.erasure_id,
            erased_at: receipt.erased_at.as_ref().map(moment).unwrap_or_default(),
            removed: removed.map(|removed| Removed { table: removed.table, rows: removed.rows }).collect(),
        }
    }
}

impl Receipt {
    fn to_text(&self) -> String {
        let rows = self.removed.iter().map(|removed| [removed.table.clone(), removed.rows.to_string()]);
        format!("erasure {} at {}\n{}", self.erasure_id, self.erased_at, table(["table", "rows"], 1, rows))
    }
}
