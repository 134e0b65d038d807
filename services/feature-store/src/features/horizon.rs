//! Up to which moment everything that was known can also be read.
//!
//! A statement's `known_at` lies before its commit, so a reader who asks for all that was known before *now* may
//! miss what commits a moment later, and would see it when asking again: the same question with two answers. The
//! horizon is a moment before which nothing more can come to be known. Whoever reads up to it can repeat the reading
//! for ever.
//!
//! Every writer takes a shared advisory lock, then the time, then writes (see the migration that makes statements).
//! [`Horizon::advance`] takes the time first and then looks for holders of the lock. A writer that it does not see
//! either takes a later time, or has committed and is seen by whoever reads next; one that it sees took its time
//! after its transaction began, which is where the horizon stays then.
//!
//! All of it goes by the clock of Postgres. Should that go back, a later writer would take an earlier time: so the horizon
//! says in Postgres where it is going before it looks for writers, and nobody writes by a clock that stands before that
//! (see the migration of the clock that goes back).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_store::Store;
use metrics::Gauge;
use sqlx::PgPool;
use tokio::{
    sync::{Notify, watch},
    time,
};
use tracing::{info, warn};

use crate::{FeatureStoreError, Result, cache::HotCache};

/// How often it moves without being asked.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long Postgres may take to say how far it may move: then the connection is given up, and how far behind it is stays
/// known.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a reader who finds none yet asks how far it may move: a writer is between two transactions for microseconds.
const TRIES: usize = 5;
/// How long a reader waits for it to reach what there is to read.
const WAIT: Duration = Duration::from_secs(1);
/// How far behind it may be before the log says so.
const LAG_WORTH_TELLING: TimeDelta = TimeDelta::seconds(10);

/// A moment that only moves forward. Clones share it.
#[derive(Clone)]
pub(crate) struct Horizon {
    store: Store,
    cache: HotCache,
    moment: Arc<watch::Sender<Option<DateTime<Utc>>>>,
    /// Behind the clock, in seconds.
    lag: Gauge,
    /// Told of what this server has written.
    written: Arc<Notify>,
}

impl Horizon {
    /// Lets the cache forget what is not right any more, before it moves.
    pub(crate) fn new(store: Store, cache: HotCache) -> Self {
        let lag = metrics::gauge!("finrank_features_lag_seconds");
        Self { store, cache, moment: Arc::new(watch::Sender::new(None)), lag, written: Arc::default() }
    }

    /// The moment.
    ///
    /// # Errors
    /// When it is not known yet and Postgres does not answer.
    pub(crate) async fn moment(&self) -> Result<DateTime<Utc>> {
        for _ in 0..TRIES {
            if let Some(moment) = *self.moment.borrow() {
                return Ok(moment);
            }
            self.advance().await?;
        }
        self.moment.borrow().ok_or(FeatureStoreError::NoHorizon)
    }

    /// Waits for it to be at a moment, or beyond.
    ///
    /// # Errors
    /// When a writer holds it before that for longer than anybody should wait.
    pub(crate) async fn reaches(&self, moment: DateTime<Utc>) -> Result<()> {
        let mut moved = self.moment.subscribe();
        let reached = moved.wait_for(|reached| reached.is_some_and(|reached| reached >= moment));
        match time::timeout(WAIT, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(FeatureStoreError::NoHorizon),
        }
    }

    /// Whether it is at a moment.
    pub(crate) fn is_at(&self, moment: DateTime<Utc>) -> bool {
        *self.moment.borrow() == Some(moment)
    }

    /// Moves it to now, or to where a writer holds it.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn advance(&self) -> Result<()> {
        let asked = Instant::now();
        let from = *self.moment.borrow();
        let reached = self.store.ask(|pool| reached(pool, from)).await?;
        let news = self.cache.news(&self.store, from, reached).await?;
        self.cache.turn(asked, news, || {
            self.moment.send_if_modified(|moment| {
                let moves = reached > *moment;
                if moves {
                    *moment = reached;
                }
                moves
            });
        });
        Ok(())
    }

    /// To be called by whoever has written something, which then can be read, and is computed from, at once. That it takes
    /// a moment longer is no reason to refuse what is written.
    pub(crate) async fn follow_write(&self) {
        let _ = self.advance().await;
        self.written.notify_one();
    }

    /// Returns once this server has written something.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    /// Moves it for ever.
    pub(crate) async fn follow(&self) {
        let mut lags = false;
        loop {
            // What keeps Postgres from answering is told by the health check.
            let answered = matches!(time::timeout(PATIENCE, self.advance()).await, Ok(Ok(())));
            let lag = self.moment.borrow().map(|moment| Utc::now() - moment);
            if let Some(lag) = lag {
                self.lag.set(lag.as_seconds_f64());
            }
            let lags_now = lag.is_some_and(|lag| lag > LAG_WORTH_TELLING);
            if answered && lags_now != lags {
                lags = lags_now;
                if lags {
                    warn!("features are served as of a while ago: a transaction that writes does not end");
                } else {
                    info!("features are fresh again");
                }
            }
            time::sleep(INTERVAL).await;
        }
    }
}

/// Up to when it may move, which is said to writers before it is looked for them. Unknown, and so left where it is, while
/// one of them is just between two transactions.
async fn reached(pool: PgPool, held: Option<DateTime<Utc>>) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select reach($1)", held).fetch_one(&pool).await
}
