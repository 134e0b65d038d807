//! What was read lately, kept in memory for as long as it is right.
//!
//! Nothing here is believed for being young. The horizon moves in turns: each asks Postgres of whom something was
//! learned since the one before ([`News`]), forgets them, and only then lets the new horizon be seen, all under one
//! lock. What is kept is therefore right at the horizon that is seen, whichever server wrote, and what was read before
//! a turn is not kept after it. A server that has heard no news for a while asks Postgres again, as if it had no cache.

mod embeddings;
mod news;
mod rows;
mod shelf;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use chrono::{DateTime, Utc};
use finrank_store::Store;

use self::{
    embeddings::EmbeddingShelf,
    news::{Marks, News},
    rows::RowShelf,
};
use crate::{CacheConfig, Result};

/// Customers' and products' feature rows, and customers' embeddings. Clones share it.
#[derive(Clone)]
pub(crate) struct HotCache {
    config: CacheConfig,
    turn: Arc<RwLock<Turn>>,
    pub(crate) rows: Arc<RowShelf>,
    pub(crate) embeddings: Arc<EmbeddingShelf>,
}

/// How often something was forgotten, when last, and what had happened by then.
struct Turn {
    number: u64,
    heard: Option<Instant>,
    marks: Marks,
}

/// When a reading began: what it finds is kept if no turn has come since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

impl HotCache {
    /// Holds at most as much as is configured.
    pub(crate) fn new(config: CacheConfig) -> Self {
        let half = config.max_bytes / 2;
        Self {
            config,
            turn: Arc::new(RwLock::new(Turn { number: 0, heard: None, marks: Marks::default() })),
            rows: Arc::new(RowShelf::new(half)),
            embeddings: Arc::new(EmbeddingShelf::new(half)),
        }
    }

    /// What is to be forgotten before the horizon moves from one moment to another.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn news(
        &self,
        store: &Store,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<News> {
        if self.config.max_bytes == 0 {
            return Ok(News::default());
        }
        let marks = self.read(|turn| turn.marks.clone());
        News::read(store, from, to, marks).await
    }

    /// Takes a turn: forgets what is not right any more, and then lets the horizon be seen. What was learned after Postgres
    /// was `asked` is no part of the news, however long it took to tell.
    pub(crate) fn turn(&self, asked: Instant, news: News, let_it_be_seen: impl FnOnce()) {
        let mut turn = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        turn.number += 1;
        turn.heard = Some(asked);
        self.rows.forget(&news);
        self.embeddings.forget(&news);
        turn.marks = news.marks;
        let_it_be_seen();
    }

    /// To be drawn before Postgres is asked; nothing if what is kept may not be used, for want of news.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.read(|turn| {
            let heard = turn.heard.is_some_and(|heard| heard.elapsed() <= self.config.max_silence);
            (heard && self.config.max_bytes > 0).then_some(Ticket(turn.number))
        })
    }

    /// Keeps what was read, unless a turn has come since the ticket was drawn.
    pub(crate) fn keep(&self, ticket: Ticket, keep: impl FnOnce()) {
        self.read(|turn| {
            if turn.number == ticket.0 {
                keep();
            }
        });
    }

    fn read<T>(&self, look: impl FnOnce(&Turn) -> T) -> T {
        look(&self.turn.read().unwrap_or_else(PoisonError::into_inner))
    }
}
