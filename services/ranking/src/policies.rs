//! The policy in force, and what is compiled of it.
//!
//! What is compiled of a policy and a catalogue is kept for each catalogue, with the policy that was asked for last. Whoever
//! puts a catalogue or a policy in service has it compiled before, so that no request waits for it; a request that still
//! holds the one before compiles that again, and is right all the same.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use finrank_decisions::{
    DecisionLogError,
    contents::{ContentKind, Contents},
};
use finrank_model::Sha256Digest;
use finrank_policy::{CompiledPolicy, Offered, Policy};

use crate::{
    PolicyConfig, RankingError, Result,
    catalogue::{Catalogue, CatalogueProduct},
    in_force::{InForce, Reloaded, Rulebook},
};

/// Holds the policy in force.
#[derive(Debug)]
pub(crate) struct Policies {
    file: InForce<Policy>,
    /// A few: of each catalogue that somebody still holds.
    compiled: ArcSwap<Vec<Compiled>>,
}

#[derive(Clone, Debug)]
struct Compiled {
    catalogue: Weak<Catalogue>,
    policy: Arc<CompiledPolicy>,
}

impl Rulebook for Policy {
    type Config = PolicyConfig;
    const NAME: &'static str = "policy";
    const KIND: ContentKind = ContentKind::Policy;

    fn load(config: &PolicyConfig) -> Result<Self> {
        config.load().map_err(RankingError::Policy)
    }

    fn version(&self) -> &str {
        self.version().as_str()
    }

    fn digest(&self) -> Sha256Digest {
        self.digest()
    }

    fn text(&self) -> &str {
        self.text()
    }
}

impl Policies {
    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub(crate) fn load(config: &PolicyConfig) -> Result<Self> {
        Ok(Self { file: InForce::load(config)?, compiled: ArcSwap::default() })
    }

    /// The same, each kept before anything is decided by it.
    pub(crate) fn kept_in(self, contents: Option<Contents>) -> Self {
        Self { file: self.file.kept_in(contents), ..self }
    }

    /// Keeps the policy in force, if policies are kept.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub(crate) async fn keep(&self) -> Result<(), DecisionLogError> {
        self.file.keep().await
    }

    /// The policy, for one request to keep until it is answered.
    pub(crate) fn in_force(&self) -> Arc<Policy> {
        self.file.in_force()
    }

    /// A policy over a catalogue. Compiles it, which takes some ten milliseconds for 100,000 products, unless it was the
    /// catalogue's last to be.
    pub(crate) fn compiled(&self, policy: &Arc<Policy>, catalogue: &Arc<Catalogue>) -> Arc<CompiledPolicy> {
        let is_of_it =
            |compiled: &&Compiled| std::ptr::eq(compiled.catalogue.as_ptr(), Arc::as_ptr(catalogue));
        if let Some(last) = self.compiled.load().iter().find(is_of_it)
            && Arc::ptr_eq(last.policy.policy(), policy)
        {
            return Arc::clone(&last.policy);
        }
        let products: Vec<Offered<'_>> = catalogue.products().iter().map(CatalogueProduct::offered).collect();
        let compiled = Arc::new(CompiledPolicy::new(Arc::clone(policy), &products));
        let pair = Compiled { catalogue: Arc::downgrade(catalogue), policy: Arc::clone(&compiled) };
        self.compiled.rcu(|before| {
            let others = before.iter().filter(|other| other.catalogue.strong_count() > 0 && !is_of_it(other));
            others.cloned().chain([pair.clone()]).collect::<Vec<_>>()
        });
        compiled
    }

    /// Reads the file anew and puts what it says into force, compiled for every catalogue in service.
    ///
    /// # Errors
    /// As [`InForce::reload`].
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded<Policy>> {
        let this = Arc::clone(self);
        let compile = move |read: &Arc<Policy>| {
            let catalogues = this.compiled.load_full();
            for catalogue in catalogues.iter().filter_map(|compiled| compiled.catalogue.upgrade()) {
                this.compiled(read, &catalogue);
            }
        };
        self.file.reload(compile).await
    }
}
