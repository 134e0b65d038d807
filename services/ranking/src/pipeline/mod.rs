//! The pipeline: how a request becomes a decision. One trait per stage; a stage sees what the one before it
//! made and cannot reach round it. All of it is plain computing on one thread, without I/O but the record.

mod business;
mod candidate;
mod decision;
mod degradation;
mod eligibility;
mod filters;
mod profiled;
mod recheck;
mod recorder;
mod retriever;
mod scorer;
mod selector;
mod stage;
mod unprofiled;
mod wishes;

use std::sync::Arc;

use finrank_model::ProductId;
use finrank_selection::{InForce, SelectionRules};
use finrank_serving::Pseudonym;
use uuid::Uuid;

use self::{recheck::recheck, retriever::named, stage::Watch};
pub use business::{Business, PinOutcome, PinReport};
pub use candidate::{Placing, RetrievedCandidate, ScoredCandidate, SelectedCandidate};
use decision::Course;
pub use decision::{Decision, RankedBy};
pub use degradation::{Degradation, Passed, Reason, Rung};
pub use eligibility::{Customer, Eligibility, Eligible, Filter, Scenario, Terms};
pub use recheck::OfferedItem;
pub use recorder::{LogRecorder, Recorder, SilentRecorder};
pub use retriever::{CosineRetriever, InnerProductRetriever, RecordedRetriever, Retrieved, Retriever};
pub use scorer::{MlpCandidateScorer, Scorer};
pub use selector::{Choice, RuledSelector, Selected, Selector};
pub use stage::{Stage, StageReport};
pub use wishes::{Diversity, Filters};

use crate::{
    catalogue::Catalogue,
    index::{IndexError, Plan, Row, SpacedEmbedding},
    popularity::Popularity,
};

/// Whom to offer how much, on what terms.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Names the decision to be made; version 7, so that ids sort by time.
    pub decision_id: Uuid,
    /// How logs name the customer.
    pub pseudonym: Pseudonym,
    /// The customer, and the policy by which it is decided what may be offered.
    pub customer: Customer,
    /// By what to rank.
    pub basis: Basis,
    /// Why it is not by what it should be, if so.
    pub degradation: Option<Degradation>,
    /// What is asked for, whoever the customer is.
    pub terms: Terms,
    /// The business rules by which is chosen.
    pub selection: Arc<SelectionRules>,
    /// Whether chance may play the part that the rules give it: not where the answer is degraded.
    pub may_explore: bool,
    /// How many products, at least one.
    pub k: usize,
}

/// By what products are ranked.
#[derive(Clone, Debug)]
pub enum Basis {
    /// By the model, for this customer.
    Profile {
        /// The user's embedding.
        user: SpacedEmbedding,
        /// The refresh run that it comes from.
        generation: i64,
    },
    /// The same for everyone, since the customer objects to profiling or nothing better is known: by popularity, or by
    /// product id if nobody knows that.
    Popularity(Option<Arc<Popularity>>),
    /// By nothing: nothing is offered.
    Nothing,
}

/// The stages, in order.
#[derive(Debug)]
pub struct Pipeline {
    eligibility: Eligibility,
    retriever: Box<dyn Retriever>,
    scorer: Box<dyn Scorer>,
    selector: Box<dyn Selector>,
    recorder: Box<dyn Recorder>,
    /// How many candidates are scored when fewer are asked for.
    candidates: usize,
}

impl Pipeline {
    /// Inner product, the model's scorer, best scores first unless the selection's rules say otherwise; decisions go to the log.
    pub fn new(candidates: usize) -> Self {
        Self {
            eligibility: Eligibility::default(),
            retriever: Box::new(InnerProductRetriever),
            scorer: Box::new(MlpCandidateScorer),
            selector: Box::new(RuledSelector),
            recorder: Box::new(LogRecorder),
            candidates,
        }
    }

    /// The same, of which no note is taken: for who makes a decision again.
    pub fn silent(candidates: usize) -> Self {
        Self { recorder: Box::new(SilentRecorder), ..Self::new(candidates) }
    }

    /// The same, that retrieves what was retrieved then.
    pub fn as_retrieved(candidates: usize, retrieved: Vec<ProductId>) -> Self {
        Self { retriever: Box::new(RecordedRetriever(retrieved)), ..Self::silent(candidates) }
    }

    /// Decides what to offer: the whole story of a Recommend request once its customer is known.
    ///
    /// # Errors
    /// When the user's embedding and the catalogue's are not of one space and dimension.
    pub fn recommend(&self, catalogue: &Catalogue, ask: &Ask) -> Result<Decision, IndexError> {
        let decision = self.consider(catalogue, ask)?;
        self.recorder.record(&decision);
        Ok(decision)
    }

    /// What would be decided, of which no note is taken: for who asks about it.
    ///
    /// # Errors
    /// As [`Pipeline::recommend`].
    pub fn consider(&self, catalogue: &Catalogue, ask: &Ask) -> Result<Decision, IndexError> {
        let mut watch = Watch::default();
        let eligible = watch.stage(
            Stage::Eligibility,
            catalogue.len(),
            || self.eligibility.of_customer(catalogue, &ask.terms, &ask.customer),
            Eligible::count,
        );
        let rules = ask.selection.in_force(ask.terms.scenario, ask.customer.moment);
        let rules = rules.with_diversity(ask.terms.diversity);
        let rules = if ask.may_explore { rules } else { rules.unexplored() };
        let ranked = match &ask.basis {
            Basis::Profile { user, .. } => {
                self.by_profile(catalogue, ask, user, &eligible, rules, &mut watch)?
            }
            Basis::Popularity(popularity) => {
                self.by_popularity(catalogue, ask, popularity.as_deref(), &eligible, rules, &mut watch)
            }
            Basis::Nothing => Ranked::nothing(catalogue, ask, rules, &eligible),
        };
        let Ranked { candidates, plan, items, business } = ranked;
        let items = watch.stage(Stage::Recheck, items.len(), || recheck(catalogue, ask, items), Vec::len);
        let course = Course { candidates, plan, business, stages: watch.reports() };
        Ok(Decision::new(catalogue, ask, eligible, course, items))
    }

    /// What leaves a product out on some terms, whoever the customer is: each by itself.
    pub fn leaves_out(&self, catalogue: &Catalogue, terms: &Terms, row: Row) -> Vec<&'static str> {
        self.eligibility.leaves_out(catalogue, terms, row)
    }

    /// The stages up to retrieval alone.
    ///
    /// # Errors
    /// As [`Pipeline::recommend`], and when the query is too long for its inner products to be finite.
    pub fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        terms: &Terms,
        k: usize,
    ) -> Result<Vec<RetrievedCandidate>, IndexError> {
        let eligible = self.eligibility.of(catalogue, terms);
        Ok(self.retriever.retrieve(catalogue, query, &eligible, k)?.candidates)
    }

    /// The scorer alone, on the products named, in their order; what may be offered plays no part.
    ///
    /// # Errors
    /// As [`Pipeline::recommend`].
    pub fn score(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        rows: &[Row],
    ) -> Result<Vec<ScoredCandidate>, IndexError> {
        self.scorer.score(catalogue, user, named(catalogue, user, rows)?)
    }

    /// What may be offered in place of a product, by the cosine to it; the product itself may be withdrawn.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn similar(
        &self,
        catalogue: &Catalogue,
        product: Row,
        k: usize,
    ) -> Result<Vec<RetrievedCandidate>, IndexError> {
        let terms =
            Terms { excluded: vec![catalogue.product(product).product_id.clone()], ..Terms::default() };
        let eligible = self.eligibility.of(catalogue, &terms);
        let direction = catalogue.directions().embedding(product);
        Ok(CosineRetriever.retrieve(catalogue, &direction, &eligible, k)?.candidates)
    }
}

/// What is to be offered, and from what it was chosen.
struct Ranked {
    candidates: Vec<ScoredCandidate>,
    plan: Option<Plan>,
    items: Vec<SelectedCandidate>,
    business: Business,
}

impl Ranked {
    /// Nothing is, whatever is pinned.
    fn nothing(catalogue: &Catalogue, ask: &Ask, rules: InForce<'_>, eligible: &Eligible) -> Self {
        let rules = InForce { pins: Vec::new(), exploration: None, ..rules };
        let business = Business::new(catalogue, ask, &rules, eligible, &Selected::default(), 0);
        Self { candidates: Vec::new(), plan: None, items: Vec::new(), business }
    }
}

#[cfg(test)]
mod tests;
