//! Kinds of scorers in a model's bundle: linear, calibrated, imported.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[allow(dead_code, reason = "other tests use the rest")]
mod market;

use std::path::{Path, PathBuf};

use finrank_learning::{
    CalibrationMethod, ImportConfig, LearningConfig, NetworkOutput, ScorerKind, TrainConfig, TrainReport,
    import_model, train,
};
use finrank_model::{
    Attributes, Bundle, Calibration, Embedding, ModelVersion, ProductId, Sha256Digest, SplitScorer, UserId,
    UserRecord, features::FeatureRow,
};
use finrank_store::{Store, models, records};
use market::{market, purchases, short_learning, short_training};
use safetensors::{Dtype, tensor::TensorView};
use tempfile::tempdir;

async fn trained(
    store: &Store,
    models_dir: &Path,
    version: &str,
    learning: LearningConfig,
) -> (TrainReport, Bundle) {
    let model_version = Some(ModelVersion::parse(version).unwrap());
    let config = TrainConfig { model_version, learning, ..short_training(models_dir, 0) };
    let report = train(store, &config, ()).await.unwrap();
    let bundle = Bundle::read(&report.bundle_path).unwrap();
    (report, bundle)
}

fn customer(id: &str, held: &[&str]) -> UserRecord {
    UserRecord {
        user_id: UserId::parse(id).unwrap(),
        attributes: Attributes::default(),
        held: held.iter().map(|&id| ProductId::parse(id).unwrap()).collect(),
        features: FeatureRow::default(),
    }
}

#[tokio::test]
async fn a_linear_scorer_is_trained_and_bundled_and_ranks_alike_for_everybody() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let learning = LearningConfig { scorer: ScorerKind::Linear, steps: 80, ..short_learning() };

    let (report, bundle) = trained(&database.store, models_dir.path(), "base", learning).await;

    assert_eq!(bundle.manifest.architecture.scorer, [128, 1]);
    assert!(report.evaluation.classification.log_loss.is_finite());
    let users = [customer("n", &["north-0"]), customer("s", &["south-3", "south-4"])];
    let products = records::product_records(&database.store, None, None, 100).await.unwrap();
    let products = bundle.product.encode(&products).unwrap();
    let scorer = SplitScorer::new(&bundle.scorer, &products).unwrap();
    let all: Vec<usize> = (0..products.len()).collect();
    let order = |user: &Embedding| {
        let scores = scorer.score(user, &all);
        let mut order = all.clone();
        order.sort_by_key(|&product| std::cmp::Reverse(scores[product]));
        order
    };
    let embeddings = bundle.user.encode(&users).unwrap();
    assert_ne!(embeddings[0], embeddings[1]);
    assert_eq!(order(&embeddings[0]), order(&embeddings[1]));
}

#[tokio::test]
async fn a_models_calibration_is_fitted_on_customers_who_did_not_train_and_stands_in_its_bundle() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let learning = LearningConfig { validation_share: 0.25, steps: 80, ..short_learning() };

    let (report, bundle) = trained(&database.store, models_dir.path(), "calibrated", learning.clone()).await;
    let none = LearningConfig { calibration: CalibrationMethod::None, ..learning };
    let (plain, uncalibrated) = trained(&database.store, models_dir.path(), "plain", none).await;

    let Calibration::Platt(map) = bundle.scorer.calibration() else {
        panic!("{:?}", bundle.scorer.calibration());
    };
    assert!(map.slope() > 0.0);
    // A hundred customers, of each the product asked for and all that is not held.
    let rows = &bundle.manifest.training_rows;
    assert_eq!(rows["validation_customers"], 100);
    assert!((700..=900).contains(&rows["calibration_pairs"]), "{rows:?}");
    let probabilities = &report.evaluation.probabilities;
    assert_eq!(bundle.manifest.metrics["calibration_error"], probabilities.after.calibration_error);
    assert_eq!(bundle.manifest.metrics["uncalibrated_brier"], probabilities.before.brier);
    assert_ne!(probabilities.before.calibration_error, probabilities.after.calibration_error);

    assert!(uncalibrated.scorer.calibration().is_none());
    assert_eq!(uncalibrated.scorer.layers(), bundle.scorer.layers());
    assert_eq!(plain.evaluation.probabilities.after, probabilities.before);
    let mrr = |report: &TrainReport| report.evaluation.models[0].ranking.mrr;
    assert_eq!(mrr(&plain), mrr(&report), "no order changes");
}

/// A linear network `0.weight` over so many inputs.
fn network(directory: &Path, inputs: usize) -> PathBuf {
    let values: Vec<u8> = (0..inputs).flat_map(|input| (input as f32 / 100.0).to_le_bytes()).collect();
    let weight = TensorView::new(Dtype::F32, vec![1, inputs], &values).unwrap();
    let path = directory.join(format!("network-{inputs}.safetensors"));
    std::fs::write(&path, safetensors::serialize([("0.weight", weight)], None).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn an_imported_network_becomes_the_scorer_of_a_registered_model_with_the_same_towers() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let learning = LearningConfig { steps: 20, ..short_learning() };
    let (_, base) = trained(&database.store, models_dir.path(), "base", learning).await;
    let import = |file, base: &str, version: &str| ImportConfig {
        file,
        output: NetworkOutput::Probability,
        base: ModelVersion::parse(base).unwrap(),
        version: ModelVersion::parse(version).unwrap(),
        models_dir: models_dir.path().to_owned(),
    };
    let good = network(models_dir.path(), 128);

    let config = import(good.clone(), "base", "imported");
    let report = import_model(&database.store, &config).await.unwrap();
    let narrow = import(network(models_dir.path(), 8), "base", "narrow");
    let narrow = import_model(&database.store, &narrow).await.unwrap_err().to_string();
    let unknown = import(good, "nobody", "orphan");
    let unknown = import_model(&database.store, &unknown).await.unwrap_err().to_string();

    let registered = models::get(&database.store, &config.version).await.unwrap().unwrap();
    let digest = Sha256Digest::parse(&registered.bundle_sha256).unwrap();
    let bundle = Bundle::read_registered(registered.bundle_path.as_ref(), digest).unwrap();
    assert_eq!(report.scorer, [128, 1]);
    assert_eq!(bundle.manifest.embedding_space, base.manifest.embedding_space);
    assert_eq!((&bundle.user, &bundle.product), (&base.user, &base.product));
    assert_eq!(bundle.scorer.layers()[0].weight[[127, 0]], 1.27);
    assert!(bundle.manifest.metrics.is_empty(), "nothing was measured of it");
    assert_eq!(bundle.golden().unwrap().len(), base.golden().unwrap().len());
    assert_ne!(bundle.golden(), base.golden(), "the scores are the new scorer's");
    assert!(bundle.means().is_some());
    assert_eq!(bundle.means(), base.means(), "the towers read the same customers");
    let [of_base, of_imported] =
        [&config.base, &config.version].map(|version| models::holdout(&database.store, version));
    let (of_base, of_imported) = (of_base.await.unwrap(), of_imported.await.unwrap());
    assert!(of_base.is_some());
    assert_eq!(of_imported, of_base, "the towers may be asked about the same");
    assert_eq!(narrow, "the scorer's input has shape [8], expected [128]");
    assert_eq!(unknown, "model version nobody is not registered");
    assert!(!models_dir.path().join("narrow").exists());
}
