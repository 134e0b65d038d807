//! The gates on a real Postgres and real trainings: what passes, what fails and how that is told.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[allow(dead_code, reason = "another test file uses the rest")]
mod market;

use std::fs;

use finrank_learning::{
    Knowledge, LearningConfig, LearningError, TrainConfig, card,
    gates::{CheckConfig, CheckReport, check},
    train,
};
use finrank_model::{
    AttributeName, Bundle, EmbeddingSpace, ModelVersion, Sha256Digest,
    features::Definitions,
    policy::{DEFAULT_POLICY, Policy},
};
use finrank_store::{
    Store,
    models::{self, GateResult, PromotionRequest, RegisteredModel, Verdict},
    scratch::ScratchDatabase,
};
use market::{CUSTOMERS, market, purchases, short_learning, short_training};
use serde_json::{Value, json};
use tempfile::TempDir;

const DEFINITIONS: &str = r#"
version = 1

[[view]]
name = "profile"
entity = "customer"
source = "attributes"
description = "What customers say."
owner = "tests"
sensitivity = "personal"
purposes = []

[[view.feature]]
name = "region"
type = "text"
protected = true
description = "Where they live."

[[view.feature]]
name = "origin"
type = "text"
protected = true
description = "Nobody says."
"#;

/// The shipped policy, with bounds for so small a market.
fn policy(changes: &[(&str, &str)]) -> Policy {
    let mut text = DEFAULT_POLICY
        .replace("min_customers = 100", "min_customers = 20")
        .replace("max_error = 0.05", "max_error = 0.2")
        .replace("max_true_positive_gap = 0.1", "max_true_positive_gap = 0.3");
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Policy::parse(&text).unwrap()
}

struct Registry {
    database: ScratchDatabase,
    models: TempDir,
}

impl Registry {
    async fn new() -> Self {
        Self { database: market(&purchases()).await, models: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> &Store {
        &self.database.store
    }

    async fn train(&self, version: &str, learning: LearningConfig) {
        let config = TrainConfig {
            model_version: Some(version.to_owned().try_into().unwrap()),
            learning,
            ..short_training(self.models.path(), 0)
        };
        train(self.store(), &config, ()).await.unwrap();
    }

    async fn check(&self, version: &str, policy: Policy) -> CheckReport {
        let config = CheckConfig {
            models_dir: self.models.path().to_owned(),
            model_version: ModelVersion::parse(version).unwrap(),
            policy,
            definitions: Definitions::parse(DEFINITIONS).unwrap(),
            known: Knowledge::Then,
            checked_by: "ci".to_owned(),
        };
        check(self.store(), &config, ()).await.unwrap()
    }

    async fn promote(&self, version: &str, policy: &Policy) {
        let model_version = &ModelVersion::parse(version).unwrap();
        let request =
            PromotionRequest { model_version, policy: policy.digest, promoted_by: "alice", reason: "" };
        models::promote(self.store(), &request).await.unwrap();
    }
}

fn verdict(report: &CheckReport, gate: &str) -> Verdict {
    found(report, gate).verdict
}

fn found<'a>(report: &'a CheckReport, gate: &str) -> &'a GateResult {
    let found = report.results.iter().find(|result| result.gate == gate);
    found.unwrap_or_else(|| panic!("no {gate} in {:#?}", report.results))
}

/// A model that has hardly learned anything.
fn unlearned() -> LearningConfig {
    LearningConfig { steps: 1, min_epochs: 1, max_epochs: 1, ..short_learning() }
}

#[tokio::test]
async fn a_good_model_passes_is_promoted_and_a_worse_one_is_not() {
    let registry = Registry::new().await;
    registry.train("good", short_learning()).await;
    registry.train("worse", unlearned()).await;

    let first = registry.check("good", policy(&[])).await;
    registry.promote("good", &policy(&[])).await;
    let again = registry.check("worse", policy(&[])).await;

    let against: Vec<_> = first.results.iter().filter(|result| result.verdict.stands_against()).collect();
    assert!(against.is_empty(), "{against:#?}");
    assert_eq!(first.tables.customers, CUSTOMERS, "all that was hidden from every customer");
    assert_eq!(first.tables.quality.as_ref().unwrap().beside, "popularity");
    assert_eq!(verdict(&first, "drift"), Verdict::NotApplicable);
    assert_eq!(verdict(&first, "fairness/origin"), Verdict::NotApplicable);
    for gate in
        ["golden", "forbidden-features", "calibration", "true-positive-gap/region", "calibration-gap/age"]
    {
        assert_eq!(verdict(&first, gate), Verdict::Pass);
    }
    assert_eq!(again.compared_with, Some(ModelVersion::parse("good").unwrap()));
    let quality = found(&again, "quality");
    assert_eq!(quality.verdict, Verdict::Fail);
    assert!(quality.explanation.contains("below the -0.01 asked for"), "{}", quality.explanation);
    assert_eq!(verdict(&again, "drift"), Verdict::Fail, "its scores are nothing like those before");
    let recorded = models::newest_check(registry.store(), &again.model_version).await.unwrap().unwrap();
    assert_eq!((recorded.check_id, recorded.results), (again.check_id, again.results));

    let good = ModelVersion::parse("good").unwrap();
    let card = card(registry.store(), &good, &Definitions::parse(DEFINITIONS).unwrap()).await.unwrap();
    for expected in [
        "# good\n",
        "| region | personal | yes |",
        "| age | not declared | – |",
        "| popularity_mrr |",
        "| holdings | 1200 |",
        "| north | 200 |",
        "| golden | pass |",
        "promoted at",
        "by alice",
    ] {
        assert!(card.contains(expected), "{expected} is not in\n{card}");
    }
    assert!(!card.contains('{'), "every place is filled\n{card}");
}

#[tokio::test]
async fn groups_that_are_shown_other_things_fail_with_the_group_and_by_how_much() {
    let registry = Registry::new().await;
    registry.train("model", short_learning()).await;
    let by_product = policy(&[("\"product_class\"", "\"product\""), ("places = 5", "places = 1")]);

    let report = registry.check("model", by_product).await;
    let few = registry.check("model", policy(&[("min_customers = 20", "min_customers = 201")])).await;
    let none = registry.check("model", policy(&[("min_customers = 20", "min_customers = 401")])).await;

    // Northerners and southerners buy of different halves of the catalogue.
    let ratio = found(&report, "selection-ratio/north-0/region");
    assert_eq!(ratio.verdict, Verdict::Fail);
    assert!(ratio.explanation.contains("of region south are shown north-0 in the first 1"), "{ratio:?}");
    assert!(ratio.explanation.contains("below the 0.8 asked for"), "{ratio:?}");
    assert_eq!(verdict(&few, "group-size/region/north"), Verdict::Insufficient);
    assert_eq!(
        found(&few, "group-size/region/south").explanation,
        "region south has 200 customers, and the policy asks for 201"
    );
    let named = [("attribute = \"age\"\nbands = [30, 45, 60]", "attribute = \"origin\"")];
    let named = registry.check("model", policy(&named)).await;
    assert_eq!(verdict(&named, "fairness/origin"), Verdict::Insufficient, "the policy asks for it");
    for gate in ["quality", "calibration", "fairness", "drift"] {
        assert_eq!(verdict(&none, gate), Verdict::Insufficient);
    }
}

#[tokio::test]
async fn what_the_policy_forbids_is_refused_by_training_and_found_by_the_gate() {
    let registry = Registry::new().await;
    let strict = policy(&[("\"marital_status\"", "\"region\"")]);
    let config = TrainConfig {
        policy: strict.clone(),
        model_version: Some("without".to_owned().try_into().unwrap()),
        learning: unlearned(),
        ..short_training(registry.models.path(), 0)
    };

    let refused = train(registry.store(), &config, ()).await.unwrap_err();
    let leave_out = vec![AttributeName::parse("region").unwrap()];
    let without = train(registry.store(), &TrainConfig { leave_out, ..config }, ()).await.unwrap();
    registry.train("with", unlearned()).await;

    assert!(matches!(refused, LearningError::Forbidden { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("region may not be used where loan is ranked"), "{refused}");
    assert!(refused.ends_with("`finrank train --leave-out region` trains without"), "{refused}");
    let bundle = Bundle::read(&without.bundle_path).unwrap();
    assert_eq!(bundle.manifest.architecture.user.features, ["age", "held"]);
    let report = registry.check("with", strict.clone()).await;
    assert_eq!(verdict(&report, "forbidden-features"), Verdict::Fail);
    assert!(!found(&report, "forbidden-features").waivable);
    assert_eq!(verdict(&registry.check("without", strict).await, "forbidden-features"), Verdict::Pass);
}

#[tokio::test]
async fn golden_vectors_that_are_not_reproduced_fail_the_gate() {
    let registry = Registry::new().await;
    registry.train("model", unlearned()).await;
    let directory = registry.models.path().join("model");
    let mut golden: Value =
        serde_json::from_slice(&fs::read(directory.join("golden.json")).unwrap()).unwrap();
    golden["scores"][0][0] = json!(9.0);
    let golden = serde_json::to_vec(&golden).unwrap();
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    manifest["model_version"] = json!("forged");
    manifest["files"][0]["bytes"] = json!(golden.len());
    manifest["files"][0]["sha256"] = json!(Sha256Digest::of(&golden).to_string());
    let text = serde_json::to_vec(&manifest).unwrap();
    let forged = registry.models.path().join("forged");
    fs::rename(&directory, &forged).unwrap();
    fs::write(forged.join("golden.json"), &golden).unwrap();
    fs::write(forged.join("manifest.json"), &text).unwrap();
    let model = RegisteredModel {
        model_version: ModelVersion::parse("forged").unwrap(),
        embedding_space: EmbeddingSpace::parse("forged").unwrap(),
        bundle_path: forged.display().to_string(),
        bundle_sha256: Sha256Digest::of(&text).to_string(),
        manifest,
        registered_at: chrono::DateTime::UNIX_EPOCH,
    };
    models::register(registry.store(), &model).await.unwrap();

    let report = registry.check("forged", policy(&[])).await;

    assert_eq!(report.results.len(), 1);
    let golden = found(&report, "golden");
    assert_eq!((golden.verdict, golden.waivable), (Verdict::Fail, false));
    assert!(golden.explanation.contains("the scores of customer golden-0, component 0"), "{golden:?}");
}
