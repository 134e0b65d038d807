//! Models that read a feature service: what training and serving compute is the same, and a training that was killed ends
//! as if nothing had happened.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use chrono::{DateTime, Utc};
use finrank_feature_store::BUILT_IN_DEFINITIONS;
use finrank_model::{Bundle, Embedding, UserRecord, features::Definitions};
use finrank_store::{
    features::{Asked, TowerFeatures},
    moments, records,
    scratch::ScratchDatabase,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{Finrank, Server};

/// Customers whose rows are compared.
const USERS: usize = 10_000;

/// A training by time on data that was imported after the fact.
const BY_TIME: [&str; 7] =
    ["train", "--json", "--split", "time", "--feature-service", "towers", "--known-at"];

fn finrank(database: &ScratchDatabase, state: &TempDir) -> Finrank {
    Finrank { state: state.path().to_owned(), database_url: database.store.url().to_owned() }
}

fn bundle_of(report: &str) -> Bundle {
    let report: Value = serde_json::from_str(report).unwrap();
    Bundle::read(Path::new(report["bundle_path"].as_str().unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_computes_of_ten_thousand_customers_what_training_does_bit_for_bit() {
    let (database, state) = (ScratchDatabase::create().await, tempfile::tempdir().unwrap());
    let finrank = finrank(&database, &state);
    finrank.succeed(&["import", "--synthetic", &format!("{USERS},40,7")]);
    let now = Utc::now().to_rfc3339();
    let report = finrank.succeed(&[&BY_TIME[..], &[&now, "--epochs", "1"]].concat());
    let server = Server::start(&finrank, &["serve", "feature-store", "--listen", "127.0.0.1:0"]);

    finrank.succeed(&["refresh", "--feature-store", &server.url]);

    let bundle = bundle_of(&report);
    let moment: DateTime<Utc> = sqlx::query_scalar("select summarised_at from refresh_runs")
        .fetch_one(database.store.pool())
        .await
        .unwrap();
    let set = bundle.user.transform.feature_set().unwrap().clone();
    let definitions = Definitions::parse(BUILT_IN_DEFINITIONS).unwrap();
    let features = TowerFeatures::compile(&definitions, set).unwrap();
    let as_training_reads = as_training_reads(&database, &features, moment).await;
    let mut as_a_refresh_reads = records::user_records(&database.store, None, None, USERS).await.unwrap();
    features.complete_page(&database.store, &mut as_a_refresh_reads, moment).await.unwrap();
    assert_eq!(as_training_reads.len(), USERS);
    let bits = |users: &[UserRecord]| -> Vec<u32> {
        bundle.user.transform.rows(users).dense.iter().map(|feature| feature.to_bits()).collect()
    };
    assert_eq!(bits(&as_training_reads), bits(&as_a_refresh_reads));
    let bought = |user: &UserRecord| user.features.value(4).is_some();
    assert!(as_training_reads.iter().all(bought), "values are there to be compared");
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("select vector from user_embeddings order by user_id")
        .fetch_all(database.store.pool())
        .await
        .unwrap();
    let computed = bundle.user.encode(&as_training_reads).unwrap();
    assert_eq!(stored, computed.iter().map(Embedding::to_le_bytes).collect::<Vec<_>>());
}

async fn as_training_reads(
    database: &ScratchDatabase,
    features: &TowerFeatures,
    moment: DateTime<Utc>,
) -> Vec<UserRecord> {
    let ids = moments::user_ids(&database.store, None, USERS).await.unwrap();
    let asked = |id: &finrank_model::UserId| Asked { id: id.to_string(), as_of: moment, known_at: moment };
    let asked: Vec<Asked> = ids.iter().map(asked).collect();
    let rows = features.read(&database.store, &asked).await.unwrap();
    let users = moments::user_records(&database.store, &asked).await.unwrap();
    users.into_iter().zip(rows).map(|(user, features)| UserRecord { features, ..user.unwrap() }).collect()
}

/// What decides a bundle beside data and settings.
const NAMED: [&str; 4] = ["--model-version", "by-time", "--trained-at", "2026-01-01T00:00:00Z"];

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_was_killed_goes_on_to_the_bundle_of_one_that_was_not() {
    let database = ScratchDatabase::create().await;
    let (state, undisturbed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let finrank = finrank(&database, &state);
    finrank.succeed(&["import", "--synthetic", "400,40,7"]);
    let now = Utc::now().to_rfc3339();
    let training = [&BY_TIME[..], &[&now, "--epochs", "30"], &NAMED].concat();
    let checkpoint = state.path().join("training.safetensors");

    kill_after_epochs(&finrank, &training, &checkpoint, 3);
    let refused = finrank.fail(&[&training[..], &["--resume", "--seed", "9"]].concat());
    kill_after_epochs(&finrank, &[&training[..], &["--resume"]].concat(), &checkpoint, 3);
    let resumed = finrank.succeed(&[&training[..], &["--resume"]].concat());

    let finrank = Finrank { state: undisturbed.path().to_owned(), ..finrank };
    let whole = finrank.succeed(&training);
    let [resumed, whole] = [resumed, whole].map(|report| serde_json::from_str::<Value>(&report).unwrap());
    assert_eq!(resumed["bundle_sha256"], whole["bundle_sha256"]);
    assert_eq!(resumed["epochs"], whole["epochs"]);
    assert!(refused.contains("is of another training: seed is 9, was 0"), "{refused}");
    assert!(!checkpoint.exists(), "nothing is left to go on with");
}

/// Starts a training and kills it once it has written its checkpoint so many times.
fn kill_after_epochs(finrank: &Finrank, training: &[&str], checkpoint: &Path, epochs: usize) {
    let written = || fs::metadata(checkpoint).and_then(|metadata| metadata.modified()).ok();
    let mut last = written();
    let mut training = finrank.command(training);
    let mut training: Child = training.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = 0;
    while seen < epochs {
        assert!(training.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
        let now = written();
        seen += usize::from(now.is_some() && now != last);
        last = now.or(last);
    }
    kill(Pid::from_raw(training.id().cast_signed()), Signal::SIGKILL).unwrap();
    assert!(!training.wait().unwrap().success());
    assert!(checkpoint.exists());
}
