//! What a training hid: a sample of fingerprints by which a held product is recognised as one that the model never saw.

use finrank_model::{InvalidField, ModelVersion};

use crate::{Result, Store, StoreError};

/// Records which pairs of customer and product a training hid; the first record of a version counts.
///
/// # Errors
/// When the version is not registered, or Postgres does not answer.
pub async fn record_holdout(store: &Store, version: &ModelVersion, fingerprints: &[u64]) -> Result<()> {
    let bytes: Vec<u8> = fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect();
    sqlx::query!(
        "insert into training_holdouts (model_version, fingerprints) values ($1, $2) on conflict do nothing",
        version.as_str(),
        bytes,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// The fingerprints that were recorded; none of versions that were trained before there were any.
///
/// # Errors
/// When Postgres does not answer.
pub async fn holdout(store: &Store, version: &ModelVersion) -> Result<Option<Vec<u64>>> {
    let stored = sqlx::query_scalar!(
        "select fingerprints from training_holdouts where model_version = $1",
        version.as_str(),
    )
    .fetch_optional(store.pool())
    .await?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let (fingerprints, rest) = stored.as_chunks::<8>();
    if !rest.is_empty() {
        let source = InvalidField::new("fingerprints", "is no whole number of fingerprints");
        return Err(StoreError::StoredRow { table: "training_holdouts", source });
    }
    Ok(Some(fingerprints.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect()))
}
