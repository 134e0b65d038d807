//! Making a decision again: the ask from its record and inputs, the catalogue and the policy from what is kept under their
//! digests, and the pipeline that decides.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{
    DecisionInputs, DecisionRecord, DegradationRung, RankingBasis, RecordedItem, Replay, ReplayOutcome,
};
use finrank_decisions::{contents::Contents, entry::committed, read::KeptDecision};
use finrank_model::{
    Bundle, Embedding, EmbeddingSpace, ModelError, ProductId, Sha256Digest, UserId, bundle_directory,
};
use finrank_policy::{CompiledPolicy, Policy};
use finrank_selection::{BUILT_IN_SELECTION, SelectionRules};
use finrank_serving::{Pseudonyms, wire};
use prost::Message;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{compare::divergence, found::Found};
use crate::{
    Popularity, RankingError, Result, Snapshot,
    catalogue::{Catalogue, CatalogueProduct, Indexing},
    facts::GivenFacts,
    index::{IndexConfig, IndexKind, IndexSettings, SpacedEmbedding},
    pipeline::{Ask, Basis, Decision, Diversity, Pipeline, Terms},
    service::{
        eligibility::KnownCustomer,
        record::{self, Log},
        request, wishes,
    },
};

/// A decision that was made again, bit for bit the same, and what made it.
pub(in crate::service) struct Again {
    pub(in crate::service) pipeline: Pipeline,
    pub(in crate::service) catalogue: Arc<Catalogue>,
    pub(in crate::service) ask: Ask,
    pub(in crate::service) decision: Decision,
}

/// What a decision was made by, besides a catalogue.
struct MadeBy {
    policy: Arc<CompiledPolicy>,
    popularity: Option<Arc<Popularity>>,
    selection: Arc<SelectionRules>,
}

/// Makes decisions again, one after the other. Most are made by what the one before was made by, which is held on to.
pub(in crate::service) struct Replayer {
    contents: Contents,
    models_dir: PathBuf,
    pseudonyms: Pseudonyms,
    catalogue: Option<Arc<Catalogue>>,
    policy: Option<Arc<CompiledPolicy>>,
    selection: Option<Arc<SelectionRules>>,
}

impl Replayer {
    /// By what is kept where the log is.
    pub(in crate::service) fn new(log: &Log, pseudonyms: &Pseudonyms) -> Self {
        Self {
            contents: log.contents.clone(),
            models_dir: log.models_dir.clone(),
            pseudonyms: pseudonyms.clone(),
            catalogue: None,
            policy: None,
            selection: None,
        }
    }

    /// Makes a decision again.
    ///
    /// # Errors
    /// When it cannot be tried. What is missing or differs is no error.
    pub(in crate::service) async fn replay(&mut self, kept: &KeptDecision) -> Result<Replay> {
        Ok(self.again(kept).await?.map_or_else(|why_not| *why_not, |(exact, _)| exact))
    }

    /// The same, with all that made it; if it does not come out the same, what came of it instead.
    ///
    /// # Errors
    /// As [`Replayer::replay`].
    pub(in crate::service) async fn again(
        &mut self,
        kept: &KeptDecision,
    ) -> Result<std::result::Result<(Replay, Again), Box<Replay>>> {
        let replay = Replay {
            decision_id: kept.record.decision_id.clone(),
            sequence: kept.link.sequence,
            outcome: ReplayOutcome::Exact.into(),
            retrieval_as_recorded: !kept.record.retrieved_product_ids.is_empty(),
            ..Replay::default()
        };
        Ok(Err(Box::new(match self.decide_again(kept).await {
            Ok(again) => return Ok(Ok((replay, again))),
            Err(Found::InputErased) => Replay { outcome: ReplayOutcome::InputErased.into(), ..replay },
            Err(Found::Missing(outcome, missing)) => Replay { outcome: outcome.into(), missing, ..replay },
            Err(Found::Diverged(divergence)) => {
                Replay { outcome: ReplayOutcome::Diverged.into(), divergence: Some(*divergence), ..replay }
            }
            Err(Found::Failed(error)) => return Err(*error),
        })))
    }

    async fn decide_again(&mut self, kept: &KeptDecision) -> Result<Again, Found> {
        let record = kept.record.clone();
        let inputs = kept.inputs.clone().ok_or(Found::InputErased)?;
        let catalogue = self.catalogue(&record).await?;
        let policy = self.policy(&record, &catalogue).await?;
        let popularity = self.popularity(&record).await?;
        let selection = self.selection(&record).await?;
        let ask = self.ask(&record, &inputs, &catalogue, MadeBy { policy, popularity, selection })?;
        let again = spawn_blocking(move || {
            let pipeline = pipeline(&record)?;
            let decision =
                pipeline.recommend(&catalogue, &ask).map_err(|error| Found::other("INPUTS", error))?;
            let mut again = record::record(&catalogue, &ask, &decision, usize::MAX);
            // They were taken from the record.
            again.experiment.clone_from(&record.experiment);
            again.degradation.clone_from(&record.degradation);
            again.retrieved_product_ids.clone_from(&record.retrieved_product_ids);
            if record.selection.is_none() {
                without_selection(&mut again);
            }
            let again = committed(decision.decision_id, decision.decided_at, again, &inputs);
            // As it would be read: a zero that is written has lost its sign.
            let again = DecisionRecord::decode(again.encode_to_vec().as_slice()).map_err(unreadable)?;
            match divergence(&record, &again) {
                None => Ok(Again { pipeline, catalogue, ask, decision }),
                Some(divergence) => Err(Found::Diverged(Box::new(divergence))),
            }
        });
        again.await.map_err(RankingError::from)?
    }

    /// The catalogue, searched exactly whatever its index was: an approximate index is not kept.
    async fn catalogue(&mut self, record: &DecisionRecord) -> Result<Arc<Catalogue>, Found> {
        let missing = |what: String| Found::Missing(ReplayOutcome::CatalogueMissing, what);
        let Some(digest) = digest(&record.catalogue_sha256) else {
            return Err(missing("the record names no catalogue".to_owned()));
        };
        if let Some(catalogue) = self.catalogue.as_ref().filter(|catalogue| catalogue.digest() == digest) {
            return Ok(Arc::clone(catalogue));
        }
        let snapshot = Snapshot::kept(&self.contents, digest).await.map_err(Found::content("CATALOGUE"))?;
        let snapshot = snapshot.ok_or_else(|| missing(format!("catalogue {digest} is not kept")))?;
        let models_dir = self.models_dir.clone();
        let built = spawn_blocking(move || {
            let bundle = bundle(&models_dir, &snapshot)?;
            let config = IndexConfig { kind: IndexKind::Flat, ..IndexConfig::default() };
            let settings = IndexSettings { config, ..IndexSettings::default() };
            let indexing = Indexing { settings: &settings, in_service: None };
            Catalogue::build_by(snapshot, &bundle, indexing).map_err(|error| Found::other("CATALOGUE", error))
        });
        let catalogue = Arc::new(built.await.map_err(RankingError::from)??);
        (self.catalogue, self.policy) = (Some(Arc::clone(&catalogue)), None);
        Ok(catalogue)
    }

    async fn policy(
        &mut self,
        record: &DecisionRecord,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Arc<CompiledPolicy>, Found> {
        let missing = |what: String| Found::Missing(ReplayOutcome::PolicyMissing, what);
        let Some(digest) = digest(&record.policy_sha256) else {
            return Err(missing("the record names no policy".to_owned()));
        };
        if let Some(policy) = self.policy.as_ref().filter(|policy| policy.policy().digest() == digest) {
            return Ok(Arc::clone(policy));
        }
        let kept = self.contents.get(&[digest]).await.map_err(Found::content("POLICY"))?.remove(&digest);
        let kept = kept.ok_or_else(|| missing(format!("policy {digest} is not kept")))?;
        let text = String::from_utf8(kept).map_err(|error| Found::other("POLICY", error))?;
        let policy = Policy::parse(&text).map_err(|error| Found::other("POLICY", error))?;
        let products: Vec<_> = catalogue.products().iter().map(CatalogueProduct::offered).collect();
        let policy = Arc::new(CompiledPolicy::new(Arc::new(policy), &products));
        self.policy = Some(Arc::clone(&policy));
        Ok(policy)
    }

    async fn selection(&mut self, record: &DecisionRecord) -> Result<Arc<SelectionRules>, Found> {
        let Some(recorded) = &record.selection else {
            // It was decided before there were rules: as by none.
            let none = SelectionRules::parse(BUILT_IN_SELECTION);
            return none.map(Arc::new).map_err(|error| Found::other("SELECTION_FILE", error));
        };
        let missing = |what: String| Found::Missing(ReplayOutcome::SelectionMissing, what);
        let Some(digest) = digest(&recorded.sha256) else {
            return Err(missing("the record names no selection file".to_owned()));
        };
        if let Some(rules) = self.selection.as_ref().filter(|rules| rules.digest() == digest) {
            return Ok(Arc::clone(rules));
        }
        let kept =
            self.contents.get(&[digest]).await.map_err(Found::content("SELECTION_FILE"))?.remove(&digest);
        let kept = kept.ok_or_else(|| missing(format!("selection file {digest} is not kept")))?;
        let text = String::from_utf8(kept).map_err(|error| Found::other("SELECTION_FILE", error))?;
        let rules = SelectionRules::parse(&text).map_err(|error| Found::other("SELECTION_FILE", error))?;
        let rules = Arc::new(rules);
        self.selection = Some(Arc::clone(&rules));
        Ok(rules)
    }

    async fn popularity(&self, record: &DecisionRecord) -> Result<Option<Arc<Popularity>>, Found> {
        let Some(digest) = digest(&record.popularity_sha256) else { return Ok(None) };
        let kept = self.contents.get(&[digest]).await.map_err(Found::content("CATALOGUE"))?.remove(&digest);
        let Some(kept) = kept else {
            let what = format!("popularity {digest} is not kept");
            return Err(Found::Missing(ReplayOutcome::CatalogueMissing, what));
        };
        let popularity = Popularity::from_kept(digest, &kept).map_err(Found::content("CATALOGUE"))?;
        Ok(Some(Arc::new(popularity)))
    }

    fn ask(
        &self,
        record: &DecisionRecord,
        inputs: &DecisionInputs,
        catalogue: &Catalogue,
        MadeBy { policy, popularity, selection }: MadeBy,
    ) -> Result<Ask, Found> {
        let decision_id = Uuid::try_parse(&record.decision_id).map_err(unreadable)?;
        let moment: DateTime<Utc> = wire::moment("decided_at", record.decided_at).map_err(unreadable)?;
        let user_id = UserId::parse(inputs.user_id.as_str()).map_err(unreadable)?;
        let given = GivenFacts::new(inputs.features.clone(), inputs.values.clone()).map_err(unreadable)?;
        let held = product_ids(&inputs.held_product_ids)?;
        let known = KnownCustomer::at(moment, policy.policy(), user_id.clone(), given, held);
        let basis = match RankingBasis::try_from(record.ranking_basis).map_err(unreadable)? {
            RankingBasis::Profile | RankingBasis::Unspecified => Basis::Profile {
                user: SpacedEmbedding {
                    embedding: Embedding::new(inputs.embedding.clone(), catalogue.generation().dimension)
                        .map_err(unreadable)?,
                    space: EmbeddingSpace::parse(record.embedding_space.as_str()).map_err(unreadable)?,
                },
                generation: record.user_generation,
            },
            RankingBasis::Unranked if is_empty_on_purpose(record) => Basis::Nothing,
            RankingBasis::Popularity | RankingBasis::Unranked => Basis::Popularity(popularity),
        };
        Ok(Ask {
            decision_id,
            pseudonym: self.pseudonyms.of(&user_id),
            customer: known.customer(policy),
            basis,
            degradation: None,
            terms: terms(record, inputs)?,
            selection,
            may_explore: record.degradation.is_none(),
            k: record.k as usize,
        })
    }
}

/// Whether nothing was offered since there was nothing to rank by.
fn is_empty_on_purpose(record: &DecisionRecord) -> bool {
    record.degradation.as_ref().is_some_and(|degradation| degradation.rung() == DegradationRung::Empty)
}

/// What was searched for. Before that was kept: as many candidates as were found, which are the same as would be among more.
fn pipeline(record: &DecisionRecord) -> Result<Pipeline, Found> {
    let retrieved = product_ids(&record.retrieved_product_ids)?;
    let searched = record.selection.as_ref().map(|selection| selection.searched_count);
    let candidates = searched.unwrap_or(record.candidate_count) as usize;
    Ok(match retrieved.is_empty() {
        true => Pipeline::silent(candidates),
        false => Pipeline::as_retrieved(candidates, retrieved),
    })
}

/// A record as it was written before there were selection files.
fn without_selection(record: &mut DecisionRecord) {
    record.selection = None;
    for item in &mut record.items {
        let (candidate, proof_sha256) = (item.candidate.take(), std::mem::take(&mut item.proof_sha256));
        *item = RecordedItem { candidate, proof_sha256, ..RecordedItem::default() };
    }
}

fn terms(record: &DecisionRecord, inputs: &DecisionInputs) -> Result<Terms, Found> {
    let filters = wishes::filters(inputs.filters.as_ref());
    Ok(Terms {
        scenario: request::scenario(record.scenario).map_err(unreadable)?,
        excluded: product_ids(&inputs.excluded_product_ids)?,
        filters: filters.map_err(|faults| unreadable(RankingError::Invalid(faults)))?,
        diversity: Some(Diversity::new(record.diversity).ok_or_else(|| unreadable("its diversity is none"))?),
    })
}

fn bundle(models_dir: &Path, snapshot: &Snapshot) -> Result<Bundle, Found> {
    let missing = |error: ModelError| match error {
        ModelError::FileMissing { .. } => Found::Missing(ReplayOutcome::BundleMissing, error.to_string()),
        error => Found::other("BUNDLE", error),
    };
    let directory = bundle_directory(models_dir, &snapshot.generation().model_version).map_err(missing)?;
    Bundle::read_registered(&directory, snapshot.bundle).map_err(missing)
}

fn product_ids(ids: &[String]) -> Result<Vec<ProductId>, Found> {
    ids.iter().map(|id| ProductId::parse(id.as_str()).map_err(unreadable)).collect()
}

fn digest(bytes: &[u8]) -> Option<Sha256Digest> {
    Sha256Digest::try_from(bytes).ok()
}

#[allow(clippy::needless_pass_by_value, reason = "errors are handed over as they come")]
fn unreadable(what: impl Display) -> Found {
    Found::other("INPUTS", what)
}
