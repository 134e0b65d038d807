//! Features and their definitions as messages.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use finrank_contracts::{
    common,
    feature::v1::{self, feature_value},
};
use finrank_model::features::{
    Definitions, Entity, Expectations, ExpiredPolicy, FeatureRef, FeatureView, OnBreach, ValueType,
};
use finrank_serving::wire;
use finrank_store::features::{Asked, FeaturePlan, FeatureStatus, FeatureValue, Value};

use crate::statistics::Freshness;

/// What holds for every row.
pub(super) fn header(
    plan: &FeaturePlan,
    definitions: &Definitions,
    known_at: DateTime<Utc>,
) -> v1::FeatureHeader {
    let denials = plan.denials().iter().map(|denial| v1::FeatureDenial {
        feature: denial.feature.to_string(),
        protected: denial.protected,
        allowed_purposes: denial.allowed.clone(),
    });
    v1::FeatureHeader {
        features: plan.features().map(FeatureRef::to_string).collect(),
        denials: denials.collect(),
        definitions_sha256: definitions.digest.to_string(),
        known_at: Some(wire::timestamp(known_at)),
        types: Vec::new(),
    }
}

/// What the values of each feature are.
pub(super) fn types(plan: &FeaturePlan) -> Vec<v1::FeatureType> {
    let types = plan.value_types().map(|value_type| v1::FeatureType {
        r#type: value_type.as_str().to_owned(),
        currency_code: match value_type {
            ValueType::Money(currency) => currency.clone(),
            _ => String::new(),
        },
    });
    types.collect()
}

/// A row for each entity asked for.
pub(super) fn rows(asked: Vec<Asked>, values: &[impl AsRef<[FeatureValue]>]) -> Vec<v1::FeatureRow> {
    let row = |(asked, values): (Asked, &_)| v1::FeatureRow {
        entity_id: asked.id,
        as_of: Some(wire::timestamp(asked.as_of)),
        values: AsRef::<[FeatureValue]>::as_ref(values).iter().map(value).collect(),
    };
    asked.into_iter().zip(values).map(row).collect()
}

fn value(value: &FeatureValue) -> v1::FeatureValue {
    let status = match value.status {
        FeatureStatus::Present => v1::FeatureStatus::Present,
        FeatureStatus::Null => v1::FeatureStatus::NullValue,
        FeatureStatus::NotFound => v1::FeatureStatus::NotFound,
        FeatureStatus::OutsideMaxAge => v1::FeatureStatus::OutsideMaxAge,
        FeatureStatus::Denied => v1::FeatureStatus::Denied,
    };
    v1::FeatureValue {
        status: status.into(),
        event_time: value.event_time.map(wire::timestamp),
        value: value.value.as_ref().map(bare_value),
    }
}

fn bare_value(value: &Value) -> feature_value::Value {
    match value {
        Value::Number(number) => feature_value::Value::Number(*number),
        Value::Text(text) => feature_value::Value::Text(text.clone()),
        Value::Flag(flag) => feature_value::Value::Flag(*flag),
        Value::Count(count) => feature_value::Value::Count(*count),
        Value::Money { currency_code, minor_units } => feature_value::Value::Money(common::v1::Money {
            currency_code: currency_code.clone(),
            minor_units: *minor_units,
        }),
        Value::Time(time) => feature_value::Value::Time(wire::timestamp(*time)),
    }
}

/// Everything that is declared, and how fresh it is. Values that are read now rest on all that was learned before
/// `known_at`.
pub(super) fn declared(
    definitions: &Definitions,
    freshness: &BTreeMap<String, Freshness>,
    known_at: DateTime<Utc>,
) -> v1::ListFeatureViewsResponse {
    let services = definitions.services.iter().map(|(name, service)| v1::FeatureService {
        name: name.clone(),
        description: service.description.clone(),
        features: service.features.iter().map(FeatureRef::to_string).collect(),
    });
    let views = definitions.views.values().map(|declared| v1::FeatureView {
        freshness: freshness.get(&declared.name).map(fresh),
        ..view(declared)
    });
    v1::ListFeatureViewsResponse {
        views: views.collect(),
        services: services.collect(),
        purposes: definitions.purposes.keys().cloned().collect(),
        definitions_sha256: definitions.digest.to_string(),
        known_at: Some(wire::timestamp(known_at)),
    }
}

fn fresh(freshness: &Freshness) -> v1::FeatureViewFreshness {
    v1::FeatureViewFreshness {
        newest_event_time: freshness.newest_event_time.map(wire::timestamp),
        run_id: freshness.run_id.get(),
        refreshed_at: Some(wire::timestamp(freshness.moment)),
        whole: freshness.whole,
    }
}

/// A view as it is declared.
pub(super) fn view(view: &FeatureView) -> v1::FeatureView {
    let entity = match view.entity {
        Entity::Customer => v1::EntityKind::User,
        Entity::Product => v1::EntityKind::Product,
    };
    let expired = match view.expired {
        ExpiredPolicy::Flag => v1::ExpiredPolicy::Flag,
        ExpiredPolicy::Null => v1::ExpiredPolicy::Null,
        ExpiredPolicy::Reject => v1::ExpiredPolicy::Reject,
    };
    let features = view.features.iter().map(|feature| v1::Feature {
        name: feature.name.clone(),
        description: feature.description.clone(),
        r#type: feature.value_type.as_str().to_owned(),
        protected: feature.protected,
        expect: expectations(&feature.expect),
        made_of: feature.recipe.to_string(),
    });
    v1::FeatureView {
        name: view.name.clone(),
        description: view.description.clone(),
        owner: view.owner.clone(),
        entity: entity.into(),
        source: view.source.as_str().to_owned(),
        ttl: view.ttl.map(|ttl| ttl.try_into().unwrap_or_default()),
        expired: expired.into(),
        sensitivity: view.sensitivity.as_str().to_owned(),
        purposes: view.purposes.clone(),
        protected_purposes: view.protected_purposes.clone(),
        features: features.collect(),
        freshness: None,
    }
}

fn expectations(expect: &Expectations) -> Option<v1::FeatureExpectations> {
    let Expectations { null_rate, min, max, distinct, drift, breach } = *expect;
    if *expect == (Expectations { breach, ..Expectations::default() }) {
        return None;
    }
    Some(v1::FeatureExpectations { null_rate, min, max, distinct, drift, stop: breach == OnBreach::Stop })
}
