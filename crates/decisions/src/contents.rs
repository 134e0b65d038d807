//! Contents: what decisions were made from and is nobody's own, such as policies and catalogues. Each is kept once, under its
//! SHA-256, by which records name it. It knows nothing of what they hold.

use std::collections::{HashMap, HashSet};

use finrank_model::Sha256Digest;
use finrank_store::Store;

use crate::{DecisionLogError, Result};

/// Contents that are written or read by one statement: some megabyte of products.
pub const AT_A_TIME: usize = 1_000;

/// Something to be kept.
#[derive(Clone, Debug)]
pub struct Content {
    kind: ContentKind,
    sha256: Sha256Digest,
    bytes: Vec<u8>,
}

/// What it is: for whoever looks at the table. Nothing is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// A policy's file.
    Policy,
    /// A selection file.
    Selection,
    /// A product with its embedding.
    Product,
    /// Which products stand beside each other in a catalogue.
    Page,
    /// A catalogue: its versions and pages.
    Catalogue,
    /// How popular the products of a catalogue were.
    Popularity,
}

/// Where contents are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Contents(Store);

impl Content {
    /// Of its bytes.
    pub fn new(kind: ContentKind, bytes: Vec<u8>) -> Self {
        Self { kind, sha256: Sha256Digest::of(&bytes), bytes }
    }

    /// By what it is named.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }
}

impl ContentKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Selection => "selection",
            Self::Product => "product",
            Self::Page => "page",
            Self::Catalogue => "catalogue",
            Self::Popularity => "popularity",
        }
    }
}

impl Contents {
    /// In the log's database.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Keeps what is not kept yet, all or nothing. What names others comes after them, so that whatever is there is whole.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub async fn keep(&self, contents: &[Content]) -> Result<()> {
        let kept = self.insert(contents).await;
        if kept.is_err() {
            metrics::counter!("finrank_decision_contents_failures_total").increment(1);
        }
        kept
    }

    async fn insert(&self, contents: &[Content]) -> Result<()> {
        let mut transaction = self.0.pool().begin().await?;
        for some in contents.chunks(AT_A_TIME) {
            let digests: Vec<&[u8]> =
                some.iter().map(|content| content.sha256.as_bytes().as_slice()).collect();
            let kinds: Vec<&str> = some.iter().map(|content| content.kind.as_str()).collect();
            let bytes: Vec<&[u8]> = some.iter().map(|content| content.bytes.as_slice()).collect();
            sqlx::query!(
                "insert into kept_contents (sha256, kind, content)
                 select * from unnest($1::bytea[], $2::text[], $3::bytea[]) on conflict do nothing",
                &digests as _,
                &kinds as _,
                &bytes as _,
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Which of some contents are not kept.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn missing(
        &self,
        digests: impl IntoIterator<Item = Sha256Digest>,
    ) -> Result<HashSet<Sha256Digest>> {
        let mut missing: HashSet<Sha256Digest> = digests.into_iter().collect();
        let wanted: Vec<Vec<u8>> = missing.iter().copied().map(bytes_of).collect();
        for some in wanted.chunks(10 * AT_A_TIME) {
            let kept = self
                .0
                .ask(|pool| async move {
                    sqlx::query_scalar!("select sha256 from kept_contents where sha256 = any($1)", some)
                        .fetch_all(&pool)
                        .await
                })
                .await?;
            for sha256 in kept {
                missing.remove(&digest_of(&sha256)?);
            }
        }
        Ok(missing)
    }

    /// Contents by their digests; those that are not kept are left out. At most [`AT_A_TIME`] at a time, please.
    ///
    /// # Errors
    /// [`DecisionLogError::ContentChanged`], or when Postgres does not answer.
    pub async fn get(&self, digests: &[Sha256Digest]) -> Result<HashMap<Sha256Digest, Vec<u8>>> {
        let wanted: Vec<Vec<u8>> = digests.iter().copied().map(bytes_of).collect();
        let wanted = wanted.as_slice();
        let rows = self
            .0
            .ask(|pool| async move {
                sqlx::query!("select sha256, content from kept_contents where sha256 = any($1)", wanted)
                    .fetch_all(&pool)
                    .await
            })
            .await?;
        let mut contents = HashMap::with_capacity(rows.len());
        for row in rows {
            let named = digest_of(&row.sha256)?;
            if Sha256Digest::of(&row.content) != named {
                return Err(DecisionLogError::ContentChanged(named));
            }
            contents.insert(named, row.content);
        }
        Ok(contents)
    }
}

fn bytes_of(digest: Sha256Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

fn digest_of(sha256: &[u8]) -> Result<Sha256Digest> {
    Sha256Digest::try_from(sha256).map_err(|_| DecisionLogError::ContentChanged(Sha256Digest::of(sha256)))
}
