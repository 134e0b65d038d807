//! GetOnlineFeatures and GetFeaturesAsOf.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1;
use finrank_model::{
    InvalidField, ProductId, Sha256Digest, UserId,
    features::{Definitions, Entity, ExpiredPolicy, FeatureRef},
};
use finrank_serving::wire;
use finrank_store::features::{Asked, FeaturePlan};

use super::{FeatureStoreService, feature_wire, read::parse_ids};
use crate::{
    Result,
    features::{Declared, InForce, Selection, read_at_horizon},
};

/// The most values of one answer: some 10 MB while they are on their way.
const MAX_VALUES: usize = 100_000;

/// Values as they are now: at the horizon, by what was known before it.
pub(super) async fn online(
    service: &FeatureStoreService,
    request: v1::GetOnlineFeaturesRequest,
) -> Result<v1::GetOnlineFeaturesResponse> {
    let (declared, moment) = now(service).await?;
    let selection = selection(request.selection.as_ref())?;
    let plan = plan(&declared, selection)?;
    let asked = asked(&plan, &request.entity_ids, moment)?;
    let FeatureStoreService { store, cache, horizon, .. } = service;
    let values = read_at_horizon(store, cache, horizon, &plan, &asked, moment).await?;
    let header = feature_wire::header(&plan, &declared.definitions, moment);
    let rows = feature_wire::rows(asked, &values);
    service.sampler.sample(plan.entity(), selection, &header, &rows);
    Ok(v1::GetOnlineFeaturesResponse { header: Some(header), rows })
}

/// Values as they were served at a moment.
pub(super) async fn as_of(
    service: &FeatureStoreService,
    request: v1::GetFeaturesAsOfRequest,
) -> Result<v1::GetFeaturesAsOfResponse> {
    let moment = wire::moment("moment", request.moment)?;
    not_after("moment", moment, horizon(service, moment).await?)?;
    let digest = Some(request.definitions_sha256).filter(|digest| !digest.is_empty());
    let digest = digest.map(|digest| {
        let named = |invalid: InvalidField| InvalidField::new("definitions_sha256", invalid.reason);
        Sha256Digest::parse(&digest).map_err(named)
    });
    let declared = service.registry.at(moment, digest.transpose()?).await?;
    let plan = plan(&declared, selection(request.selection.as_ref())?)?;
    let asked = asked(&plan, &request.entity_ids, moment)?;
    let values = plan.read(&service.store, &asked).await?;
    let header = feature_wire::header(&plan, &declared.definitions, moment);
    Ok(v1::GetFeaturesAsOfResponse { header: Some(header), rows: feature_wire::rows(asked, &values) })
}

/// The definitions in force, and the moment up to which what was known can be read. The moment is the definitions' own:
/// what is served is to be found again by it alone. While a writer's transaction holds the horizon before these came into
/// force, those answer that were in force at that moment.
pub(super) async fn now(service: &FeatureStoreService) -> Result<(Arc<Declared>, DateTime<Utc>)> {
    loop {
        let InForce { declared, since } = service.registry.in_force().await?;
        let mut moment = service.horizon.moment().await?;
        if moment < since {
            service.horizon.advance().await?;
            moment = service.horizon.moment().await?;
        }
        // If others were put into force meanwhile, the moment may be theirs.
        if !service.registry.serves(&declared) {
            continue;
        }
        if moment >= since {
            return Ok((declared, moment));
        }
        match service.registry.before_these(moment).await? {
            Some(former) => return Ok((former, moment)),
            None => service.horizon.reaches(since).await?,
        }
    }
}

/// The moment up to which what was known can be read, looked for again if a later one is asked for: it may come from
/// another server, which was further.
pub(super) async fn horizon(service: &FeatureStoreService, asked: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if service.horizon.moment().await? < asked {
        service.horizon.advance().await?;
    }
    service.horizon.moment().await
}

/// Refuses a moment whose answer may still change.
pub(super) fn not_after(
    field: &str,
    moment: DateTime<Utc>,
    horizon: DateTime<Utc>,
) -> Result<(), InvalidField> {
    if moment <= horizon {
        return Ok(());
    }
    Err(InvalidField::new(
        field,
        format!("is {moment}, after {horizon}, up to which what was known is settled"),
    ))
}

/// A selection that must be there.
pub(super) fn selection(
    selection: Option<&v1::FeatureSelection>,
) -> Result<&v1::FeatureSelection, InvalidField> {
    selection.ok_or_else(|| InvalidField::new("selection", "is missing"))
}

/// The features that are selected, compiled.
pub(super) fn plan(
    declared: &Declared,
    selection: &v1::FeatureSelection,
) -> Result<Arc<FeaturePlan>, InvalidField> {
    let purpose = selection.purpose.clone();
    let plan = expired(selection.expired).and_then(|expired| {
        let features = selected(&declared.definitions, selection)?;
        declared.plan(Selection { features, purpose, expired })
    });
    plan.map_err(|invalid| InvalidField::new(format!("selection.{}", invalid.field), invalid.reason))
}

/// Checks ids as those of the entity.
pub(super) fn check_id(entity: Entity, raw: &str) -> Result<String, InvalidField> {
    match entity {
        Entity::Customer => Ok(UserId::parse(raw)?.into()),
        Entity::Product => Ok(ProductId::parse(raw)?.into()),
    }
}

/// Refuses to answer with more values than fit into memory many times over, as requests come together.
pub(super) fn check_values(field: &str, entities: usize, plan: &FeaturePlan) -> Result<(), InvalidField> {
    let features = plan.features().count();
    let values = entities.saturating_mul(features);
    if values <= MAX_VALUES {
        return Ok(());
    }
    let reason = format!(
        "has {entities} entries, which with {features} features is {values} values; {MAX_VALUES} are allowed"
    );
    Err(InvalidField::new(field, reason))
}

/// Everyone at one moment, by what was known then.
fn asked(
    plan: &FeaturePlan,
    entity_ids: &[String],
    moment: DateTime<Utc>,
) -> Result<Vec<Asked>, InvalidField> {
    check_values("entity_ids", entity_ids.len(), plan)?;
    let ids = parse_ids("entity_ids", entity_ids, |raw| check_id(plan.entity(), raw))?;
    Ok(ids.into_iter().map(|id| Asked { id, as_of: moment, known_at: moment }).collect())
}

fn expired(policy: i32) -> Result<Option<ExpiredPolicy>, InvalidField> {
    Ok(match wire::known("expired", policy)? {
        v1::ExpiredPolicy::Unspecified => None,
        v1::ExpiredPolicy::Flag => Some(ExpiredPolicy::Flag),
        v1::ExpiredPolicy::Null => Some(ExpiredPolicy::Null),
        v1::ExpiredPolicy::Reject => Some(ExpiredPolicy::Reject),
    })
}

fn selected(
    definitions: &Definitions,
    selection: &v1::FeatureSelection,
) -> Result<Vec<FeatureRef>, InvalidField> {
    if selection.feature_service.is_empty() {
        let parse = |(place, raw): (usize, &String)| {
            FeatureRef::parse(raw)
                .map_err(|invalid| InvalidField::new(format!("features[{place}]"), invalid.reason))
        };
        return selection.features.iter().enumerate().map(parse).collect();
    }
    let invalid = |reason: String| InvalidField::new("feature_service", reason);
    if !selection.features.is_empty() {
        return Err(invalid("is named beside features; one of them is enough".to_owned()));
    }
    match definitions.services.get(&selection.feature_service) {
        Some(service) => Ok(service.features.clone()),
        None => Err(invalid(format!("is {:?}, which is not declared", selection.feature_service))),
    }
}
