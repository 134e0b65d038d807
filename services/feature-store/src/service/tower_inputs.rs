//! BatchGetTowerInputs.

use finrank_contracts::feature::v1;
use finrank_model::{InvalidField, UserId, features::Definitions};
use finrank_serving::wire;

use super::{FeatureStoreService, optional_version, read::parse_at_most};
use crate::{
    Result,
    embeddings::{Moment, moments_of},
    tower_inputs::{Input, Inputs},
};

/// The most customers of one request: with 512 attributes each, an answer of some megabytes.
const MAX_CUSTOMERS: usize = 100;

/// What the tower of the embeddings that are served has read.
pub(super) async fn tower_inputs(
    service: &FeatureStoreService,
    request: v1::BatchGetTowerInputsRequest,
) -> Result<v1::BatchGetTowerInputsResponse> {
    let FeatureStoreService { store, towers, registry, .. } = service;
    let version = optional_version(&request.model_version)?;
    let ids = parse_at_most(MAX_CUSTOMERS, "user_ids", &request.user_ids, |raw| UserId::parse(raw))?;
    let definitions = registry.in_force().await?.declared.definitions.clone();
    check_purpose(&definitions, &request.purpose)?;
    let moments = moments_of(store, &ids, version.as_ref()).await?;
    let reading = towers.reading(store, &moments.model_version, &definitions).await?;
    let fed = reading.read(store, &ids, &moments).await?;
    let results = ids.iter().zip(&moments.moments).map(|(id, moment)| {
        let (status, inputs) = match (moment, fed.get(id)) {
            (Moment::Of(moment), Some(fed)) => {
                let message =
                    v1::TowerInputs { features_as_of: Some(wire::timestamp(*moment)), ..inputs_to_wire(fed) };
                (v1::TowerInputsStatus::Present, Some(message))
            }
            (Moment::NotMaterialised, _) => (v1::TowerInputsStatus::NotMaterialised, None),
            // Or taken back between the two readings.
            (Moment::UnknownEntity | Moment::Of(_), _) => (v1::TowerInputsStatus::UnknownEntity, None),
        };
        v1::TowerInputsResult { user_id: id.to_string(), status: status.into(), inputs }
    });
    let inputs = reading.inputs(&definitions, &request.purpose).into_iter();
    Ok(v1::BatchGetTowerInputsResponse {
        results: results.collect(),
        inputs: inputs
            .map(|Input { name, protected, denied }| v1::TowerInput { name, protected, denied })
            .collect(),
        model_version: moments.model_version.to_string(),
        generation: moments.run_id.get(),
        definitions_sha256: definitions.digest.to_string(),
    })
}

fn check_purpose(definitions: &Definitions, purpose: &str) -> Result<(), InvalidField> {
    if definitions.purposes.contains_key(purpose) {
        return Ok(());
    }
    let declared: Vec<&str> = definitions.purposes.keys().map(String::as_str).collect();
    let reason = format!("is {purpose:?}; declared are {}", declared.join(", "));
    Err(InvalidField::new("purpose", reason))
}

fn inputs_to_wire(inputs: &Inputs) -> v1::TowerInputs {
    let feature = |value: &Option<_>| value.as_ref().map(wire::attribute_to_wire).unwrap_or_default();
    v1::TowerInputs {
        attributes: wire::attributes_to_wire(&inputs.attributes),
        held_product_ids: inputs.held.iter().map(ToString::to_string).collect(),
        features: inputs.features.iter().map(feature).collect(),
        features_as_of: None,
    }
}
