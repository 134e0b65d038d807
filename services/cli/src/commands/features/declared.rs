//! What a file of feature views declares, or a server serves.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use finrank_contracts::feature::v1::{
    ListFeatureViewsRequest, feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_feature_store::FeaturesConfig;
use finrank_model::features::{self, Definitions};

use super::view::{self, View};
use crate::{client, output::Format, settings::Settings};

/// List the views that a file declares or, with how fresh they are, those that a server serves.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features list\n  finrank features list --file features.toml --json\n  finrank features list --feature-store http://127.0.0.1:50051"
)]
pub(super) struct List {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    format: Format,
}

/// Describe one view: its features, their types and how they come about, and who may ask for what.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features describe customer_activity\n  finrank features describe customer_activity --feature-store http://127.0.0.1:50051"
)]
pub(super) struct Describe {
    /// The view's name.
    view: String,
    #[command(flatten)]
    source: Source,
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

/// Where views are looked up.
#[derive(Args)]
struct Source {
    #[command(flatten)]
    file: File,
    /// Ask this feature store what it serves, and how fresh that is, instead of reading a file.
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    feature_store: Option<String>,
}

#[derive(Args)]
struct File {
    /// The file that declares the views; by default the one of the settings, or else the built-in one.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Source {
    fn views(&self, settings: &Settings) -> anyhow::Result<Vec<View>> {
        let Some(url) = &self.feature_store else {
            return Ok(self.file.load(settings)?.views.values().map(View::from).collect());
        };
        let listed = super::super::block_on(async {
            let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
            let listed = store.list_feature_views(ListFeatureViewsRequest {}).await;
            anyhow::Ok(listed.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        Ok(listed.views.into_iter().map(View::from).collect())
    }
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
        let views = self.source.views(settings)?;
        self.format.print(&views, |views| view::list(views))
    }
}

impl Describe {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let views = self.source.views(settings)?;
        let declared = || views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>().join(", ");
        let view = views.iter().find(|view| view.name == self.view);
        let view =
            view.with_context(|| format!("there is no view {:?}; declared are {}", self.view, declared()))?;
        self.format.print(view, View::described)
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
