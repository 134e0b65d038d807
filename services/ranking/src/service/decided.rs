//! ExplainDecision: why a decision came out as it did, from what was kept of it. What the record holds is told as it stands
//! there. Of a product that it does not mention the decision is made again from what was kept, and is believed only if every bit
//! of it comes out as recorded; else nobody knows, and the answer says why.

use finrank_contracts::ranking::v1::{
    self, DecidedPlace, DecisionInputs, DecisionRecord, EligibilityVerdict, ItemPlace, ItemStanding,
    PlaceSource, RecordedCandidate, RecordedReason, ReplayOutcome,
};
use finrank_decisions::read::{self, KeptDecision};
use finrank_model::{
    ProductId, Sha256Digest,
    reasons::{ReasonTable, Side},
};

use super::{
    RankingService,
    replay::{Again, Replayer},
    request::ExplainDecision,
    response::count,
    row_of,
    standing::Standing,
    why::table_version,
};
use crate::Result;

impl RankingService {
    pub(super) async fn explain_decided(
        &self,
        request: ExplainDecision,
    ) -> Result<v1::ExplainDecisionResponse> {
        let kept = read::decision(&self.log()?.store, request.decision_id).await?;
        let product = match &request.product_id {
            Some(product_id) => Some(self.decided_place(&kept, product_id).await?),
            None => None,
        };
        let inputs = kept.inputs.as_ref();
        let items = items(&kept.record, inputs, &self.reasons);
        let told = items.iter().any(|item| !item.reasons.is_empty());
        let ranking_basis = kept.record.ranking_basis;
        let record = kept.record;
        let policy_sha256 = Sha256Digest::try_from(record.policy_sha256.as_slice());
        Ok(v1::ExplainDecisionResponse {
            sequence: kept.link.sequence,
            versions: Some(v1::ServedVersions {
                model_version: record.model_version,
                embedding_space: record.embedding_space,
                index_generation: record.index_generation,
                user_generation: record.user_generation,
            }),
            policy: Some(v1::PolicyVersion {
                version: record.policy_version,
                sha256: policy_sha256.map(|sha256| sha256.to_string()).unwrap_or_default(),
            }),
            ranking_basis,
            decision_id: record.decision_id,
            decided_at: record.decided_at,
            eligible_count: record.eligible_count,
            human_review_count: record.human_review_count,
            candidate_count: record.candidate_count,
            degradation: record.degradation,
            items,
            explanation: inputs.and_then(|inputs| inputs.explanation.clone()),
            texts: told.then(|| table_version(&self.reasons)),
            inputs_erased: inputs.is_none(),
            product,
        })
    }

    /// Where a product stood, as the record has it, or as the decision comes out again.
    async fn decided_place(&self, kept: &KeptDecision, product_id: &ProductId) -> Result<DecidedPlace> {
        let mut decided = DecidedPlace { product_id: product_id.to_string(), ..DecidedPlace::default() };
        if let Some(place) = recorded_place(&kept.record, product_id.as_str()) {
            decided.set_source(PlaceSource::Record);
            return Ok(DecidedPlace { place: Some(place), ..decided });
        }
        let log = self.log()?;
        let turn = log.replaying.acquire().await;
        let again = Replayer::new(log, &self.pseudonyms).again(kept).await?;
        drop(turn);
        match again {
            Ok((_, Again { pipeline, catalogue, ask, decision })) => {
                let row = row_of(&catalogue, product_id, || "product_id".to_owned())?;
                let standing = Standing::of(&pipeline, &catalogue, &ask, &decision, row)?;
                decided.set_source(PlaceSource::MadeAgain);
                decided.set_replay(ReplayOutcome::Exact);
                decided.place = Some(standing.place);
            }
            Err(replay) => {
                decided.set_source(PlaceSource::Unknown);
                decided.set_replay(replay.outcome());
                decided.unknown = unknown(&replay);
            }
        }
        Ok(decided)
    }
}

/// What was offered, with the reasons that were told, in the texts of a table.
fn items(
    record: &DecisionRecord,
    inputs: Option<&DecisionInputs>,
    table: &ReasonTable,
) -> Vec<v1::ExplainedItem> {
    let reasons = |product_id: &str| {
        let told = inputs.iter().flat_map(|inputs| &inputs.reasons);
        let mut of_product = told.filter(|told| told.product_id == product_id);
        of_product.next().map(|told| told.reasons.as_slice()).unwrap_or_default()
    };
    let item = |(place, candidate): (usize, &RecordedCandidate)| v1::ExplainedItem {
        rank: count(place + 1),
        product_id: candidate.product_id.clone(),
        score: score(record, candidate),
        reasons: reasons(&candidate.product_id).iter().map(|reason| in_words(reason, table)).collect(),
    };
    record.items.iter().filter_map(|item| item.candidate.as_ref()).enumerate().map(item).collect()
}

/// What the record says of a product: that it was offered, or was among the best that were not. No rule stood against either.
fn recorded_place(record: &DecisionRecord, product_id: &str) -> Option<ItemPlace> {
    let is_it = |candidate: &RecordedCandidate| candidate.product_id == product_id;
    let rank = record.items.iter().position(|item| item.candidate.as_ref().is_some_and(is_it));
    let candidate = match rank {
        Some(rank) => record.items[rank].candidate.as_ref()?,
        None => record.candidates.iter().find(|candidate| is_it(candidate))?,
    };
    let standing = if rank.is_some() { ItemStanding::Offered } else { ItemStanding::NotChosen };
    let eligibility = v1::ProductEligibility {
        product_id: product_id.to_owned(),
        verdict: EligibilityVerdict::Eligible.into(),
        ..v1::ProductEligibility::default()
    };
    Some(ItemPlace {
        standing: standing.into(),
        rank: rank.map_or(0, |rank| count(rank + 1)),
        eligibility: Some(eligibility),
        left_out_by: Vec::new(),
        score: score(record, candidate),
    })
}

/// What the model said then, if it had a say. The record names its best candidates in the order of their scores.
fn score(record: &DecisionRecord, candidate: &RecordedCandidate) -> Option<v1::ItemScore> {
    let place = record.candidates.iter().position(|best| best.product_id == candidate.product_id);
    candidate.logit.is_finite().then(|| v1::ItemScore {
        score: candidate.score.into(),
        logit: candidate.logit.into(),
        retrieval_score: candidate.retrieval_score.into(),
        score_place: place.map_or(0, |place| count(place + 1)),
        retrieval_place: 0,
    })
}

/// A reason that was told, in the words of the table in force.
fn in_words(told: &RecordedReason, table: &ReasonTable) -> v1::Reason {
    let side = if told.contribution < 0.0 { Side::Adverse } else { Side::Favourable };
    let reason = table.reasons.iter().find(|reason| reason.code == told.code);
    let text = reason.map(|reason| reason.text(side));
    v1::Reason {
        code: told.code.clone(),
        text_en: text.map(|text| text.english.clone()).unwrap_or_default(),
        text_zh: text.map(|text| text.chinese.clone()).unwrap_or_default(),
        contribution: told.contribution,
    }
}

/// Why a decision that was not made again tells nothing of a product that its record does not name.
fn unknown(replay: &v1::Replay) -> String {
    match (replay.outcome(), &replay.divergence) {
        (ReplayOutcome::InputErased, _) => {
            "the customer was erased, and with them what rules were held against".to_owned()
        }
        (_, Some(divergence)) => {
            format!("made again, the decision comes out otherwise: {}", divergence.message)
        }
        _ => replay.missing.clone(),
    }
}
