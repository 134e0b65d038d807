//! GetOnlineFeatures of both of Feast's services.

use finrank_contracts::{
    feast::serving::{self, get_online_features_request::Kind},
    feast::types::{RepeatedValue, value::Val},
    feature::v1,
};
use finrank_model::{
    InvalidField,
    features::{Definitions, Entity, FeatureRef},
};
use tonic::{Request, metadata::MetadataMap};

use super::{Feast, columns, values};
use crate::{FeatureStoreError, Result};

/// The key of a purpose in `request_context`.
const PURPOSE: &str = "purpose";
/// The name of a purpose in the metadata.
const PURPOSE_METADATA: &str = "finrank-purpose";
/// The setting of a purpose.
pub(super) const PURPOSE_SETTING: &str = "feature_store.feast.purpose";
/// Where a purpose is looked for first, and so where it is missed.
const PURPOSE_FIELD: &str = "request_context[purpose]";

/// What a request asks for, in our words, and where it stands in Feast's.
struct Asked {
    request: v1::GetOnlineFeaturesRequest,
    join_key: &'static str,
    purpose_field: &'static str,
}

/// Values as they are now, in columns.
pub(super) async fn features(
    feast: &Feast,
    request: Request<serving::GetOnlineFeaturesRequest>,
) -> Result<serving::GetOnlineFeaturesResponse> {
    let (metadata, _, mut request) = request.into_parts();
    let asked = asked(feast, &metadata, &request)?;
    let purpose = asked.purpose().to_owned();
    let (join_key, purpose_field) = (asked.join_key, asked.purpose_field);
    let answer = feast.service.online_features(asked.request).await;
    let answer = answer.map_err(|error| in_feasts_words(error, join_key, purpose_field))?;
    let header = answer.header.unwrap_or_default();
    if !header.denials.is_empty() {
        return Err(FeatureStoreError::Denied { purpose, denials: header.denials });
    }
    let ids = request.entities.remove(join_key).unwrap_or_default().val;
    let names = columns::Names { join_key, full: request.full_feature_names };
    let mut response = columns::response(&names, ids, &header.features, answer.rows)?;
    if request.include_feature_view_version_metadata {
        columns::name_views(&mut response, &header.features);
    }
    Ok(response)
}

fn asked(
    feast: &Feast,
    metadata: &MetadataMap,
    request: &serving::GetOnlineFeaturesRequest,
) -> Result<Asked, InvalidField> {
    let (purpose, purpose_field) = purpose(feast, metadata, request)?;
    let mut selection = v1::FeatureSelection { purpose, ..v1::FeatureSelection::default() };
    match &request.kind {
        Some(Kind::Features(features)) => selection.features.clone_from(&features.val),
        Some(Kind::FeatureService(name)) => selection.feature_service.clone_from(name),
        None => return Err(InvalidField::new("features", "is missing, and so is feature_service")),
    }
    let join_key = join_key(&feast.service.registry.declared().definitions, &selection);
    let entity_ids = entity_ids(request, join_key)?;
    let request = v1::GetOnlineFeaturesRequest { selection: Some(selection), entity_ids };
    Ok(Asked { request, join_key, purpose_field })
}

impl Asked {
    fn purpose(&self) -> &str {
        self.request.selection.as_ref().map_or("", |selection| &selection.purpose)
    }
}

/// What the values are for, and where that is said.
fn purpose(
    feast: &Feast,
    metadata: &MetadataMap,
    request: &serving::GetOnlineFeaturesRequest,
) -> Result<(String, &'static str), InvalidField> {
    if let Some(other) = request.request_context.keys().find(|key| *key != PURPOSE) {
        let reason = "is not read: features are not transformed on demand";
        return Err(InvalidField::new(format!("request_context[{other}]"), reason));
    }
    if let Some(stated) = request.request_context.get(PURPOSE) {
        let [value] = stated.val.as_slice() else {
            let reason = format!("has {} values, not one", stated.val.len());
            return Err(InvalidField::new(PURPOSE_FIELD, reason));
        };
        return match &value.val {
            Some(Val::StringVal(purpose)) => Ok((purpose.clone(), PURPOSE_FIELD)),
            _ => Err(InvalidField::new(PURPOSE_FIELD, "is not a string_val")),
        };
    }
    if let Some(stated) = metadata.get(PURPOSE_METADATA) {
        let purpose = stated.to_str().map_err(|_| InvalidField::new(PURPOSE_METADATA, "is not ASCII"))?;
        return Ok((purpose.to_owned(), PURPOSE_METADATA));
    }
    match &feast.config.purpose {
        Some(purpose) => Ok((purpose.clone(), PURPOSE_SETTING)),
        None => Err(InvalidField::new(
            PURPOSE_FIELD,
            format!(
                "is missing: say what the values are for there, in the metadata {PURPOSE_METADATA}, or for all of \
                 this server's clients in its setting {PURPOSE_SETTING}"
            ),
        )),
    }
}

/// The join key of what is selected, by the first feature that is declared. If none is, the selection is refused later,
/// with a better reason.
fn join_key(definitions: &Definitions, selection: &v1::FeatureSelection) -> &'static str {
    let listed = selection.features.iter().filter_map(|raw| FeatureRef::parse(raw).ok());
    let service = definitions.services.get(&selection.feature_service);
    let of_service = service.into_iter().flat_map(|service| service.features.iter().cloned());
    let views = listed.chain(of_service).filter_map(|feature| definitions.views.get(feature.view()));
    key_of(views.map(|view| view.entity).next().unwrap_or(Entity::Customer))
}

/// The name of the column of ids.
pub(super) fn key_of(entity: Entity) -> &'static str {
    match entity {
        Entity::Customer => "user_id",
        Entity::Product => "product_id",
    }
}

fn entity_ids(
    request: &serving::GetOnlineFeaturesRequest,
    join_key: &str,
) -> Result<Vec<String>, InvalidField> {
    if let Some(other) = request.entities.keys().find(|key| *key != join_key) {
        let reason = format!("is not what these features are joined by, which is {join_key}");
        return Err(InvalidField::new(format!("entities[{other}]"), reason));
    }
    let Some(RepeatedValue { val }) = request.entities.get(join_key) else {
        return Err(InvalidField::new(format!("entities[{join_key}]"), "is missing"));
    };
    let parse = |(place, value)| {
        values::id(value)
            .map_err(|reason| InvalidField::new(format!("entities[{join_key}].val[{place}]"), reason))
    };
    val.iter().enumerate().map(parse).collect()
}

/// Names the field that a Feast client knows.
fn in_feasts_words(error: FeatureStoreError, join_key: &str, purpose_field: &str) -> FeatureStoreError {
    let FeatureStoreError::InvalidField(InvalidField { field, reason }) = error else {
        return error;
    };
    let field = if field == "selection.purpose" {
        purpose_field.to_owned()
    } else if let Some(rest) = field.strip_prefix("selection.features") {
        format!("features.val{rest}")
    } else if let Some(rest) = field.strip_prefix("entity_ids") {
        format!("entities[{join_key}].val{rest}")
    } else {
        field.strip_prefix("selection.").unwrap_or(&field).to_owned()
    };
    InvalidField { field, reason }.into()
}
