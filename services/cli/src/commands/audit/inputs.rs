//! What a decision was made from, as commands print it: for an auditor, and for the customer whose data it is.

use finrank_contracts::{
    common::v1::ProductClass,
    ranking::v1::{DecisionInputs, ProductFilters, RecordedReasons},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    commands::{features::json, recommend::class_name},
    output::spoken,
};

/// The inputs of one decision.
#[derive(Serialize)]
pub(crate) struct Inputs {
    pub(crate) user_id: String,
    facts: Map<String, Value>,
    held: Vec<String>,
    excluded: Vec<String>,
    filters: Option<Filters>,
    embedding: Vec<f32>,
    /// Why there were reasons or none, if they were asked for: "explained", or what else.
    explanation: Option<String>,
    /// The reasons that were told, by product.
    reasons: Vec<Reasons>,
}

/// What the request wanted to see alone.
#[derive(Serialize)]
struct Filters {
    product_classes: Vec<String>,
    issuers: Vec<String>,
    product_ids: Vec<String>,
}

/// What was told to speak for one product.
#[derive(Serialize)]
struct Reasons {
    product_id: String,
    /// Codes with what each gave to the logit, strongest first.
    reasons: Vec<(String, f64)>,
}

impl Inputs {
    pub(crate) fn of(inputs: DecisionInputs) -> Self {
        let facts = inputs.features.into_iter().zip(inputs.values.iter().map(json));
        Self {
            user_id: inputs.user_id,
            facts: facts.collect(),
            held: inputs.held_product_ids,
            excluded: inputs.excluded_product_ids,
            filters: inputs.filters.map(Filters::of),
            embedding: inputs.embedding,
            explanation: inputs
                .explanation
                .map(|report| spoken(report.status().as_str_name(), "EXPLANATION_STATUS_")),
            reasons: inputs.reasons.into_iter().map(Reasons::of).collect(),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("\n  {name} = {value}"));
        let reasons = self.reasons.iter().map(Reasons::to_text);
        let filters = match &self.filters {
            Some(filters) => format!(" · only {}", filters.to_text()),
            None => String::new(),
        };
        format!(
            "customer {} · holds {} products · excluded {}{filters}{}{}",
            self.user_id,
            self.held.len(),
            self.excluded.len(),
            facts.collect::<String>(),
            reasons.collect::<String>(),
        )
    }
}

impl Reasons {
    fn of(recorded: RecordedReasons) -> Self {
        let reasons = recorded.reasons.into_iter().map(|reason| (reason.code, reason.contribution));
        Self { product_id: recorded.product_id, reasons: reasons.collect() }
    }

    fn to_text(&self) -> String {
        let reasons = self.reasons.iter().map(|(code, contribution)| format!("{code} {contribution:+.2}"));
        format!("\n  for {}: {}", self.product_id, reasons.collect::<Vec<_>>().join(", "))
    }
}

impl Filters {
    fn of(filters: ProductFilters) -> Self {
        let classes = filters.product_classes().map(|class: ProductClass| class_name(class));
        Self {
            product_classes: classes.collect(),
            issuers: filters.issuers.clone(),
            product_ids: filters.product_ids,
        }
    }

    fn to_text(&self) -> String {
        let wanted = [&self.product_classes, &self.issuers, &self.product_ids];
        wanted.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
    }
}
