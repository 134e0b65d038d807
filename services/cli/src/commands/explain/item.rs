//! What is explained of a product, as printed.

use anyhow::Context;
use finrank_contracts::ranking::v1::{
    Attributions, ExplainItemResponse, InputContribution, ItemPlace, ItemScore,
};
use serde::Serialize;

use crate::{
    commands::{
        features::moment,
        policy::Against,
        recommend::{Why, basis_name, class_name, degradation_name, notice},
    },
    output::{spoken, table},
};

/// The explanation of one product for one customer.
#[derive(Serialize)]
pub(super) struct ItemReport {
    user_id: String,
    #[serde(flatten)]
    place: Place,
    eligible_count: u32,
    candidate_count: u32,
    ranking_basis: String,
    /// By what else than the customer's embedding, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    degradation: Option<String>,
    model_version: String,
    policy_version: String,
    policy_sha256: String,
    explained_at: String,
    /// Why there are no reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    unexplained: Option<Why>,
    reasons: Vec<Why>,
    adverse_reasons: Vec<Why>,
    /// Only for an audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    attributions: Option<Audited>,
}

/// Where the product stands.
#[derive(Serialize)]
struct Place {
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
struct Score {
    score: f64,
    logit: f64,
    retrieval_score: f64,
    score_place: u32,
    retrieval_place: u32,
}

/// What every input gave.
#[derive(Serialize)]
struct Audited {
    inputs: Vec<Contribution>,
    withheld_contribution: f64,
    withheld_count: u32,
    contributions_sum: f64,
    logit: f64,
    baseline_logit: f64,
    served_logit: f64,
}

#[derive(Serialize)]
struct Contribution {
    input: String,
    contribution: f64,
    reason_code: String,
    protected: bool,
}

impl ItemReport {
    pub(super) fn of(explained: ExplainItemResponse) -> anyhow::Result<Self> {
        let ranking_basis = basis_name(explained.ranking_basis());
        let policy = explained.policy.unwrap_or_default();
        Ok(Self {
            user_id: explained.user_id,
            place: Place::of(explained.item.context("the server did not say where the product stands")?),
            eligible_count: explained.eligible_count,
            candidate_count: explained.candidate_count,
            ranking_basis,
            degradation: explained.degradation.as_ref().map(degradation_name),
            model_version: explained.versions.unwrap_or_default().model_version,
            policy_version: policy.version,
            policy_sha256: policy.sha256,
            explained_at: explained.explained_at.as_ref().map(moment).unwrap_or_default(),
            unexplained: notice(explained.explanation),
            reasons: explained.reasons.into_iter().map(Why::from).collect(),
            adverse_reasons: explained.adverse_reasons.into_iter().map(Why::from).collect(),
            attributions: explained.attributions.map(Audited::of),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = vec![format!("{} · {}", self.user_id, self.place.to_text())];
        if let Some(score) = &self.place.score {
            lines.push(score.to_text(self.candidate_count));
        }
        lines.extend(self.place.against());
        lines.extend(self.unexplained.iter().map(|notice| format!("not explained: {}", notice.text_en)));
        for (side, reasons) in
            [("speaks for it", &self.reasons), ("speaks against it", &self.adverse_reasons)]
        {
            if !reasons.is_empty() {
                lines.push(format!("{side}:"));
                lines.extend(reasons.iter().map(|reason| format!("  {reason}")));
            }
        }
        lines.extend(self.attributions.as_ref().map(Audited::to_text));
        lines.push(format!(
            "{} eligible · ranked by {}{} · model {} · policy {} · at {}",
            self.eligible_count,
            self.ranking_basis,
            self.degradation.as_ref().map(|told| format!(", {told}")).unwrap_or_default(),
            self.model_version,
            self.policy_version,
            self.explained_at
        ));
        lines.join("\n")
    }
}

impl Place {
    fn of(place: ItemPlace) -> Self {
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

    fn to_text(&self) -> String {
        let rank = if self.rank > 0 { format!(", place {}", self.rank) } else { String::new() };
        format!("{} ({}, {}): {}{rank}", self.name, self.product_id, self.product_class, self.standing)
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
    fn of(score: ItemScore) -> Self {
        let ItemScore { score, logit, retrieval_score, score_place, retrieval_place } = score;
        Self { score, logit, retrieval_score, score_place, retrieval_place }
    }

    fn to_text(&self, candidates: u32) -> String {
        let score = format!(
            "score {:.1} % (logit {:.4}) · retrieval {:.4}",
            100.0 * self.score,
            self.logit,
            self.retrieval_score
        );
        match self.score_place {
            0 => format!("{score} · not among the {candidates} candidates"),
            place => format!(
                "{score} · place {place} by score and {} by retrieval of {candidates} candidates",
                self.retrieval_place
            ),
        }
    }
}

impl Audited {
    fn of(all: Attributions) -> Self {
        Self {
            inputs: all.inputs.into_iter().map(Contribution::of).collect(),
            withheld_contribution: all.withheld_contribution,
            withheld_count: all.withheld_count,
            contributions_sum: all.contributions_sum,
            logit: all.logit,
            baseline_logit: all.baseline_logit,
            served_logit: all.served_logit,
        }
    }

    fn to_text(&self) -> String {
        let rows = self.inputs.iter().map(|input| {
            let protected = if input.protected { "protected" } else { "" };
            [
                input.input.clone(),
                input.reason_code.clone(),
                protected.to_owned(),
                format!("{:+.4}", input.contribution),
            ]
        });
        format!(
            "{}\n{} withheld inputs gave {:+.4}; all together {:+.4}, from {:.4} (the mean customer's logit) to {:.4} \
             ({:.4} was served)",
            table(["input", "reason", "", "gave"], 3, rows),
            self.withheld_count,
            self.withheld_contribution,
            self.contributions_sum,
            self.baseline_logit,
            self.logit,
            self.served_logit
        )
    }
}

impl Contribution {
    fn of(input: InputContribution) -> Self {
        let InputContribution { input, contribution, reason_code, protected } = input;
        Self { input, contribution, reason_code, protected }
    }
}
