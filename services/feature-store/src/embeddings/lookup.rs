//! Embeddings by id: one answer per id, in the order asked, from one statement and so from one generation and the live
//! rows that know more than it does.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_model::{Embedding, ModelVersion, ProductId, UserId};
use finrank_store::Store;

use super::generation::{Generation, GenerationRow, refusal};
use crate::{FeatureStoreError, Result};

/// What was found in one generation.
pub(crate) struct Found {
    pub(crate) generation: Arc<Generation>,
    /// One per id asked for.
    pub(crate) answers: Vec<Answer>,
}

/// The answer to one id.
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) lookup: Lookup,
}

/// Whether an embedding is there.
pub(crate) enum Lookup {
    Present(PresentEmbedding),
    /// Never written, or taken back.
    UnknownEntity,
    /// Written after the generation was computed, and not live yet.
    NotMaterialised,
}

/// An embedding, of a generation or live.
#[derive(Clone, Debug)]
pub(crate) struct PresentEmbedding {
    pub(crate) embedding: Arc<Embedding>,
    pub(crate) features_as_of: DateTime<Utc>,
    pub(crate) computed_at: DateTime<Utc>,
}

struct Row {
    run_id: i64,
    model_version: String,
    embedding_space: String,
    bundle_sha256: String,
    runs: Vec<i64>,
    dimension: i32,
    features_as_of: DateTime<Utc>,
    known_at: Option<DateTime<Utc>>,
    id: String,
    known: bool,
    vector: Option<Vec<u8>>,
    computed_at: Option<DateTime<Utc>>,
    live: bool,
}

/// One statement for users and for products, since a table's name cannot be a parameter. Who is known is asked id by id
/// (`limit 1`): joined as a whole, the view of all who are would be read to its end.
macro_rules! lookup_in {
    ($entities:literal, $key:literal, $embeddings:literal, $live:literal, $asked:expr, $version:expr) => {
        sqlx::query_as!(
            Row,
            "with generation as (
                 select * from generations
                 where model_version = coalesce($2, serving_version(), model_version)
                 order by run_id desc
                 limit 1
             )
             select g.run_id as \"run_id!\", g.model_version as \"model_version!\",
                    g.embedding_space as \"embedding_space!\", g.bundle_sha256 as \"bundle_sha256!\",
                    g.runs as \"runs!\", g.dimension as \"dimension!\", g.features_as_of as \"features_as_of!\",
                    g.known_at,
                    asked.id as \"id!\",
                    entity.known is not null as \"known!\",
                    coalesce(live.vector, e.vector) as \"vector?\",
                    coalesce(live.computed_at, e.computed_at) as \"computed_at?\", live.vector is not null as \"live!\"
             from generation g
             cross join unnest($1::text[]) with ordinality as asked (id, place)
             left join lateral (select true as known from "
                + $entities
                + " where "
                + $key
                + " = asked.id limit 1) entity on true
             left join "
                + $live
                + " live on live."
                + $key
                + " = asked.id and live.model_version = g.model_version and live.known_at > g.known_at
             left join lateral (
                 select vector, computed_at from "
                + $embeddings
                + " where "
                + $key
                + " = asked.id and run_id = any(g.runs) and live.vector is null
                 order by run_id desc
                 limit 1
             ) e on true
             order by asked.place",
            $asked as _,
            $version,
        )
    };
}

/// Users' embeddings of a model version, of the one that is served if none is named.
///
/// # Errors
/// When there is no whole generation to read.
pub(crate) async fn lookup_users(
    store: &Store,
    ids: &[UserId],
    version: Option<&ModelVersion>,
) -> Result<Found> {
    let asked: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let version_name = version.map(ModelVersion::as_str);
    let query =
        lookup_in!("customers", "user_id", "user_embeddings", "live_user_embeddings", &asked, version_name);
    found(query.fetch_all(store.pool()).await?, store, version).await
}

/// Products' embeddings, with the semantics of [`lookup_users`].
///
/// # Errors
/// When there is no whole generation to read.
pub(crate) async fn lookup_products(
    store: &Store,
    ids: &[ProductId],
    version: Option<&ModelVersion>,
) -> Result<Found> {
    let asked: Vec<&str> = ids.iter().map(ProductId::as_str).collect();
    let version_name = version.map(ModelVersion::as_str);
    let query = lookup_in!(
        "products",
        "product_id",
        "product_embeddings",
        "live_product_embeddings",
        &asked,
        version_name
    );
    found(query.fetch_all(store.pool()).await?, store, version).await
}

/// The generation stands in every row; without one there are no rows.
async fn found(rows: Vec<Row>, store: &Store, version: Option<&ModelVersion>) -> Result<Found> {
    let mut generation = None;
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        let generation = match &generation {
            Some(generation) => generation,
            None => generation.insert(Generation::try_from(GenerationRow {
                run_id: row.run_id,
                model_version: row.model_version,
                embedding_space: row.embedding_space,
                bundle_sha256: row.bundle_sha256,
                runs: row.runs,
                dimension: row.dimension,
                features_as_of: row.features_as_of,
                known_at: row.known_at,
            })?),
        };
        let lookup = match (row.vector, row.computed_at) {
            // Of whom every statement was taken back an older embedding may be left.
            _ if !row.known => Lookup::UnknownEntity,
            (Some(vector), Some(computed_at)) => {
                let embedding = Embedding::from_le_bytes(&vector, generation.dimension)
                    .map_err(FeatureStoreError::StoredVector)?
                    .into();
                // The tower ran after its features were read.
                let features_as_of = if row.live { computed_at } else { generation.features_as_of };
                Lookup::Present(PresentEmbedding { embedding, features_as_of, computed_at })
            }
            _ => Lookup::NotMaterialised,
        };
        answers.push(Answer { id: row.id, lookup });
    }
    match generation {
        Some(generation) => Ok(Found { generation: generation.into(), answers }),
        None => Err(refusal(store, version).await?),
    }
}
