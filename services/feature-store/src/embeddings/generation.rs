//! One whole refresh, as readers see it.

use chrono::{DateTime, Utc};
use finrank_contracts::{common, feature::v1};
use finrank_model::{Embedding, EmbeddingSpace, ModelVersion};
use finrank_serving::wire;
use finrank_store::Store;

use crate::{FeatureStoreError, Result, refresh::RunId};

/// A whole refresh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generation {
    pub(crate) run_id: RunId,
    pub(crate) model_version: ModelVersion,
    pub(crate) embedding_space: EmbeddingSpace,
    /// Components of each vector.
    pub(crate) dimension: usize,
    pub(crate) features_as_of: DateTime<Utc>,
}

/// A generation's columns, as each query selects them.
pub(crate) struct GenerationRow {
    pub(crate) run_id: i64,
    pub(crate) model_version: String,
    pub(crate) embedding_space: String,
    pub(crate) dimension: i32,
    pub(crate) features_as_of: DateTime<Utc>,
}

impl TryFrom<GenerationRow> for Generation {
    type Error = FeatureStoreError;

    fn try_from(row: GenerationRow) -> Result<Self> {
        Ok(Self {
            run_id: row.run_id.into(),
            model_version: ModelVersion::parse(row.model_version).map_err(FeatureStoreError::StoredRow)?,
            embedding_space: EmbeddingSpace::parse(row.embedding_space)
                .map_err(FeatureStoreError::StoredRow)?,
            dimension: row.dimension.unsigned_abs() as usize,
            features_as_of: row.features_as_of,
        })
    }
}

impl Generation {
    /// One of its embeddings.
    pub(crate) fn embedding_on_the_wire(
        &self,
        embedding: &Embedding,
        computed_at: DateTime<Utc>,
    ) -> common::v1::Embedding {
        common::v1::Embedding {
            values: embedding.as_slice().to_vec(),
            model_version: self.model_version.to_string(),
            embedding_space: self.embedding_space.to_string(),
            features_as_of: Some(wire::timestamp(self.features_as_of)),
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
        }
    }
}

/// Why there is no generation to read.
pub(super) async fn refusal(store: &Store, version: Option<&ModelVersion>) -> Result<FeatureStoreError> {
    let Some(version) = version else {
        return Ok(FeatureStoreError::NoGeneration);
    };
    let whole = sqlx::query_scalar!(
        "select model_version from refresh_runs where state = 'complete'
         group by model_version
         order by max(run_id) desc",
    )
    .fetch_all(store.pool())
    .await?;
    Ok(FeatureStoreError::NotWhole { version: version.clone(), whole })
}
