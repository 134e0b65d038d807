//! The business rules in force. They are one pointer, as the policy is: a decision takes it once, and reading the file anew
//! swaps it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use finrank_decisions::{
    DecisionLogError,
    contents::{Content, ContentKind, Contents},
};
use finrank_selection::SelectionRules;
use finrank_serving::Hangups;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::{RankingError, Result, SelectionConfig};

/// Holds the rules in force.
#[derive(Debug)]
pub(crate) struct Selections {
    file: SelectionConfig,
    in_force: ArcSwap<SelectionRules>,
    /// Where what comes into force is kept, if decisions are.
    contents: Option<Contents>,
    /// One reading of the file at a time, so that the later one stays.
    reloading: tokio::sync::Mutex<()>,
}

/// What came of reading the file anew.
pub(crate) struct Reloaded {
    pub(crate) in_force: Arc<SelectionRules>,
    pub(crate) before: Arc<SelectionRules>,
}

impl Selections {
    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub(crate) fn load(config: &SelectionConfig) -> Result<Self> {
        let rules = config.load().map_err(RankingError::Selection)?;
        info!(version = %rules.version(), sha256 = %rules.digest(), "selection in force");
        Ok(Self {
            file: config.clone(),
            in_force: ArcSwap::from_pointee(rules),
            contents: None,
            reloading: tokio::sync::Mutex::default(),
        })
    }

    /// The same, each kept before anything is chosen by it.
    pub(crate) fn kept_in(self, contents: Option<Contents>) -> Self {
        Self { contents, ..self }
    }

    /// Keeps rules, if rules are kept.
    ///
    /// # Errors
    /// When Postgres does not take them.
    pub(crate) async fn keep(&self, rules: &SelectionRules) -> Result<(), DecisionLogError> {
        let Some(contents) = &self.contents else { return Ok(()) };
        contents.keep(&[Content::new(ContentKind::Selection, rules.text().as_bytes().to_vec())]).await
    }

    /// The rules, for one decision to keep until it is made.
    pub(crate) fn in_force(&self) -> Arc<SelectionRules> {
        self.in_force.load_full()
    }

    /// Reads the file anew and puts what it says into force, if it says something else.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that it cannot be kept; the rules in force stay.
    pub(crate) async fn reload(&self) -> Result<Reloaded> {
        let _one_at_a_time = self.reloading.lock().await;
        let (file, before) = (self.file.clone(), self.in_force());
        let read = spawn_blocking(move || file.load()).await?.map_err(RankingError::Selection)?;
        if read.digest() == before.digest() {
            return Ok(Reloaded { in_force: Arc::clone(&before), before });
        }
        self.keep(&read).await?;
        let in_force = Arc::new(read);
        self.in_force.store(Arc::clone(&in_force));
        info!(version = %in_force.version(), sha256 = %in_force.digest(), "another selection is in force");
        Ok(Reloaded { in_force, before })
    }

    /// Reads the file anew at every SIGHUP, for ever.
    pub(crate) async fn reload_on_hangup(&self) {
        let mut hangups = Hangups::listen();
        loop {
            hangups.next().await;
            match self.reload().await {
                Ok(Reloaded { in_force, before }) if Arc::ptr_eq(&in_force, &before) => {
                    info!("SIGHUP: the selection is what it was");
                }
                Ok(_) => info!("SIGHUP: the selection was read anew"),
                Err(error) => warn!(%error, "SIGHUP: the selection stays as it is"),
            }
        }
    }
}
