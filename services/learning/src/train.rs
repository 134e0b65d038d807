//! One model from beginning to end: read, split, learn, measure, write, register.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chrono::{SubsecRound, Utc};
use finrank_model::{
    AttributeName, Attributes, Bundle, EmbeddingSpace, ModelVersion, Provenance, bundle_directory,
};
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
};
use serde_json::json;

use crate::{
    LearningError, Result, Stage, TrainConfig, TrainObserver, TrainReport,
    dataset::Dataset,
    evaluation::{Evaluation, RankedBy},
    gates, golden, holdout, source,
    split::Split,
    trainer::{self, Asked, Checkpoints, Identity, Trained},
};

/// Trains a model on what the store holds, writes its bundle under `models_dir` and registers it.
///
/// The hidden holdings have no part in the model. Learning runs on a thread of its own.
///
/// # Errors
/// When there is nothing to learn from, a setting makes no sense, the version exists already, or the store or
/// the disk fails. A model that could not be registered leaves its bundle behind, which nothing refers to.
pub async fn train(
    store: &Store,
    config: &TrainConfig,
    mut observer: impl TrainObserver + 'static,
) -> Result<TrainReport> {
    observer.stage(Stage::Reading);
    let mut dataset =
        source::read(store, config.split, &config.learning, config.definitions.as_deref()).await?;
    leave_out(&mut dataset, &config.leave_out);
    refuse_forbidden(&dataset, config)?;
    let settings = config.clone();
    let (report, bundle, hidden, checkpoints, mut observer) = tokio::task::spawn_blocking(move || {
        let mut identity = identity(&dataset, &settings)?;
        let mut checkpoints = match &settings.checkpoint {
            Some(at) => Some(Checkpoints::open(at, identity.clone(), asked_for(&settings))?),
            None => None,
        };
        if let Some(checkpoints) = &checkpoints {
            identity = checkpoints.identity().clone();
        }
        let (report, bundle, hidden) =
            train_on(&dataset, &settings, identity, checkpoints.as_mut(), &mut observer)?;
        Ok::<_, LearningError>((report, bundle, hidden, checkpoints, observer))
    })
    .await??;
    observer.stage(Stage::Registering);
    register(store, &bundle, &report.bundle_path).await?;
    models::record_holdout(store, &report.model_version, &hidden).await?;
    if let Some(checkpoints) = checkpoints {
        checkpoints.remove();
    }
    Ok(report)
}

/// Forgets attributes of every customer.
fn leave_out(dataset: &mut Dataset, names: &[AttributeName]) {
    if names.is_empty() {
        return;
    }
    for user in &mut dataset.users {
        let kept = user.attributes.iter().filter(|(name, _)| !names.contains(name));
        user.attributes = Attributes::of_table_row(kept.map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// A model that learned what it may not know could only be thrown away.
fn refuse_forbidden(dataset: &Dataset, config: &TrainConfig) -> Result<()> {
    let of_views = dataset.users.first().and_then(|user| user.features.set());
    let of_views: Vec<String> =
        of_views.iter().flat_map(|set| set.names()).map(ToString::to_string).collect();
    let mut read: BTreeSet<&str> =
        dataset.users.iter().flat_map(|user| user.attributes.iter().map(|(name, _)| name.as_str())).collect();
    read.extend(of_views.iter().map(String::as_str));
    match config.policy.breaches(read, &gates::classes(dataset)) {
        breaches if breaches.is_empty() => Ok(()),
        breaches => Err(LearningError::Forbidden { breaches }),
    }
}

/// Everything but the store: from a data set to a bundle on disk, and the fingerprints of what was hidden.
fn train_on(
    dataset: &Dataset,
    config: &TrainConfig,
    identity: Identity,
    checkpoints: Option<&mut Checkpoints>,
    observer: &mut dyn TrainObserver,
) -> Result<(TrainReport, Bundle, Vec<u64>)> {
    let split = Split::new(dataset, config.split, config.seed)?;
    let (transform, learning) = (&config.transform, &config.learning);
    let trained =
        trainer::fit_from(dataset, &split, transform, learning, config.seed, checkpoints, observer)?;
    observer.stage(Stage::Evaluating);
    let evaluation = Evaluation::of_model(dataset, &split, &trained, config.seed)?;

    let provenance = provenance(dataset, identity, config.seed, &trained, &evaluation)?;
    let directory = bundle_directory(&config.models_dir, &provenance.model_version)?;
    let report = TrainReport {
        model_version: provenance.model_version.clone(),
        bundle_path: directory.clone(),
        bundle_sha256: String::new(),
        seed: config.seed,
        split: config.split,
        dataset: dataset.report,
        epochs: trained.epochs,
        best_epoch: trained.best_epoch,
        learning_seconds: trained.seconds,
        evaluation,
    };
    let bundle = Bundle::new(provenance, trained.user, trained.product, trained.scorer)?
        .with_golden(&golden::users(dataset)?, &golden::products(dataset))?
        .with_means(trained.means)?;
    let digest = bundle.write(&directory)?;
    let report = TrainReport { bundle_sha256: digest.to_string(), ..report };
    Ok((report, bundle, holdout::sample(dataset, &split)))
}

/// Which training this is, as decided before it begins.
fn identity(dataset: &Dataset, config: &TrainConfig) -> Result<Identity> {
    let created_at = config.trained_at.unwrap_or_else(|| Utc::now().trunc_subsecs(3));
    let model_version = match &config.model_version {
        Some(version) => version.clone(),
        None => {
            let time = created_at.format("%Y%m%dt%H%M%S%3fz");
            ModelVersion::parse(format!("two-tower-{time}-seed{}", config.seed))?
        }
    };
    let settings = json!({
        "program": env!("CARGO_PKG_VERSION"),
        // How sums are divided among threads decides how they are rounded.
        "threads": candle_core::utils::get_num_threads(),
        "seed": config.seed,
        "split": config.split,
        "transform": config.transform,
        "learning": config.learning,
        "definitions": dataset.definitions(),
    });
    Ok(Identity { model_version, created_at, data_sha256: dataset.digest(), settings })
}

/// Whether the settings name the model, and say when it counts as trained.
fn asked_for(config: &TrainConfig) -> Asked {
    Asked { version: config.model_version.is_some(), time: config.trained_at.is_some() }
}

fn provenance(
    dataset: &Dataset,
    identity: Identity,
    seed: u64,
    trained: &Trained,
    evaluation: &Evaluation,
) -> Result<Provenance> {
    let Identity { model_version, created_at, .. } = identity;
    let rows = [
        ("customers", dataset.report.customers),
        ("products", dataset.report.products),
        ("holdings", dataset.report.holdings),
        ("hidden_holdings", evaluation.hidden),
        ("training_customers", trained.training_customers),
        ("validation_customers", trained.validation_customers),
        ("calibration_pairs", trained.calibration_pairs),
        ("examples", dataset.report.examples),
    ];
    Ok(Provenance {
        // Towers that were trained together meet each other and no others.
        embedding_space: EmbeddingSpace::parse(model_version.as_str())?,
        model_version,
        created_at,
        seed,
        data_window: dataset.window,
        training_rows: rows.into_iter().map(|(name, rows)| (name.to_owned(), rows as u64)).collect(),
        metrics: metrics(evaluation),
    })
}

/// The figures that travel with the bundle, by names like `mrr` (the ranker's) and `popularity_mrr`.
fn metrics(evaluation: &Evaluation) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for quality in &evaluation.models {
        let prefix = match quality.model {
            RankedBy::Ranker => String::new(),
            other => format!("{}_", other.as_str().replace('-', "_")),
        };
        let measures = quality.ranking.measures();
        metrics.extend(measures.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
    }
    metrics.extend(evaluation.classification.measures());
    let before = &evaluation.probabilities.before;
    metrics.insert("uncalibrated_brier".to_owned(), before.brier);
    metrics.insert("uncalibrated_calibration_error".to_owned(), before.calibration_error);
    metrics
}

/// Makes a bundle that lies in `directory` known to the store.
pub(crate) async fn register(store: &Store, bundle: &Bundle, directory: &Path) -> Result<()> {
    let manifest = &bundle.manifest;
    let registered = RegisteredModel {
        model_version: manifest.model_version.clone(),
        embedding_space: manifest.embedding_space.clone(),
        bundle_path: absolute(directory),
        bundle_sha256: bundle.digest().to_string(),
        manifest: serde_json::to_value(manifest).map_err(LearningError::Manifest)?,
        registered_at: manifest.created_at,
    };
    Ok(models::register(store, &registered).await?)
}

/// The reader may stand in another directory.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
