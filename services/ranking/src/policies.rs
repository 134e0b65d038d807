//! The policy in force. It is one pointer: a request takes it once and is decided by it to the end, and reading the file
//! anew swaps it.
//!
//! What is compiled of a policy and a catalogue is kept for each catalogue, with the policy that was asked for last. Whoever
//! puts a catalogue or a policy in service has it compiled before, so that no request waits for it; a request that still
//! holds the one before compiles that again, and is right all the same.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use finrank_decisions::{
    DecisionLogError,
    contents::{Content, ContentKind, Contents},
};
use finrank_policy::{CompiledPolicy, Offered, Policy};
use finrank_serving::Hangups;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::{
    PolicyConfig, RankingError, Result,
    catalogue::{Catalogue, CatalogueProduct},
};

/// Holds the policy in force.
#[derive(Debug)]
pub(crate) struct Policies {
    file: PolicyConfig,
    in_force: ArcSwap<Policy>,
    /// A few: of each catalogue that somebody still holds.
    compiled: ArcSwap<Vec<Compiled>>,
    /// Where what comes into force is kept, if decisions are.
    contents: Option<Contents>,
    /// One reading of the file at a time, so that the later one stays.
    reloading: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Compiled {
    catalogue: Weak<Catalogue>,
    policy: Arc<CompiledPolicy>,
}

/// What came of reading the file anew.
pub(crate) struct Reloaded {
    pub(crate) in_force: Arc<Policy>,
    pub(crate) before: Arc<Policy>,
}

impl Policies {
    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub(crate) fn load(config: &PolicyConfig) -> Result<Self> {
        let policy = config.load().map_err(RankingError::Policy)?;
        info!(version = %policy.version(), sha256 = %policy.digest(), "policy in force");
        Ok(Self {
            file: config.clone(),
            in_force: ArcSwap::from_pointee(policy),
            compiled: ArcSwap::default(),
            contents: None,
            reloading: tokio::sync::Mutex::default(),
        })
    }

    /// The same, each kept before anything is decided by it.
    pub(crate) fn kept_in(self, contents: Option<Contents>) -> Self {
        Self { contents, ..self }
    }

    /// Keeps a policy, if policies are kept.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub(crate) async fn keep(&self, policy: &Policy) -> Result<(), DecisionLogError> {
        let Some(contents) = &self.contents else { return Ok(()) };
        contents.keep(&[Content::new(ContentKind::Policy, policy.text().as_bytes().to_vec())]).await
    }

    /// The policy, for one request to keep until it is answered.
    pub(crate) fn in_force(&self) -> Arc<Policy> {
        self.in_force.load_full()
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

    /// Reads the file anew and puts what it says into force, if it says something else.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that it cannot be kept; the policy in force stays.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded> {
        let _one_at_a_time = self.reloading.lock().await;
        let this = Arc::clone(self);
        let before = self.in_force();
        let in_force = spawn_blocking(move || {
            let before = this.in_force();
            let read = this.file.load().map_err(RankingError::Policy)?;
            if read.digest() == before.digest() {
                return Ok(before);
            }
            let read = Arc::new(read);
            let catalogues = this.compiled.load_full();
            for catalogue in catalogues.iter().filter_map(|compiled| compiled.catalogue.upgrade()) {
                this.compiled(&read, &catalogue);
            }
            Ok::<_, RankingError>(read)
        })
        .await??;
        if !Arc::ptr_eq(&in_force, &before) {
            self.keep(&in_force).await?;
            self.in_force.store(Arc::clone(&in_force));
            info!(version = %in_force.version(), sha256 = %in_force.digest(), "another policy is in force");
        }
        Ok(Reloaded { in_force, before })
    }

    /// Reads the file anew at every SIGHUP, for ever.
    pub(crate) async fn reload_on_hangup(self: &Arc<Self>) {
        let mut hangups = Hangups::listen();
        loop {
            hangups.next().await;
            match self.reload().await {
                Ok(Reloaded { in_force, before }) if Arc::ptr_eq(&in_force, &before) => {
                    info!("SIGHUP: the policy is what it was");
                }
                Ok(_) => info!("SIGHUP: the policy was read anew"),
                Err(error) => warn!(%error, "SIGHUP: the policy stays as it is"),
            }
        }
    }
}
