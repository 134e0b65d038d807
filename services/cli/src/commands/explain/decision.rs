//! What is explained of a decision, as printed.

use finrank_contracts::ranking::v1::{DecidedPlace, ExplainDecisionResponse, ExplainedItem, PlaceSource};
use serde::Serialize;

use super::place::{Place, Score};
use crate::{
    commands::{
        features::moment,
        recommend::{Why, basis_name, degradation_name, notice},
    },
    output::{spoken, table},
};

/// The explanation of a decision from the log.
#[derive(Serialize)]
pub(super) struct DecisionReport {
    decision_id: String,
    sequence: i64,
    decided_at: String,
    model_version: String,
    policy_version: String,
    policy_sha256: String,
    ranking_basis: String,
    /// By what else than the customer's embedding, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    degradation: Option<String>,
    eligible_count: u32,
    human_review_count: u32,
    candidate_count: u32,
    items: Vec<Item>,
    /// "explained", or why not; "not asked for" or "erased" where nothing is recorded of it.
    explanation: String,
    /// What was told where there were no reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    unexplained: Option<Why>,
    inputs_erased: bool,
    /// Only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<Decided>,
}

#[derive(Serialize)]
struct Item {
    rank: u32,
    product_id: String,
    /// Absent where the model had no say.
    score: Option<Score>,
    reasons: Vec<Why>,
}

/// The product that was asked about.
#[derive(Serialize)]
struct Decided {
    product_id: String,
    /// "record", "made again" or "unknown".
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    /// Why nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

impl DecisionReport {
    pub(super) fn of(explained: ExplainDecisionResponse) -> Self {
        let ranking_basis = basis_name(explained.ranking_basis());
        let policy = explained.policy.unwrap_or_default();
        let explanation = match &explained.explanation {
            Some(report) => spoken(report.status().as_str_name(), "EXPLANATION_STATUS_"),
            None if explained.inputs_erased => "erased".to_owned(),
            None => "not asked for".to_owned(),
        };
        Self {
            decision_id: explained.decision_id,
            sequence: explained.sequence,
            decided_at: explained.decided_at.as_ref().map(moment).unwrap_or_default(),
            model_version: explained.versions.unwrap_or_default().model_version,
            policy_version: policy.version,
            policy_sha256: policy.sha256,
            ranking_basis,
            degradation: explained.degradation.as_ref().map(degradation_name),
            eligible_count: explained.eligible_count,
            human_review_count: explained.human_review_count,
            candidate_count: explained.candidate_count,
            items: explained.items.into_iter().map(Item::of).collect(),
            explanation,
            unexplained: notice(explained.explanation),
            inputs_erased: explained.inputs_erased,
            product: explained.product.map(Decided::of),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = vec![format!(
            "decision {} · {} · number {} of the log",
            self.decision_id, self.decided_at, self.sequence
        )];
        match &self.product {
            Some(product) => lines.extend(product.lines(self.candidate_count)),
            None => lines.push(table(["#", "product_id", "score", "reasons"], 4, self.rows()).to_string()),
        }
        if self.inputs_erased {
            lines.push("reasons, and what rules were held against, were erased with the customer".to_owned());
        } else {
            lines.push(format!("reasons: {}", self.explanation));
        }
        lines.extend(self.unexplained.iter().map(|notice| format!("told instead: {}", notice.text_en)));
        let degradation = self.degradation.as_ref().map(|told| format!(", {told}")).unwrap_or_default();
        lines.push(format!(
            "{} eligible · {} for human review · {} scored · ranked by {}{degradation} · model {} · policy {}",
            self.eligible_count,
            self.human_review_count,
            self.candidate_count,
            self.ranking_basis,
            self.model_version,
            self.policy_version
        ));
        lines.join("\n")
    }

    fn rows(&self) -> impl Iterator<Item = [String; 4]> + '_ {
        self.items.iter().map(|item| {
            let reasons: Vec<String> = item.reasons.iter().map(Why::to_string).collect();
            let score = item.score.as_ref().map(Score::percent).unwrap_or_default();
            [item.rank.to_string(), item.product_id.clone(), score, reasons.join("\n")]
        })
    }
}

impl Item {
    fn of(item: ExplainedItem) -> Self {
        Self {
            rank: item.rank,
            product_id: item.product_id,
            score: item.score.map(Score::of),
            reasons: item.reasons.into_iter().map(Why::from).collect(),
        }
    }
}

impl Decided {
    fn of(decided: DecidedPlace) -> Self {
        Self {
            source: spoken(decided.source().as_str_name(), "PLACE_SOURCE_"),
            unknown: (decided.source() == PlaceSource::Unknown).then_some(decided.unknown),
            product_id: decided.product_id,
            place: decided.place.map(Place::of),
        }
    }

    fn lines(&self, candidates: u32) -> Vec<String> {
        let unknown =
            self.unknown.iter().map(|why| format!("{}: nobody knows any more: {why}", self.product_id));
        let place = self.place.iter().flat_map(|place| {
            let stands = format!("{} ({})", place.to_text(), self.source);
            [vec![stands], place.lines(candidates)].concat()
        });
        unknown.chain(place).collect()
    }
}
