//! A file that people write and requests are decided by. What it says is one pointer: a request takes it once and is decided by
//! it to the end, and reading the file anew swaps it.

use std::{fmt::Debug, sync::Arc};

use arc_swap::ArcSwap;
use finrank_decisions::{
    DecisionLogError,
    contents::{Content, ContentKind, Contents},
};
use finrank_model::Sha256Digest;
use finrank_serving::Hangups;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::{RankingError, Result};

/// What such a file says.
pub(crate) trait Rulebook: Debug + Send + Sync + Sized + 'static {
    /// Which file.
    type Config: Clone + Debug + Send + Sync;
    /// As logs call it.
    const NAME: &'static str;
    /// As what it is kept.
    const KIND: ContentKind;

    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    fn load(config: &Self::Config) -> Result<Self>;
    /// What its owner calls it.
    fn version(&self) -> &str;
    /// The file's SHA-256.
    fn digest(&self) -> Sha256Digest;
    /// The file itself.
    fn text(&self) -> &str;
}

/// Holds what is in force.
#[derive(Debug)]
pub(crate) struct InForce<T: Rulebook> {
    config: T::Config,
    current: ArcSwap<T>,
    /// Where what comes into force is kept, if decisions are.
    contents: Option<Contents>,
    /// One reading of the file at a time, so that the later one stays.
    reloading: tokio::sync::Mutex<()>,
}

/// What came of reading the file anew.
pub(crate) struct Reloaded<T> {
    pub(crate) in_force: Arc<T>,
    pub(crate) before: Arc<T>,
}

impl<T: Rulebook> InForce<T> {
    /// Reads the configured file.
    ///
    /// # Errors
    /// As [`Rulebook::load`].
    pub(crate) fn load(config: &T::Config) -> Result<Self> {
        let read = T::load(config)?;
        info!(version = %read.version(), sha256 = %read.digest(), "{} in force", T::NAME);
        Ok(Self {
            config: config.clone(),
            current: ArcSwap::from_pointee(read),
            contents: None,
            reloading: tokio::sync::Mutex::default(),
        })
    }

    /// The same, each kept before anything is decided by it.
    pub(crate) fn kept_in(self, contents: Option<Contents>) -> Self {
        Self { contents, ..self }
    }

    /// What is in force, for one request to keep until it is answered.
    pub(crate) fn in_force(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Keeps what is in force, if such is kept.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub(crate) async fn keep(&self) -> Result<(), DecisionLogError> {
        self.keep_one(&self.in_force()).await
    }

    async fn keep_one(&self, one: &T) -> Result<(), DecisionLogError> {
        let Some(contents) = &self.contents else { return Ok(()) };
        contents.keep(&[Content::new(T::KIND, one.text().as_bytes().to_vec())]).await
    }

    /// Reads the file anew and puts what it says into force, if it says something else; `prepare` sees it first, on a thread
    /// for blocking work.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that it cannot be kept; what is in force stays.
    pub(crate) async fn reload(&self, prepare: impl FnOnce(&Arc<T>) + Send + 'static) -> Result<Reloaded<T>> {
        let _one_at_a_time = self.reloading.lock().await;
        let (config, before) = (self.config.clone(), self.in_force());
        let digest = before.digest();
        let read = spawn_blocking(move || {
            let read = Arc::new(T::load(&config)?);
            if read.digest() != digest {
                prepare(&read);
            }
            Ok::<_, RankingError>(read)
        })
        .await??;
        if read.digest() == digest {
            return Ok(Reloaded { in_force: Arc::clone(&before), before });
        }
        self.keep_one(&read).await?;
        self.current.store(Arc::clone(&read));
        info!(version = %read.version(), sha256 = %read.digest(), "another {} is in force", T::NAME);
        Ok(Reloaded { in_force: read, before })
    }
}

/// Has the file read anew at every SIGHUP, for ever.
pub(crate) async fn reload_on_hangup<T, R>(mut reload: impl FnMut() -> R)
where
    T: Rulebook,
    R: Future<Output = Result<Reloaded<T>>>,
{
    let (mut hangups, name) = (Hangups::listen(), T::NAME);
    loop {
        hangups.next().await;
        match reload().await {
            Ok(Reloaded { in_force, before }) if Arc::ptr_eq(&in_force, &before) => {
                info!("SIGHUP: the {name} is what it was");
            }
            Ok(_) => info!("SIGHUP: the {name} was read anew"),
            Err(error) => warn!(%error, "SIGHUP: the {name} stays as it is"),
        }
    }
}
