//! Live rows into their tables.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use finrank_model::{Embedding, ModelVersion};
use sqlx::PgConnection;

use crate::Result;

/// What a step makes of those who have changed.
pub(super) struct Rows<'a> {
    ids: Vec<&'a str>,
    vectors: Vec<Vec<u8>>,
    /// Of these everything was taken back.
    gone: Vec<&'a str>,
}

impl<'a> Rows<'a> {
    /// Of those who have `changed`, the ones who are still `known`, in the order of their embeddings.
    pub(super) fn new<Id: AsRef<str> + 'a>(
        changed: &'a [Id],
        known: impl Iterator<Item = &'a Id>,
        embeddings: &[Embedding],
    ) -> Self {
        let ids: Vec<&str> = known.map(AsRef::as_ref).collect();
        let known: HashSet<&str> = ids.iter().copied().collect();
        let gone = changed.iter().map(AsRef::as_ref).filter(|id| !known.contains(id)).collect();
        Self { ids, vectors: embeddings.iter().map(Embedding::to_le_bytes).collect(), gone }
    }
}

/// One function for users and one for products, since a table's name cannot be a parameter. A row that knows more is
/// never replaced by one that knows less.
macro_rules! write_into {
    ($name:ident, $table:literal, $key:literal) => {
        /// Writes rows that know all that was learned before `known_at`.
        ///
        /// # Errors
        /// When Postgres does not answer.
        pub(super) async fn $name(
            transaction: &mut PgConnection,
            version: &ModelVersion,
            known_at: DateTime<Utc>,
            rows: &Rows<'_>,
        ) -> Result<()> {
            sqlx::query!(
                "insert into " + $table + " as live (" + $key + ", model_version, vector, computed_at, known_at)
                 select id, $1, vector, clock_timestamp(), $2
                 from unnest($3::text[], $4::bytea[]) as computed (id, vector)
                 on conflict (" + $key + ", model_version) do update
                 set vector = excluded.vector, computed_at = excluded.computed_at, known_at = excluded.known_at
                 where live.known_at < excluded.known_at",
                version.as_str(),
                known_at,
                &rows.ids as _,
                &rows.vectors as _,
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                "delete from " + $table + " where model_version = $1 and " + $key + " = any($2)",
                version.as_str(),
                &rows.gone as _,
            )
            .execute(&mut *transaction)
            .await?;
            Ok(())
        }
    };
}

write_into!(write_users, "live_user_embeddings", "user_id");
write_into!(write_products, "live_product_embeddings", "product_id");
