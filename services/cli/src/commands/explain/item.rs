//! What is explained of a product, as printed.

use anyhow::Context;
use finrank_contracts::ranking::v1::{Attributions, ExplainItemResponse, InputContribution};
use serde::Serialize;

use super::place::Place;
use crate::{
    commands::{
        features::moment,
        recommend::{Why, basis_name, degradation_name, notice},
    },
    output::table,
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
        lines.extend(self.place.lines(self.candidate_count));
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
