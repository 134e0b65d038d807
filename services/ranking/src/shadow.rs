//! The shadow: a model that ranks once more what was decided, after the answer and off its way, and is shown to nobody.
//!
//! Decisions are left in a bounded queue. What does not fit there, or cannot be ranked again, is counted and lost: no answer
//! waits for the shadow.

use std::{collections::HashMap, sync::Arc, time::Duration};

use finrank_decisions::shadow::{self, ShadowDecision};
use finrank_model::{ModelVersion, ProductId, UserId};
use finrank_store::Store;
use tokio::{sync::mpsc, task::spawn_blocking};
use tracing::warn;

use crate::{
    RankingError, Result, TrafficConfig,
    catalogue::Catalogue,
    deadline::Deadline,
    feature_store::{FeatureStore, UserEmbedding},
    index::Row,
    pipeline::{Ask, Basis, Decision, OfferedItem, Pipeline, ScoredCandidate},
    policies::Policies,
    traffic::Beside,
};

/// Decisions that are ranked again at a time, by one lookup of embeddings.
const AT_A_TIME: usize = 100;
/// How long that lookup may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where decisions are left for the shadow. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ShadowQueue {
    queue: mpsc::Sender<Left>,
    /// Of decisions, 0 to 1.
    share: f64,
}

/// A decision to be ranked again.
#[derive(Debug)]
struct Left {
    ask: Ask,
    shown: Vec<ProductId>,
    beside: Arc<Beside>,
}

/// The task that ranks them again.
pub(crate) struct ShadowRanking {
    waiting: mpsc::Receiver<Left>,
    feature_store: FeatureStore,
    policies: Arc<Policies>,
    /// The candidates' number is the served model's.
    pipeline: Arc<Pipeline>,
    store: Store,
}

impl ShadowQueue {
    /// A queue, and who takes from it.
    pub(crate) fn new(
        config: &TrafficConfig,
        feature_store: FeatureStore,
        policies: Arc<Policies>,
        candidates: usize,
        store: Store,
    ) -> (Self, ShadowRanking) {
        let (queue, waiting) = mpsc::channel(config.shadow_queue.get());
        let pipeline = Arc::new(Pipeline::silent(candidates));
        let share = config.shadow_share;
        (Self { queue, share }, ShadowRanking { waiting, feature_store, policies, pipeline, store })
    }

    /// Leaves a decision, if the model made it of what should rank it, it offers something, and it is of the share.
    pub(crate) fn leave(&self, beside: Arc<Beside>, catalogue: &Catalogue, ask: &Ask, decision: &Decision) {
        let is_by_the_model = matches!(ask.basis, Basis::Profile { .. }) && ask.degradation.is_none();
        if !is_by_the_model || decision.items.is_empty() || !self.is_of_the_share(ask) {
            return;
        }
        let shown = decision.items.iter().map(OfferedItem::candidate);
        let shown = shown.map(|item| catalogue.product(item.row).product_id.clone()).collect();
        if self.queue.try_send(Left { ask: ask.clone(), shown, beside }).is_err() {
            lost(1, "queue_full");
        }
    }

    /// The last 32 bits of a decision's id are drawn at random.
    fn is_of_the_share(&self, ask: &Ask) -> bool {
        let drawn = ask.decision_id.as_u128() as u32;
        f64::from(drawn) < self.share * (f64::from(u32::MAX) + 1.0)
    }
}

impl ShadowRanking {
    /// Ranks again for as long as decisions are left.
    pub(crate) async fn run(mut self) {
        let mut left = Vec::new();
        while self.waiting.recv_many(&mut left, AT_A_TIME).await > 0 {
            let mut by_version: HashMap<ModelVersion, Vec<Left>> = HashMap::new();
            for one in left.drain(..) {
                by_version.entry(one.beside.version().clone()).or_default().push(one);
            }
            for (version, left) in by_version {
                let decisions = left.len();
                match self.rank(left).await {
                    Ok(kept) => {
                        metrics::counter!("finrank_ranking_shadow_decisions_total").increment(kept as u64);
                        lost(decisions - kept, "no_embedding");
                    }
                    Err(error) => {
                        warn!(%error, %version, decisions, "decisions are not ranked by the shadow");
                        lost(decisions, "failed");
                    }
                }
            }
        }
    }

    /// Ranks decisions of one shadow, and keeps what comes of it. Returns how many could be.
    async fn rank(&self, left: Vec<Left>) -> Result<usize> {
        let Some(catalogue) = left.first().and_then(|one| one.beside.current.get()) else {
            return Err(RankingError::NoCatalogue);
        };
        let user_ids: Vec<UserId> = left.iter().map(|one| one.ask.customer.user_id.clone()).collect();
        let deadline = Deadline::after(PATIENCE);
        let users = self.feature_store.embeddings(&user_ids, catalogue.generation(), deadline).await?;
        let (policies, pipeline) = (Arc::clone(&self.policies), Arc::clone(&self.pipeline));
        let said = spawn_blocking(move || {
            let known = left.into_iter().zip(users).filter_map(|(one, user)| Some((one, user.ok()?)));
            known.map(|(one, user)| one.ranked(&policies, &pipeline, &catalogue, user)).collect::<Vec<_>>()
        });
        let said = said.await?.into_iter().collect::<Result<Vec<ShadowDecision>>>()?;
        shadow::keep(&self.store, &said).await?;
        Ok(said.len())
    }
}

impl Left {
    /// What the shadow says: the same customer, policy and terms, by its own embedding and scorer.
    fn ranked(
        self,
        policies: &Policies,
        pipeline: &Pipeline,
        catalogue: &Arc<Catalogue>,
        user: UserEmbedding,
    ) -> Result<ShadowDecision> {
        let Self { mut ask, shown, .. } = self;
        ask.customer.policy = policies.compiled(ask.customer.policy.policy(), catalogue);
        let rows: Vec<Row> = shown.iter().filter_map(|product_id| catalogue.row(product_id)).collect();
        let scored = pipeline.score(catalogue, &user.embedding, &rows)?;
        let id = |item: &ScoredCandidate| catalogue.product(item.row).product_id.clone();
        let scores: HashMap<ProductId, f32> =
            scored.iter().map(|item| (id(item), item.score.get())).collect();
        ask.basis = Basis::Profile { user: user.embedding, generation: user.run_id };
        let decision = pipeline.recommend(catalogue, &ask)?;
        let items = decision.items.iter().map(OfferedItem::candidate);
        Ok(ShadowDecision {
            user_id: ask.customer.user_id,
            decision_id: ask.decision_id,
            decided_at: ask.customer.moment,
            model_version: catalogue.generation().model_version.clone(),
            items: items.map(|item| (id(&item), item.score.get())).collect(),
            shown: shown.into_iter().map(|shown| (shown.clone(), scores.get(&shown).copied())).collect(),
        })
    }
}

fn lost(decisions: usize, why: &'static str) {
    if decisions > 0 {
        metrics::counter!("finrank_ranking_shadow_lost_total", "why" => why).increment(decisions as u64);
    }
}
