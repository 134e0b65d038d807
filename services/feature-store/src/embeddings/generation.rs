//! One whole refresh, as readers see it.

use chrono::{DateTime, Utc};
use finrank_contracts::{common, feature::v1};
use finrank_model::{Embedding, EmbeddingSpace, ModelVersion, Sha256Digest};
use finrank_serving::wire;
use finrank_store::{Store, models};
use sqlx::PgConnection;

use crate::{FeatureStoreError, Result, refresh::RunId};

/// A whole refresh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generation {
    pub(crate) run_id: RunId,
    pub(crate) model_version: ModelVersion,
    pub(crate) embedding_space: EmbeddingSpace,
    /// The SHA-256 of the bundle that computed it.
    pub(crate) bundle: Sha256Digest,
    /// The runs that it is made of: of each id the newest row counts.
    pub(crate) runs: Vec<i64>,
    /// Components of each vector.
    pub(crate) dimension: usize,
    pub(crate) features_as_of: DateTime<Utc>,
    /// What was learned before is in it; absent if that is not known.
    pub(crate) known_at: Option<DateTime<Utc>>,
}

/// Columns of the view `generations`.
pub(super) struct GenerationRow {
    pub(super) run_id: i64,
    pub(super) model_version: String,
    pub(super) embedding_space: String,
    pub(super) bundle_sha256: String,
    pub(super) runs: Vec<i64>,
    pub(super) dimension: i32,
    pub(super) features_as_of: DateTime<Utc>,
    pub(super) known_at: Option<DateTime<Utc>>,
}

impl TryFrom<GenerationRow> for Generation {
    type Error = FeatureStoreError;

    fn try_from(row: GenerationRow) -> Result<Self> {
        Ok(Self {
            run_id: row.run_id.into(),
            model_version: ModelVersion::parse(row.model_version).map_err(FeatureStoreError::StoredRow)?,
            embedding_space: EmbeddingSpace::parse(row.embedding_space)
                .map_err(FeatureStoreError::StoredRow)?,
            bundle: Sha256Digest::parse(&row.bundle_sha256).map_err(FeatureStoreError::StoredRow)?,
            runs: row.runs,
            dimension: row.dimension.unsigned_abs() as usize,
            features_as_of: row.features_as_of,
            known_at: row.known_at,
        })
    }
}

impl Generation {
    /// An embedding of its model version: one of its own, or a live one.
    pub(crate) fn embedding_on_the_wire(
        &self,
        embedding: &Embedding,
        features_as_of: DateTime<Utc>,
        computed_at: DateTime<Utc>,
    ) -> common::v1::Embedding {
        common::v1::Embedding {
            values: embedding.as_slice().to_vec(),
            model_version: self.model_version.to_string(),
            embedding_space: self.embedding_space.to_string(),
            features_as_of: Some(wire::timestamp(features_as_of)),
            computed_at: Some(wire::timestamp(computed_at)),
        }
    }
}

impl From<&Generation> for v1::Generation {
    fn from(generation: &Generation) -> Self {
        Self {
            run_id: generation.run_id.get(),
            model_version: generation.model_version.to_string(),
            embedding_space: generation.embedding_space.to_string(),
            dimension: generation.dimension as u32,
            features_as_of: Some(wire::timestamp(generation.features_as_of)),
            bundle_sha256: generation.bundle.to_string(),
        }
    }
}

/// The newest generation of one model version, or of the one that is served: the promoted one, and before the first
/// promotion whichever has the newest.
pub(crate) async fn newest_generation(
    view: &mut PgConnection,
    version: Option<&ModelVersion>,
) -> Result<Option<Generation>> {
    let row = sqlx::query_as!(
        GenerationRow,
        r#"select run_id as "run_id!", model_version as "model_version!",
                  embedding_space as "embedding_space!", bundle_sha256 as "bundle_sha256!", runs as "runs!",
                  dimension as "dimension!", features_as_of as "features_as_of!", known_at
           from generations
           where model_version = coalesce($1, serving_version(), model_version)
           order by run_id desc
           limit 1"#,
        version.map(ModelVersion::as_str),
    )
    .fetch_optional(view)
    .await?;
    row.map(Generation::try_from).transpose()
}

/// Why there is no generation to read.
pub(super) async fn refusal(store: &Store, version: Option<&ModelVersion>) -> Result<FeatureStoreError> {
    let serving = match version {
        None => models::serving(store).await?,
        Some(_) => None,
    };
    let Some(version) = version.or(serving.as_ref()) else {
        return Ok(FeatureStoreError::NoGeneration);
    };
    let whole = sqlx::query_scalar!(
        r#"select model_version as "model_version!" from generations
           group by model_version
           order by max(run_id) desc"#,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(FeatureStoreError::NotWhole { version: version.clone(), whole })
}
