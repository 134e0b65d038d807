//! Which model is served: promoted by its gates, waived, refused, rolled back, and followed by a running ranking server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use finrank_contracts::{
    feature::v1::{BatchGetEmbeddingsRequest, EntityKind},
    ranking::v1::RecommendRequest,
};
use finrank_model::policy::DEFAULT_POLICY;
use finrank_store::scratch::ScratchDatabase;
use serde_json::Value;

use crate::world::{Finrank, World, eventually};

/// Settings with the shipped policy without bounds that a few hundred customers cannot keep, but for one.
pub(crate) fn policy_file(state: &Path, max_psi: &str) -> PathBuf {
    let mut text = DEFAULT_POLICY.to_owned();
    for (from, to) in [
        ("min_customers = 100", "min_customers = 1"),
        ("margin = 0.01", "margin = 1"),
        ("max_error = 0.05", "max_error = 1"),
        ("min_selection_ratio = 0.8", "min_selection_ratio = 0"),
        ("max_true_positive_gap = 0.1", "max_true_positive_gap = 1"),
        ("max_calibration_gap = 0.05", "max_calibration_gap = 1"),
        ("max_psi = 0.25", max_psi),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let policy = state.join("policy.toml");
    fs::write(&policy, text).unwrap();
    let settings = state.join("finrank.toml");
    fs::write(&settings, format!("[feature_store.promotion]\npolicy = {policy:?}\n")).unwrap();
    settings
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Trains as much again, and returns the version.
fn train(world: &World, seed: &str) -> String {
    let report = json(&world.finrank().succeed(&["train", "--epochs", "1", "--seed", seed, "--json"]));
    report["model_version"].as_str().unwrap().to_owned()
}

async fn until_ranking_serves(world: &World, version: &str) {
    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 3, ..Default::default() };
    eventually(&format!("ranking serves {version}"), async || {
        let answer = world.ranking().await.recommend(request.clone()).await.unwrap().into_inner();
        answer.versions.unwrap().model_version == version
    })
    .await;
}

async fn version_of_embeddings(world: &World) -> String {
    let request = BatchGetEmbeddingsRequest {
        entity: EntityKind::User.into(),
        ids: vec![world.user_ids[0].clone()],
        ..Default::default()
    };
    let found = world.feature_store().await.batch_get_embeddings(request).await.unwrap().into_inner();
    found.generation.unwrap().model_version
}

#[tokio::test]
async fn a_promoted_model_is_served_a_refused_one_is_not_and_a_rollback_brings_the_first_back() {
    let world = World::create().await;
    let finrank = world.finrank();
    let settings = policy_file(world.state.path(), "max_psi = 0.25");
    let with = |args: &[&str]| {
        let settings = settings.to_str().unwrap();
        [&["--config", settings], args].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let succeed = |args: &[&str]| {
        let args = with(args);
        finrank.succeed(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let fail = |args: &[&str]| {
        let args = with(args);
        finrank.fail(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let listed = json(&succeed(&["model", "list", "--json"]));
    let first = listed[0]["model_version"].as_str().unwrap().to_owned();

    let promoted = json(&succeed(&["model", "promote", &first, "--by", "alice", "--json"]));
    let second = train(&world, "0");
    let early = fail(&["model", "promote", &second, "--by", "alice"]);
    finrank.succeed(&["refresh", "--model-version", &second, "--feature-store", &world.feature_store_url]);

    assert_eq!(promoted["check"]["compared_with"], Value::Null);
    assert!(early.contains("no refresh is whole"), "{early}");
    assert_eq!(version_of_embeddings(&world).await, first, "refreshed is not promoted");

    // Any other scores have moved.
    policy_file(world.state.path(), "max_psi = 0.0");
    let refused = fail(&["model", "promote", &second, "--by", "alice"]);
    let waive = [
        "model",
        "waive",
        &second,
        "drift",
        "--by",
        "alice",
        "--reason",
        "meant to be",
        "--expires",
        "2099-01-01",
    ];
    let alone = fail(&[&waive[..], &["--approved-by", "alice"]].concat());
    succeed(&[&waive[..], &["--approved-by", "bob"]].concat());
    let own = fail(&["model", "promote", &second, "--by", "bob"]);
    let waived = succeed(&["model", "promote", &second, "--by", "alice", "--reason", "monthly"]);

    assert!(refused.contains("drift: the population stability index of scores"), "{refused}");
    assert!(refused.contains("above the 0 allowed"), "{refused}");
    assert!(alone.contains("a second name is needed"), "{alone}");
    assert!(own.contains("bob approved it, and promotes"), "{own}");
    assert!(
        waived.contains(&format!("{second} is served from now on, by alice, with waivers 1")),
        "{waived}"
    );
    until_ranking_serves(&world, &second).await;
    eventually("embeddings are of what is promoted", async || version_of_embeddings(&world).await == second)
        .await;
    let card = succeed(&["model", "show", "--card"]);
    assert!(card.starts_with(&format!("# {second}\n")), "what is served is shown\n{card}");
    assert!(
        card.contains("drift, until 2099-01-01") && card.contains("approved by bob: meant to be"),
        "{card}"
    );

    let rolled = succeed(&["model", "rollback", "--by", "carol", "--reason", "complaints"]);
    until_ranking_serves(&world, &first).await;
    let bottom = fail(&["model", "rollback", "--by", "carol", "--reason", "complaints"]);
    let listed = succeed(&["model", "list"]);
    let compared = succeed(&["model", "compare", &second]);

    assert!(rolled.contains(&format!("{first} is served again, by carol")), "{rolled}");
    assert!(bottom.contains(&format!("nothing was promoted before {first}")), "{bottom}");
    let serving = listed.lines().find(|line| line.contains("serving")).unwrap();
    assert!(serving.contains(&first), "{listed}");
    assert!(compared.contains("popularity_mrr") && compared.contains(&first), "{compared}");
}

#[tokio::test]
async fn a_model_of_credit_may_not_know_who_is_married() {
    let database = ScratchDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let finrank = Finrank { state: state.path().to_owned(), database_url: database.store.url().to_owned() };
    let file = state.path().join("customers.csv");
    fs::write(&file, "user_id,event_time,marital_status\nxx-1,2026-01-01,married\n").unwrap();
    finrank.succeed(&["import", "--synthetic", "60,12,3"]);
    finrank.succeed(&["import", "--customers", file.to_str().unwrap()]);

    let refused = finrank.fail(&["train", "--epochs", "1"]);
    let without = finrank.succeed(&["train", "--epochs", "1", "--leave-out", "marital_status", "--json"]);

    assert!(refused.contains("marital_status may not be used where credit_card is ranked"), "{refused}");
    assert!(refused.contains("`finrank train --leave-out marital_status` trains without"), "{refused}");
    let version = json(&without)["model_version"].as_str().unwrap().to_owned();
    let shown = json(&finrank.succeed(&["model", "show", &version, "--json"]));
    let features = shown["manifest"]["architecture"]["user"]["features"].to_string();
    assert!(!features.contains("marital_status") && features.contains("annual_income"), "{features}");
}

#[tokio::test]
async fn a_policy_with_an_unknown_key_is_refused_with_its_file() {
    let world = World::shared().await;
    let state = world.state.path();
    let policy = state.join("typo.toml");
    fs::write(&policy, DEFAULT_POLICY.replace("places =", "place =")).unwrap();
    let settings = state.join("typo-settings.toml");
    fs::write(&settings, format!("[feature_store.promotion]\npolicy = {policy:?}\n")).unwrap();

    let args = ["--config", settings.to_str().unwrap(), "model", "check", "anything", "--by", "ci"];
    let stderr = world.finrank().fail(&args);

    assert!(stderr.contains("typo.toml") && stderr.contains("place"), "{stderr}");
}
