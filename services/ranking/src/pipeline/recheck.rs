//! The last look: every item is judged once more just before it leaves, product by product and rule by rule, and not by
//! the bitmaps that let it in. Nothing leaves without its proof, and only who passes here gets one.

use finrank_policy::{Outcome, Proof};
use tracing::{debug_span, error};

use super::{
    Ask,
    candidate::{Placing, ScoredCandidate, SelectedCandidate},
};
use crate::catalogue::Catalogue;

/// A product that is offered, and what it is offered on. Only the last look makes one, and nobody changes it afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedItem {
    candidate: ScoredCandidate,
    placing: Placing,
    proof: Proof,
}

impl OfferedItem {
    /// The product and its scores.
    pub fn candidate(&self) -> ScoredCandidate {
        self.candidate
    }

    /// How it came to its place.
    pub fn placing(&self) -> &Placing {
        &self.placing
    }

    /// That it may be offered.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// Proves each item, and blocks the one that the plain reading does not let pass. That must not happen: the two readings
/// differ then, which is counted and logged as an error.
pub(super) fn recheck(catalogue: &Catalogue, ask: &Ask, items: Vec<SelectedCandidate>) -> Vec<OfferedItem> {
    let _stage = debug_span!("recheck", items = items.len()).entered();
    let customer = &ask.customer;
    let holdings = customer.holdings(catalogue);
    let (user_id, decision_id) = (customer.user_id.as_str(), ask.decision_id.to_string());
    let prove = |selected: SelectedCandidate| {
        let candidate = selected.candidate();
        let case = customer.case(catalogue, &holdings, candidate.row);
        let verdict = case.policy.judge(&case);
        let asked_for = ask.terms.scenario.classes().contains(&case.product.product_class)
            && !ask.terms.excluded.contains(case.product.product_id)
            && ask.terms.filters.pass(catalogue.product(candidate.row));
        if verdict.outcome == Outcome::Eligible && asked_for {
            let proof = Proof::of(&case, &verdict, user_id, &decision_id);
            return Some(OfferedItem { candidate, placing: selected.placing().clone(), proof });
        }
        metrics::counter!("finrank_eligibility_disagreements_total").increment(1);
        let against: Vec<&str> =
            verdict.against().map(|finding| case.policy.rules()[finding.rule].code.as_str()).collect();
        error!(
            decision_id,
            product_id = %case.product.product_id,
            policy = %case.policy.digest(),
            ?against,
            asked_for,
            "an item was blocked: the compiled policy let it pass, and the plain reading does not"
        );
        None
    };
    items.into_iter().filter_map(prove).collect()
}
