//! How far a client has come, and whether changes lead on from there.
//!
//! A snapshot and what follows it show every product as it was said to be before one moment, with an embedding that
//! knows what was learned before another one, the model version's watermark: the two differ where live embeddings lag
//! behind or are not computed. Whatever was learned since either is what the client is still to be sent, and it can be
//! found for ever, because statements are never removed: a product that was taken back has a statement that says so.
//!
//! A newer generation of the same model version brings nothing else. Its vectors are those of the same towers, held to
//! the same digest, on the same statements, however the refresh was asked for: what it knows more was learned since,
//! and erasures of customers touch no product. So what changes do not lead on from is another model version; another
//! database; and this one in an earlier state than the client has seen, since what it was sent was then never learned.

use chrono::{DateTime, TimeDelta, Utc};
use finrank_contracts::feature::v1::SnapshotReason;
use finrank_model::{ModelVersion, Sha256Digest};
use sqlx::PgConnection;

use crate::{
    Result,
    embeddings::{Generation, newest_generation},
    refresh::RunId,
};

/// What a client has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) database: String,
    pub(super) model_version: ModelVersion,
    /// The SHA-256 of the model version's bundle.
    pub(super) bundle: Sha256Digest,
    /// The generation that the client was told of last.
    pub(super) run_id: RunId,
    /// Products are as they were said to be before this moment.
    pub(super) products_until: DateTime<Utc>,
    /// Embeddings know what was learned before this moment, which is never later.
    pub(super) embeddings_until: DateTime<Utc>,
}

/// What there is to be sent.
pub(super) struct Current {
    pub(super) generation: Generation,
    /// Where a client is to whom all of it was sent.
    pub(super) position: Position,
    now: DateTime<Utc>,
}

impl Current {
    /// Reads it, unless there is no generation. `horizon` must be from before the view began.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(super) async fn read(
        view: &mut PgConnection,
        version: Option<&ModelVersion>,
        horizon: DateTime<Utc>,
    ) -> Result<Option<Self>> {
        let Some(generation) = newest_generation(view, version).await? else {
            return Ok(None);
        };
        // A cluster's identifier tells it from others, and the timeline from what it was before it was restored or a
        // standby took over.
        let row = sqlx::query!(
            r#"select concat_ws(
                          '/', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8),
                          (select oid from pg_database where datname = current_database())
                      ) as "database!",
                      statement_timestamp() as "now!",
                      (select known_at from live_watermarks where model_version = $1) as watermark
               from pg_control_system()"#,
            generation.model_version.as_str(),
        )
        .fetch_one(view)
        .await?;
        // Of a generation that does not say what it knows, everything may have changed since.
        let embeddings_until = row.watermark.max(generation.known_at).unwrap_or(DateTime::UNIX_EPOCH);
        let position = Position {
            database: row.database,
            model_version: generation.model_version.clone(),
            bundle: generation.bundle,
            run_id: generation.run_id,
            // A watermark is a moment that some server's horizon has passed.
            products_until: horizon.max(embeddings_until),
            embeddings_until,
        };
        Ok(Some(Self { generation, position, now: row.now }))
    }

    /// Why changes do not lead here from a position, if they do not.
    pub(super) fn cannot_follow(&self, held: &Position, resume_limit: TimeDelta) -> Option<SnapshotReason> {
        if held.database != self.position.database || held.products_until > self.now {
            return Some(SnapshotReason::TokenFromElsewhere);
        }
        if held.model_version != self.position.model_version || held.bundle != self.position.bundle {
            return Some(SnapshotReason::ModelVersionChanged);
        }
        if self.now - held.products_until > resume_limit {
            return Some(SnapshotReason::TokenTooOld);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use finrank_model::EmbeddingSpace;

    use super::*;

    fn moment(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn position() -> Position {
        Position {
            database: "here".to_owned(),
            model_version: ModelVersion::parse("m1").unwrap(),
            bundle: Sha256Digest::parse(&"ab".repeat(32)).unwrap(),
            run_id: 7.into(),
            products_until: moment(1000),
            embeddings_until: moment(990),
        }
    }

    /// A minute after `position`, one generation later.
    fn current() -> Current {
        let position = Position { run_id: 8.into(), products_until: moment(1060), ..position() };
        let generation = Generation {
            run_id: 8.into(),
            model_version: position.model_version.clone(),
            embedding_space: EmbeddingSpace::parse("s1").unwrap(),
            bundle: position.bundle,
            runs: vec![8],
            dimension: 64,
            features_as_of: moment(1050),
            known_at: Some(moment(1040)),
        };
        Current { generation, position, now: moment(1061) }
    }

    fn why_not(held: &Position, resume_limit: TimeDelta) -> Option<SnapshotReason> {
        current().cannot_follow(held, resume_limit)
    }

    #[test]
    fn changes_lead_on_from_a_position_of_the_same_model_whatever_its_generation() {
        assert_eq!(why_not(&position(), TimeDelta::minutes(2)), None);
        assert_eq!(why_not(&current().position, TimeDelta::minutes(2)), None);
    }

    #[test]
    fn each_reason_for_a_snapshot_is_told() {
        let database = Position { database: "there".to_owned(), ..position() };
        // What this database has learned since was learned instead of what the client has seen.
        let undone = Position { products_until: moment(1062), ..position() };
        let version = Position { model_version: ModelVersion::parse("m2").unwrap(), ..position() };
        let bundle = Position { bundle: Sha256Digest::parse(&"cd".repeat(32)).unwrap(), ..position() };
        let limit = TimeDelta::minutes(2);

        assert_eq!(why_not(&database, limit), Some(SnapshotReason::TokenFromElsewhere));
        assert_eq!(why_not(&undone, limit), Some(SnapshotReason::TokenFromElsewhere));
        assert_eq!(why_not(&version, limit), Some(SnapshotReason::ModelVersionChanged));
        assert_eq!(why_not(&bundle, limit), Some(SnapshotReason::ModelVersionChanged));
        assert_eq!(why_not(&position(), TimeDelta::seconds(60)), Some(SnapshotReason::TokenTooOld));
    }
}
