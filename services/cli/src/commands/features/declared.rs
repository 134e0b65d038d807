//! What a file of feature views declares. None of this needs a server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use finrank_feature_store::FeaturesConfig;
use finrank_model::features::{self, Aggregate, Definitions, Feature, FeatureView, Recipe};
use serde::Serialize;

use crate::{
    output::{Format, table},
    settings::Settings,
};

/// List the declared views.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features list\n  finrank features list --file features.toml --json"
)]
pub(super) struct List {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    format: Format,
}

/// Describe one view: its features, their types and how they come about, and who may ask for what.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank features describe customer_activity")]
pub(super) struct Describe {
    /// The view's name.
    view: String,
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    format: Format,
}

/// Check a file of feature views, and name everything that is wrong with it.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank features validate features.toml")]
pub(super) struct Validate {
    /// The file.
    file: PathBuf,
}

/// Tell what a new file of feature views changes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features diff new.toml\n  finrank features diff new.toml --file old.toml --json"
)]
pub(super) struct Diff {
    /// The new file; it is compared with the one of --file.
    new: PathBuf,
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
struct File {
    /// The file that declares the views; by default the one of the settings, or else the built-in one.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl File {
    fn load(&self, settings: &Settings) -> anyhow::Result<Definitions> {
        match &self.file {
            Some(path) => load(path),
            None => Ok(settings.feature_store.features.load()?.0),
        }
    }
}

fn load(path: &Path) -> anyhow::Result<Definitions> {
    Ok(FeaturesConfig { definitions: Some(path.to_owned()), ..FeaturesConfig::default() }.load()?.0)
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let definitions = self.file.load(settings)?;
        let views: Vec<View> = definitions.views.values().map(View::from).collect();
        self.format.print(&views, |views| {
            let rows = views.iter().map(|view| {
                let (purposes, features) = (view.purposes.join(", "), view.features.len().to_string());
                [&view.name, view.entity, &view.owner, view.sensitivity, &purposes, &features]
                    .map(str::to_owned)
            });
            let heads = ["view", "entity", "owner", "sensitivity", "served for", "features"];
            table(heads, 5, rows).to_string()
        })
    }
}

impl Describe {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let definitions = self.file.load(settings)?;
        let declared = || definitions.views.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let view = definitions
            .views
            .get(&self.view)
            .with_context(|| format!("there is no view {:?}; declared are {}", self.view, declared()))?;
        self.format.print(&View::from(view), View::described)
    }
}

impl Validate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let definitions = load(&self.file)?;
        let features: usize = definitions.views.values().map(|view| view.features.len()).sum();
        println!(
            "{} holds together: {} views with {features} features, {} services (sha256 {})",
            self.file.display(),
            definitions.views.len(),
            definitions.services.len(),
            definitions.digest,
        );
        Ok(())
    }
}

impl Diff {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let changes = features::diff(&self.file.load(settings)?, &load(&self.new)?);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        self.format.print(&changes, |changes| match changes.as_slice() {
            [] => "nothing changes".to_owned(),
            changes => changes.join("\n"),
        })
    }
}

/// A view as printed.
#[derive(Serialize)]
struct View {
    name: String,
    description: String,
    entity: &'static str,
    owner: String,
    sensitivity: &'static str,
    ttl: Option<String>,
    expired: &'static str,
    purposes: Vec<String>,
    protected_purposes: Vec<String>,
    features: Vec<DeclaredFeature>,
}

#[derive(Serialize)]
struct DeclaredFeature {
    name: String,
    r#type: &'static str,
    recipe: String,
    protected: bool,
    description: String,
}

impl From<&FeatureView> for View {
    fn from(view: &FeatureView) -> Self {
        Self {
            name: view.name.clone(),
            description: view.description.clone(),
            entity: view.entity.as_str(),
            owner: view.owner.clone(),
            sensitivity: view.sensitivity.as_str(),
            ttl: view.ttl.map(features::duration_in_words),
            expired: view.expired.as_str(),
            purposes: view.purposes.clone(),
            protected_purposes: view.protected_purposes.clone(),
            features: view.features.iter().map(DeclaredFeature::from).collect(),
        }
    }
}

impl From<&Feature> for DeclaredFeature {
    fn from(feature: &Feature) -> Self {
        Self {
            name: feature.name.clone(),
            r#type: feature.value_type.as_str(),
            recipe: recipe(&feature.recipe),
            protected: feature.protected,
            description: feature.description.clone(),
        }
    }
}

impl View {
    fn described(&self) -> String {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let ttl = self.ttl.as_ref().map_or_else(
            || "values never grow too old".to_owned(),
            |ttl| format!("values older than {ttl} are too old (policy: {})", self.expired),
        );
        let rows = self.features.iter().map(|feature| {
            let protected = if feature.protected { "protected" } else { "" };
            [&feature.name, feature.r#type, &feature.recipe, protected, &feature.description]
                .map(str::to_owned)
        });
        format!(
            "{} · of a {} · {}\n{}\nowner {}; served for {}; protected features for {}; {ttl}\n{}",
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

/// How a value comes about, in words.
fn recipe(recipe: &Recipe) -> String {
    match recipe {
        Recipe::Attribute(name) => format!("attribute {name}"),
        Recipe::Events { aggregate, kinds, window } => {
            let aggregate = match aggregate {
                Aggregate::Count => "number",
                Aggregate::Quantity => "quantity",
                Aggregate::Distinct => "different counterparts",
                Aggregate::Amount => "amount",
                Aggregate::LatestTime => "latest time",
            };
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            let kinds = if kinds.is_empty() { "any".to_owned() } else { kinds.join(", ") };
            let window = window.map(|window| format!(" of the last {}", features::duration_in_words(window)));
            format!("{aggregate} of events ({kinds}){}", window.unwrap_or_default())
        }
    }
}
