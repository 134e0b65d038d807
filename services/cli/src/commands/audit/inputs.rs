//! What a decision was made from, as commands print it: for an auditor, and for the customer whose data it is.

use finrank_contracts::{
    common::v1::ProductClass,
    ranking::v1::{DecisionInputs, ProductFilters},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::{features::json, recommend::class_name};

/// The inputs of one decision.
#[derive(Serialize)]
pub(crate) struct Inputs {
    pub(crate) user_id: String,
    facts: Map<String, Value>,
    held: Vec<String>,
    excluded: Vec<String>,
    filters: Option<Filters>,
    embedding: Vec<f32>,
}

/// What the request wanted to see alone.
#[derive(Serialize)]
struct Filters {
    product_classes: Vec<String>,
    issuers: Vec<String>,
    product_ids: Vec<String>,
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
        }
    }

    pub(super) fn to_text(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("\n  {name} = {value}"));
        let filters = match &self.filters {
            Some(filters) => format!(" · only {}", filters.to_text()),
            None => String::new(),
        };
        format!(
            "customer {} · holds {} products · excluded {}{filters}{}",
            self.user_id,
            self.held.len(),
            self.excluded.len(),
            facts.collect::<String>(),
        )
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
