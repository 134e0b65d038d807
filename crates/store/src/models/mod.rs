//! The registry of model versions: which bundles there are, what each must hash to, what its gates said, which one
//! is served, and which others are beside it.

mod checks;
mod holdouts;
mod promotions;
mod standing;
mod traffic;
mod waivers;

use chrono::{DateTime, Utc};
use finrank_model::{EmbeddingSpace, ModelVersion};
use serde_json::Value;

pub use self::{
    checks::{GateCheck, GateResult, NewCheck, Verdict, checks_of, newest_check, record_check},
    holdouts::{holdout, record_holdout},
    promotions::{
        Action, Promotion, PromotionRequest, newest_promotion_of, promote, promotions, roll_back,
        rollback_target,
    },
    traffic::{Traffic, TrafficRequest, set_traffic, traffic},
    waivers::{NewWaiver, Waiver, grant, waivers_of},
};
use crate::{Result, Store, StoreError};

/// A model version as registered.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisteredModel {
    /// Names it.
    pub model_version: ModelVersion,
    /// The space of its embeddings.
    pub embedding_space: EmbeddingSpace,
    /// Where training wrote the bundle.
    pub bundle_path: String,
    /// SHA-256 of the bundle's manifest, in hex.
    pub bundle_sha256: String,
    /// The manifest.
    pub manifest: Value,
    /// When it was registered; ignored on registration.
    pub registered_at: DateTime<Utc>,
}

/// Registers a model version. Registering the same bundle again changes nothing.
///
/// # Errors
/// [`StoreError::AnotherBundle`] when the version is registered with another bundle.
pub async fn register(store: &Store, model: &RegisteredModel) -> Result<()> {
    sqlx::query!(
        "insert into model_versions (model_version, embedding_space, bundle_path, bundle_sha256, manifest)
         values ($1, $2, $3, $4, $5)
         on conflict (model_version) do nothing",
        model.model_version.as_str(),
        model.embedding_space.as_str(),
        model.bundle_path,
        model.bundle_sha256,
        model.manifest,
    )
    .execute(store.pool())
    .await?;
    match get(store, &model.model_version).await? {
        Some(registered) if registered.bundle_sha256 != model.bundle_sha256 => {
            Err(StoreError::AnotherBundle {
                model_version: model.model_version.to_string(),
                registered: registered.bundle_sha256,
                offered: model.bundle_sha256.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// One model version, if it is registered.
///
/// # Errors
/// When Postgres does not answer.
pub async fn get(store: &Store, version: &ModelVersion) -> Result<Option<RegisteredModel>> {
    let row = sqlx::query_as!(
        ModelRow,
        "select model_version, embedding_space, bundle_path, bundle_sha256, manifest, registered_at
         from model_versions
         where model_version = $1",
        version.as_str(),
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(ModelRow::parse).transpose()
}

/// The model version that was registered last, if there is any.
///
/// # Errors
/// When Postgres does not answer.
pub async fn newest(store: &Store) -> Result<Option<RegisteredModel>> {
    let row = sqlx::query_as!(
        ModelRow,
        "select model_version, embedding_space, bundle_path, bundle_sha256, manifest, registered_at
         from model_versions
         order by registered_at desc, model_version desc
         limit 1",
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(ModelRow::parse).transpose()
}

/// Every registered model version, the newest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(store: &Store) -> Result<Vec<RegisteredModel>> {
    let rows = sqlx::query_as!(
        ModelRow,
        "select model_version, embedding_space, bundle_path, bundle_sha256, manifest, registered_at
         from model_versions
         order by registered_at desc, model_version desc",
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(ModelRow::parse).collect()
}

/// The model version that is served; none before the first promotion, when the newest generation is.
///
/// # Errors
/// When Postgres does not answer.
pub async fn serving(store: &Store) -> Result<Option<ModelVersion>> {
    let version = sqlx::query_scalar!("select serving_version()").fetch_one(store.pool()).await?;
    version.map(parse_version).transpose()
}

/// The model version that is meant where none is named: the one that is served, and before the first promotion the
/// newest.
///
/// # Errors
/// When Postgres does not answer.
pub async fn serving_or_newest(store: &Store) -> Result<Option<RegisteredModel>> {
    match serving(store).await? {
        Some(version) => get(store, &version).await,
        None => newest(store).await,
    }
}

fn parse_version(stored: String) -> Result<ModelVersion> {
    ModelVersion::parse(stored).map_err(|source| StoreError::StoredRow { table: "model_versions", source })
}

struct ModelRow {
    model_version: String,
    embedding_space: String,
    bundle_path: String,
    bundle_sha256: String,
    manifest: Value,
    registered_at: DateTime<Utc>,
}

impl ModelRow {
    fn parse(self) -> Result<RegisteredModel> {
        let invalid = |source| StoreError::StoredRow { table: "model_versions", source };
        Ok(RegisteredModel {
            model_version: ModelVersion::parse(self.model_version).map_err(invalid)?,
            embedding_space: EmbeddingSpace::parse(self.embedding_space).map_err(invalid)?,
            bundle_path: self.bundle_path,
            bundle_sha256: self.bundle_sha256,
            manifest: self.manifest,
            registered_at: self.registered_at,
        })
    }
}
