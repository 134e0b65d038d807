//! Recording: what the log keeps of a decision. A place in its queue is taken before anything is decided, so that nothing is
//! offered that cannot be kept.

use std::{cmp::Reverse, path::PathBuf, sync::Arc, time::Duration};

use finrank_contracts::ranking::v1::{
    self, DecisionInputs, DecisionRecord, RecommendResponse, RecordedCandidate, RecordedItem, RecordedReason,
    RecordedReasons,
};
use finrank_decisions::{checkpoint::PublicKey, contents::Contents, entry::Entry, writer};
use finrank_model::{Parts, Sha256Digest};
use finrank_store::Store;
use tokio::{sync::Semaphore, time::timeout};

use super::{RankingService, degradation::degradation, response, selection, wishes};
use crate::{
    RankingError, Result,
    catalogue::Catalogue,
    index::{Method, Plan},
    pipeline::{Ask, Basis, Decision, OfferedItem, Scenario, ScoredCandidate},
};

/// How long a request waits for a place. A batch of 256 is written in some ten milliseconds: if none comes free, the writer
/// is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log, to be written and to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) writer: writer::DecisionLog,
    pub(crate) store: Store,
    /// Where what decisions are made by is kept.
    pub(crate) contents: Contents,
    /// The keys whose checkpoints count.
    pub(crate) trusted: Vec<PublicKey>,
    /// Where model bundles lie.
    pub(crate) models_dir: PathBuf,
    /// One replay at a time: each holds a catalogue of its own.
    pub(crate) replaying: Arc<Semaphore>,
    /// One verification at a time: each holds a connection as long as it lasts, and the writer needs one.
    pub(crate) verifying: Arc<Semaphore>,
    /// Candidates that a record names.
    pub(crate) candidates: usize,
}

/// A place in the log's queue.
pub(super) struct Place {
    place: writer::Place,
    candidates: usize,
}

/// What the log keeps of a decision that played no part in it.
pub(super) struct Apart {
    pub(super) inputs: DecisionInputs,
    pub(super) experiment: Option<v1::ExperimentArm>,
}

/// An answer, and when it may go out.
pub(super) struct Decided {
    pub(super) response: RecommendResponse,
    pub(super) receipt: Option<writer::Receipt>,
}

impl RankingService {
    /// A place in the log's queue; `None` without a log.
    ///
    /// # Errors
    /// When none comes free.
    pub(super) async fn place(&self) -> Result<Option<Place>> {
        let Some(log) = &self.log else { return Ok(None) };
        let place =
            timeout(PATIENCE, log.writer.place()).await.map_err(|_| RankingError::DecisionLogFull)??;
        Ok(Some(Place { place, candidates: log.candidates }))
    }

    /// How many places there are in the log's queue.
    pub(super) fn places(&self) -> usize {
        self.log.as_ref().map_or(usize::MAX, |log| log.writer.places())
    }
}

impl Decided {
    /// The answer, once its decision is kept as the log's mode wants it.
    ///
    /// # Errors
    /// When the log ended before.
    pub(super) async fn kept(self) -> Result<RecommendResponse> {
        if let Some(receipt) = self.receipt {
            receipt.kept().await?;
        }
        Ok(self.response)
    }
}

impl Place {
    /// Leaves a decision to be written.
    pub(super) fn take(
        self,
        ask: &Ask,
        catalogue: &Catalogue,
        decision: &Decision,
        apart: Apart,
    ) -> writer::Receipt {
        let Apart { inputs, experiment } = apart;
        let inputs = DecisionInputs {
            embedding: match &ask.basis {
                Basis::Profile { user, .. } => user.embedding.as_slice().to_vec(),
                Basis::Popularity(_) | Basis::Nothing => Vec::new(),
            },
            filters: wishes::recorded(&ask.terms.filters),
            excluded_product_ids: ask.terms.excluded.iter().map(ToString::to_string).collect(),
            ..inputs
        };
        let record = record(catalogue, ask, decision, self.candidates);
        let record = DecisionRecord { experiment, ..record };
        let user_id = ask.customer.user_id.clone();
        self.place.take(Entry::new(decision.decision_id, decision.decided_at, user_id, record, inputs))
    }
}

/// Keeps the reasons that were told among what is personal, so that they go with the person.
pub(super) fn keep_reasons(inputs: &mut DecisionInputs, told: &RecommendResponse) {
    inputs.explanation.clone_from(&told.explanation);
    let reasons = told.items.iter().map(|item| {
        let reason = |reason: &v1::Reason| RecordedReason {
            code: reason.code.clone(),
            contribution: reason.contribution,
        };
        RecordedReasons {
            product_id: item.product_id.clone(),
            reasons: item.reasons.iter().map(reason).collect(),
        }
    });
    inputs.reasons = reasons.collect();
}

/// What is hashed; the entry adds id, time and the digest of the inputs.
pub(super) fn record(
    catalogue: &Catalogue,
    ask: &Ask,
    decision: &Decision,
    candidates: usize,
) -> DecisionRecord {
    let mut best = decision.candidates.clone();
    // Stable, so that equals stay in the order of retrieval.
    best.sort_by_key(|candidate| Reverse(candidate.score));
    best.truncate(candidates);
    let recorded = |candidate: &ScoredCandidate| recorded(catalogue, candidate);
    let item = |item: &OfferedItem| {
        let recorded = RecordedItem {
            candidate: Some(recorded(&item.candidate())),
            proof_sha256: item.proof().sha256.as_bytes().to_vec(),
            ..RecordedItem::default()
        };
        selection::recorded_placing(recorded, item.placing())
    };
    DecisionRecord {
        scenario: scenario(decision.scenario).into(),
        k: response::count(decision.k),
        diversity: decision.business.diversity.get(),
        selection: Some(selection::recorded(&decision.business)),
        degradation: decision.degradation.as_ref().map(degradation),
        model_version: decision.generation.model_version.to_string(),
        embedding_space: decision.generation.embedding_space.to_string(),
        index_generation: decision.generation.run_id,
        user_generation: decision.user_generation(),
        policy_version: decision.policy.version().to_string(),
        policy_sha256: decision.policy.digest().as_bytes().to_vec(),
        ranking_basis: response::ranking_basis(decision.ranked_by).into(),
        eligible_count: response::count(decision.eligible.count()),
        human_review_count: response::count(decision.eligible.human_review()),
        candidate_count: response::count(decision.candidates.len()),
        candidates_sha256: candidates_digest(catalogue, &decision.candidates).as_bytes().to_vec(),
        candidates: best.iter().map(recorded).collect(),
        items: decision.items.iter().map(item).collect(),
        catalogue_sha256: catalogue.digest().as_bytes().to_vec(),
        bundle_sha256: catalogue.bundle().as_bytes().to_vec(),
        popularity_sha256: match &ask.basis {
            Basis::Popularity(Some(popularity)) => popularity.digest().as_bytes().to_vec(),
            Basis::Popularity(None) | Basis::Profile { .. } | Basis::Nothing => Vec::new(),
        },
        retrieved_product_ids: match decision.plan {
            Some(Plan { method: Method::Approximate { .. }, .. }) => {
                decision.candidates.iter().map(|candidate| product_id(catalogue, candidate)).collect()
            }
            _ => Vec::new(),
        },
        ..DecisionRecord::default()
    }
}

fn recorded(catalogue: &Catalogue, candidate: &ScoredCandidate) -> RecordedCandidate {
    RecordedCandidate {
        product_id: product_id(catalogue, candidate),
        retrieval_score: candidate.retrieval_score,
        logit: candidate.score.logit(),
        score: candidate.score.get(),
    }
}

fn product_id(catalogue: &Catalogue, candidate: &ScoredCandidate) -> String {
    catalogue.product(candidate.row).product_id.to_string()
}

/// Over every candidate in the order of retrieval: its id, and the bits of retrieval score and logit, little-endian, each
/// with its length before it.
fn candidates_digest(catalogue: &Catalogue, candidates: &[ScoredCandidate]) -> Sha256Digest {
    let mut parts = Parts::default();
    for candidate in candidates {
        parts.part(catalogue.product(candidate.row).product_id.as_str().as_bytes());
        parts.part(&candidate.retrieval_score.to_le_bytes());
        parts.part(&candidate.score.logit().to_le_bytes());
    }
    parts.digest()
}

fn scenario(scenario: Scenario) -> v1::Scenario {
    match scenario {
        Scenario::All => v1::Scenario::All,
        Scenario::Credit => v1::Scenario::Credit,
        Scenario::Wealth => v1::Scenario::Wealth,
        Scenario::Insurance => v1::Scenario::Insurance,
    }
}
