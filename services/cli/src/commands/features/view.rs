//! A view of features as printed, whether a file declares it or a server serves it.

use std::time::Duration;

use finrank_contracts::feature::v1::{self, EntityKind};
use finrank_model::features::{self, Entity, Feature, FeatureView};
use serde::Serialize;

use super::selection::moment;
use crate::output::{spoken, table};

/// A view.
#[derive(Serialize)]
pub(super) struct View {
    pub(super) name: String,
    description: String,
    entity: &'static str,
    owner: String,
    sensitivity: String,
    ttl: Option<String>,
    expired: String,
    purposes: Vec<String>,
    protected_purposes: Vec<String>,
    features: Vec<DeclaredFeature>,
    /// Of a server's: what refreshes have found, if one has looked at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<Freshness>,
}

#[derive(Serialize)]
struct DeclaredFeature {
    name: String,
    r#type: String,
    recipe: String,
    protected: bool,
    description: String,
}

#[derive(Serialize)]
struct Freshness {
    newest_event_time: Option<String>,
    run_id: i64,
    refreshed_at: Option<String>,
    whole: bool,
}

impl From<&FeatureView> for View {
    fn from(view: &FeatureView) -> Self {
        Self {
            name: view.name.clone(),
            description: view.description.clone(),
            entity: view.entity.as_str(),
            owner: view.owner.clone(),
            sensitivity: view.sensitivity.as_str().to_owned(),
            ttl: view.ttl.map(features::duration_in_words),
            expired: view.expired.as_str().to_owned(),
            purposes: view.purposes.clone(),
            protected_purposes: view.protected_purposes.clone(),
            features: view.features.iter().map(DeclaredFeature::from).collect(),
            freshness: None,
        }
    }
}

impl From<&Feature> for DeclaredFeature {
    fn from(feature: &Feature) -> Self {
        Self {
            name: feature.name.clone(),
            r#type: feature.value_type.as_str().to_owned(),
            recipe: feature.recipe.to_string(),
            protected: feature.protected,
            description: feature.description.clone(),
        }
    }
}

impl From<v1::FeatureView> for View {
    fn from(view: v1::FeatureView) -> Self {
        let entity = match view.entity() {
            EntityKind::Product => Entity::Product,
            EntityKind::User | EntityKind::Unspecified => Entity::Customer,
        };
        let ttl = view.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
        Self {
            entity: entity.as_str(),
            ttl: ttl.map(features::duration_in_words),
            expired: spoken(view.expired().as_str_name(), "EXPIRED_POLICY_"),
            name: view.name,
            description: view.description,
            owner: view.owner,
            sensitivity: view.sensitivity,
            purposes: view.purposes,
            protected_purposes: view.protected_purposes,
            features: view.features.into_iter().map(DeclaredFeature::from).collect(),
            freshness: view.freshness.map(Freshness::from),
        }
    }
}

impl From<v1::Feature> for DeclaredFeature {
    fn from(feature: v1::Feature) -> Self {
        let v1::Feature { name, description, r#type, protected, made_of, .. } = feature;
        Self { name, r#type, recipe: made_of, protected, description }
    }
}

impl From<v1::FeatureViewFreshness> for Freshness {
    fn from(freshness: v1::FeatureViewFreshness) -> Self {
        Self {
            newest_event_time: freshness.newest_event_time.as_ref().map(moment),
            run_id: freshness.run_id,
            refreshed_at: freshness.refreshed_at.as_ref().map(moment),
            whole: freshness.whole,
        }
    }
}

/// A line for each.
pub(super) fn list(views: &[View]) -> String {
    let cells = |view: &View| {
        let (purposes, features) = (view.purposes.join(", "), view.features.len().to_string());
        [&view.name, view.entity, &view.owner, &view.sensitivity, &purposes, &features].map(str::to_owned)
    };
    if views.iter().all(|view| view.freshness.is_none()) {
        let heads = ["view", "entity", "owner", "sensitivity", "served for", "features"];
        return table(heads, 5, views.iter().map(cells)).to_string();
    }
    let rows = views.iter().map(|view| {
        let [name, entity, owner, sensitivity, purposes, features] = cells(view);
        let freshness = view.freshness.as_ref();
        let newest = freshness.and_then(|freshness| freshness.newest_event_time.clone());
        let refreshed = freshness.and_then(|freshness| freshness.refreshed_at.clone());
        let [newest, refreshed] = [newest, refreshed].map(|time| time.unwrap_or_else(|| "never".to_owned()));
        [name, entity, owner, sensitivity, purposes, features, newest, refreshed]
    });
    let heads = [
        "view",
        "entity",
        "owner",
        "sensitivity",
        "served for",
        "features",
        "newest statement",
        "refreshed as of",
    ];
    table(heads, 5, rows).to_string()
}

impl View {
    /// All of it.
    pub(super) fn described(&self) -> String {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let ttl = self.ttl.as_ref().map_or_else(
            || "values never grow too old".to_owned(),
            |ttl| format!("values older than {ttl} are too old (policy: {})", self.expired),
        );
        let rows = self.features.iter().map(|feature| {
            let protected = if feature.protected { "protected" } else { "" };
            [&feature.name, &feature.r#type, &feature.recipe, protected, &feature.description]
                .map(str::to_owned)
        });
        let freshness = self.freshness.as_ref().map(Freshness::in_words).unwrap_or_default();
        format!(
            "{} · of a {} · {}\n{}\nowner {}; served for {}; protected features for {}; {ttl}\n{freshness}{}",
            self.name,
            self.entity,
            self.sensitivity,
            self.description,
            self.owner,
            list(&self.purposes),
            list(&self.protected_purposes),
            table(["feature", "type", "made of", "", "description"], 5, rows),
        )
    }
}

impl Freshness {
    fn in_words(&self) -> String {
        let newest = self.newest_event_time.as_deref().unwrap_or("never");
        let refreshed = self.refreshed_at.as_deref().unwrap_or("never");
        let of = if self.whole { "all" } else { "what had changed" };
        format!("newest statement of {newest}; refresh {} read {of} as of {refreshed}\n", self.run_id)
    }
}
