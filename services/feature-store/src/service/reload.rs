//! ReloadFeatureDefinitions.

use finrank_contracts::feature::v1;
use finrank_model::features;
use finrank_serving::wire;

use crate::{
    Result,
    features::{InForce, Registry, Reloaded},
};

pub(super) async fn reload(registry: &Registry) -> Result<v1::ReloadFeatureDefinitionsResponse> {
    let Reloaded { in_force: InForce { declared, since }, before } = registry.reload().await?;
    let changes = features::diff(&before.definitions, &declared.definitions);
    Ok(v1::ReloadFeatureDefinitionsResponse {
        definitions_sha256: declared.definitions.digest.to_string(),
        previous_sha256: before.definitions.digest.to_string(),
        in_force_from: Some(wire::timestamp(since)),
        changes: changes.iter().map(ToString::to_string).collect(),
    })
}
