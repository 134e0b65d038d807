//! Embeddings by id: one answer per id, in the order asked, from one statement and so from one generation.

use chrono::{DateTime, Utc};
use finrank_model::{Embedding, ModelVersion, ProductId, UserId};
use finrank_store::Store;

use super::generation::{Generation, GenerationRow, refusal};
use crate::{FeatureStoreError, Result};

/// What was found in one generation.
pub(crate) struct Found {
    pub(crate) generation: Generation,
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
    Present {
        embedding: Embedding,
        computed_at: DateTime<Utc>,
    },
    /// Never written.
    UnknownEntity,
    /// Written after the generation was computed.
    NotMaterialised,
}

struct Row {
    run_id: i64,
    model_version: String,
    embedding_space: String,
    dimension: i32,
    features_as_of: DateTime<Utc>,
    id: String,
    known: bool,
    vector: Option<Vec<u8>>,
    computed_at: Option<DateTime<Utc>>,
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
    let rows = sqlx::query_as!(
        Row,
        r#"with generation as (
               select r.run_id, r.model_version, m.embedding_space, r.features_as_of,
                      (m.manifest ->> 'dimension')::integer as dimension
               from refresh_runs r join model_versions m using (model_version)
               where r.state = 'complete' and r.model_version = coalesce($2, r.model_version)
               order by r.run_id desc
               limit 1
           )
           select g.run_id as "run_id!", g.model_version as "model_version!",
                  g.embedding_space as "embedding_space!", g.dimension as "dimension!",
                  g.features_as_of as "features_as_of!",
                  asked.id as "id!", c.user_id is not null as "known!",
                  e.vector as "vector?", e.computed_at as "computed_at?"
           from generation g
           cross join unnest($1::text[]) with ordinality as asked (id, place)
           left join customers c on c.user_id = asked.id
           left join user_embeddings e on e.user_id = asked.id and e.run_id = g.run_id
           order by asked.place"#,
        &asked as _,
        version.map(ModelVersion::as_str),
    )
    .fetch_all(store.pool())
    .await?;
    match found(rows)? {
        Some(found) => Ok(found),
        None => Err(refusal(store, version).await?),
    }
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
    let rows = sqlx::query_as!(
        Row,
        r#"with generation as (
               select r.run_id, r.model_version, m.embedding_space, r.features_as_of,
                      (m.manifest ->> 'dimension')::integer as dimension
               from refresh_runs r join model_versions m using (model_version)
               where r.state = 'complete' and r.model_version = coalesce($2, r.model_version)
               order by r.run_id desc
               limit 1
           )
           select g.run_id as "run_id!", g.model_version as "model_version!",
                  g.embedding_space as "embedding_space!", g.dimension as "dimension!",
                  g.features_as_of as "features_as_of!",
                  asked.id as "id!", p.product_id is not null as "known!",
                  e.vector as "vector?", e.computed_at as "computed_at?"
           from generation g
           cross join unnest($1::text[]) with ordinality as asked (id, place)
           left join products p on p.product_id = asked.id
           left join product_embeddings e on e.product_id = asked.id and e.run_id = g.run_id
           order by asked.place"#,
        &asked as _,
        version.map(ModelVersion::as_str),
    )
    .fetch_all(store.pool())
    .await?;
    match found(rows)? {
        Some(found) => Ok(found),
        None => Err(refusal(store, version).await?),
    }
}

/// The generation stands in every row; without one there are no rows.
fn found(rows: Vec<Row>) -> Result<Option<Found>> {
    let mut generation = None;
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        let generation = match &generation {
            Some(generation) => generation,
            None => generation.insert(Generation::try_from(GenerationRow {
                run_id: row.run_id,
                model_version: row.model_version,
                embedding_space: row.embedding_space,
                dimension: row.dimension,
                features_as_of: row.features_as_of,
            })?),
        };
        let lookup = match (row.vector, row.computed_at) {
            (Some(vector), Some(computed_at)) => Lookup::Present {
                embedding: Embedding::from_le_bytes(&vector, generation.dimension)
                    .map_err(FeatureStoreError::StoredVector)?,
                computed_at,
            },
            _ if row.known => Lookup::NotMaterialised,
            _ => Lookup::UnknownEntity,
        };
        answers.push(Answer { id: row.id, lookup });
    }
    Ok(generation.map(|generation| Found { generation, answers }))
}
