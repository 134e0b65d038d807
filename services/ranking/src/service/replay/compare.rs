//! A record and what was made again, compared stage by stage.

use std::collections::HashMap;

use finrank_contracts::ranking::v1::{DecisionRecord, Divergence, RecordedCandidate, RecordedItem};

/// The first difference; `None` if the records are the same bit for bit. `again` names every candidate, of which the record
/// holds the best.
pub(super) fn divergence(kept: &DecisionRecord, again: &DecisionRecord) -> Option<Divergence> {
    eligibility(kept, again)
        .or_else(|| candidates(kept, again))
        .or_else(|| items(kept, again))
        .or_else(|| rest(kept, again))
}

fn eligibility(kept: &DecisionRecord, again: &DecisionRecord) -> Option<Divergence> {
    let counts = [
        ("products are eligible", kept.eligible_count, again.eligible_count),
        ("products need a person", kept.human_review_count, again.human_review_count),
    ];
    let (what, then, now) = counts.into_iter().find(|(_, then, now)| then != now)?;
    let delta = f64::from(now) - f64::from(then);
    Some(differs("ELIGIBILITY", "", delta, format!("{now} {what}, not {then}")))
}

fn candidates(kept: &DecisionRecord, again: &DecisionRecord) -> Option<Divergence> {
    let by_id: HashMap<&str, &RecordedCandidate> =
        again.candidates.iter().map(|candidate| (candidate.product_id.as_str(), candidate)).collect();
    for then in &kept.candidates {
        let id = then.product_id.as_str();
        let Some(now) = by_id.get(id) else {
            return Some(differs("RETRIEVAL", id, 0.0, "it is not found".to_owned()));
        };
        let figures = [
            ("RETRIEVAL", "its inner product", then.retrieval_score, now.retrieval_score),
            ("SCORING", "its logit", then.logit, now.logit),
            ("SCORING", "its score", then.score, now.score),
        ];
        let other = figures.into_iter().find(|(_, _, then, now)| then.to_bits() != now.to_bits());
        if let Some((stage, what, then, now)) = other {
            let delta = f64::from(now) - f64::from(then);
            return Some(differs(stage, id, delta, format!("{what} is {now}, not {then}")));
        }
    }
    if kept.candidate_count != again.candidate_count {
        let (then, now) = (kept.candidate_count, again.candidate_count);
        let delta = f64::from(now) - f64::from(then);
        return Some(differs("RETRIEVAL", "", delta, format!("{now} candidates are found, not {then}")));
    }
    (kept.candidates_sha256 != again.candidates_sha256).then(|| {
        let message = "a candidate that the record does not name, or their order, differs";
        differs("RETRIEVAL", "", 0.0, message.to_owned())
    })
}

fn items(kept: &DecisionRecord, again: &DecisionRecord) -> Option<Divergence> {
    let id = |item: &RecordedItem| {
        item.candidate.as_ref().map(|candidate| candidate.product_id.clone()).unwrap_or_default()
    };
    for (place, then) in kept.items.iter().enumerate() {
        let product_id = id(then);
        let now = again.items.get(place);
        if now.map(id).as_ref() != Some(&product_id) {
            let now = now.map_or_else(|| "nothing".to_owned(), id);
            let message = format!("in place {} stands {now}", place + 1);
            return Some(differs("SELECTION", &product_id, 0.0, message));
        }
        if now.map(placing) != Some(placing(then)) {
            let message = "it came to its place otherwise".to_owned();
            return Some(differs("SELECTION", &product_id, 0.0, message));
        }
        if now.map(|now| &now.proof_sha256) != Some(&then.proof_sha256) {
            return Some(differs("RECHECK", &product_id, 0.0, "its proof has another digest".to_owned()));
        }
    }
    let more = again.items.get(kept.items.len())?;
    Some(differs("SELECTION", &id(more), 0.0, "it is offered too".to_owned()))
}

/// How an item came to its place, by the bits.
fn placing(item: &RecordedItem) -> (i32, &str, u64, u64) {
    (item.placement, &item.placed_by, item.boosted_by.to_bits(), item.propensity.to_bits())
}

fn rest(kept: &DecisionRecord, again: &DecisionRecord) -> Option<Divergence> {
    if kept.inputs_sha256 != again.inputs_sha256 {
        let message = "the inputs are not those that the record commits to".to_owned();
        return Some(differs("INPUTS", "", 0.0, message));
    }
    let mut again = again.clone();
    again.candidates.truncate(kept.candidates.len());
    // By their bits: a logit may be no number that equals itself.
    let same = prost::Message::encode_to_vec(kept) == prost::Message::encode_to_vec(&again);
    (!same).then(|| differs("RECORD", "", 0.0, "something else of the record differs".to_owned()))
}

fn differs(stage: &str, product_id: &str, delta: f64, message: String) -> Divergence {
    Divergence { stage: stage.to_owned(), product_id: product_id.to_owned(), delta, message }
}
