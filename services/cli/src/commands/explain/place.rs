//! Where a product stands, as printed.

use finrank_contracts::ranking::v1::{ItemPlace, ItemScore};
use serde::Serialize;

use crate::{
    commands::{policy::Against, recommend::class_name},
    output::{spoken, table},
};

/// Where the product stands.
#[derive(Serialize)]
pub(super) struct Place {
    product_id: String,
    name: String,
    product_class: String,
    /// "offered", or why it is not.
    standing: String,
    /// Among what is offered; 0 if it is not.
    rank: u32,
    rules_against: Vec<Against>,
    left_out_by: Vec<String>,
    /// Absent where the model has no say.
    score: Option<Score>,
}

#[derive(Serialize)]
pub(super) struct Score {
    score: f64,
    logit: f64,
    retrieval_score: f64,
    score_place: u32,
    retrieval_place: u32,
}

impl Place {
    pub(super) fn of(place: ItemPlace) -> Self {
        let standing = spoken(place.standing().as_str_name(), "ITEM_STANDING_");
        let eligibility = place.eligibility.unwrap_or_default();
        Self {
            product_class: class_name(eligibility.product_class()),
            product_id: eligibility.product_id,
            name: eligibility.name,
            standing,
            rank: place.rank,
            rules_against: eligibility.against.into_iter().map(Against::from).collect(),
            left_out_by: place.left_out_by,
            score: place.score.map(Score::of),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let rank = if self.rank > 0 { format!(", place {}", self.rank) } else { String::new() };
        let called = match self.name.as_str() {
            "" => self.product_id.clone(),
            name => format!("{name} ({}, {})", self.product_id, self.product_class),
        };
        format!("{called}: {}{rank}", self.standing)
    }

    /// Its scores, and what stands against it.
    pub(super) fn lines(&self, candidates: u32) -> Vec<String> {
        let score = self.score.as_ref().map(|score| score.to_text(candidates));
        score.into_iter().chain(self.against()).collect()
    }

    /// What stands against it, as a table.
    fn against(&self) -> Option<String> {
        if self.rules_against.is_empty() && self.left_out_by.is_empty() {
            return None;
        }
        let left_out = self.left_out_by.iter().map(|rule| {
            [rule.clone(), "excluded".to_owned(), "whoever the customer is".to_owned(), String::new()]
        });
        let rules = self.rules_against.iter().map(Against::row);
        let rows: Vec<[String; 4]> = left_out.chain(rules).collect();
        Some(table(["rule", "verdict", "from what", "regulation"], 4, rows).to_string())
    }
}

impl Score {
    pub(super) fn of(score: ItemScore) -> Self {
        let ItemScore { score, logit, retrieval_score, score_place, retrieval_place } = score;
        Self { score, logit, retrieval_score, score_place, retrieval_place }
    }

    pub(super) fn percent(&self) -> String {
        format!("{:.1} %", 100.0 * self.score)
    }

    fn to_text(&self, candidates: u32) -> String {
        let score = format!(
            "score {} (logit {:.4}) · retrieval {:.4}",
            self.percent(),
            self.logit,
            self.retrieval_score
        );
        match self.score_place {
            0 => format!("{score} · not among the {candidates} candidates"),
            place => {
                let by_retrieval = match self.retrieval_place {
                    0 => String::new(),
                    place => format!(" and {place} by retrieval"),
                };
                format!("{score} · place {place} by score{by_retrieval} of {candidates} candidates")
            }
        }
    }
}
