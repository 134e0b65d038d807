//! The log in a real Postgres: what is written is found again as it was, and what is tampered with is found at its place.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::{num::NonZeroUsize, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord};
use finrank_decisions::{
    DecisionLogConfig, DecisionLogError, Mode,
    chain::Link,
    checkpoint::{CheckpointKey, PublicKey},
    entry::Entry,
    proof, read,
    verify::{FaultKind, Verification, verify},
    writer::{DecisionLog, sign},
};
use finrank_model::UserId;
use finrank_store::scratch::ScratchDatabase;
use sqlx::Row;
use tokio::time::timeout;
use uuid::Uuid;

const SECRET: [u8; 32] = [7; 32];

fn key() -> CheckpointKey {
    CheckpointKey::new(&SECRET)
}

fn config(mode: Mode) -> DecisionLogConfig {
    DecisionLogConfig { mode, checkpoint_every: 4, ..DecisionLogConfig::default() }
}

fn entry(user: &str, k: u32) -> (Uuid, Entry) {
    let decision_id = Uuid::now_v7();
    let record = DecisionRecord { k, ..DecisionRecord::default() };
    let inputs = DecisionInputs { embedding: vec![0.5, k as f32], ..DecisionInputs::default() };
    (decision_id, Entry::new(decision_id, Utc::now(), UserId::parse(user).unwrap(), record, inputs))
}

/// A database that knows one customer, "known".
async fn database() -> ScratchDatabase {
    let database = ScratchDatabase::create().await;
    let statement =
        "insert into customer_statements (user_id, attributes, event_time) values ('known', '{}', now())";
    sqlx::query(statement).execute(database.store.pool()).await.unwrap();
    database
}

/// Writes so many decisions, and signs the last four and every four before.
async fn written(database: &ScratchDatabase, count: u32) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for first in (0..count).step_by(4) {
        // One batch each, so that it is signed when it is full.
        let (log, writing) = DecisionLog::start(database.store.clone(), &config(Mode::Strict), key());
        let mut receipts = Vec::new();
        for k in first..count.min(first + 4) {
            let (decision_id, entry) = entry("known", k);
            receipts.push(log.place().await.unwrap().take(entry));
            ids.push(decision_id);
        }
        for receipt in receipts {
            receipt.kept().await.unwrap();
        }
        drop(log);
        writing.finish().await;
    }
    ids
}

async fn verified(database: &ScratchDatabase) -> Verification {
    verify(&database.store, &[key().public()], None, |_| {}).await.unwrap()
}

/// As somebody does who owns the database: past the triggers that keep history.
async fn tamper(database: &ScratchDatabase, statement: &str) {
    let mut connection = database.store.pool().acquire().await.unwrap();
    sqlx::query("set session_replication_role = replica").execute(&mut *connection).await.unwrap();
    let changed = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    sqlx::query("set session_replication_role = origin").execute(&mut *connection).await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_read_as_it_was_and_the_chain_holds() {
    let database = database().await;

    let ids = written(&database, 10).await;

    let third = read::decision(&database.store, ids[2]).await.unwrap();
    assert_eq!((third.link.sequence, third.record.k), (3, 2));
    assert_eq!(third.record.decision_id, ids[2].to_string());
    let inputs = third.inputs.unwrap();
    assert_eq!((inputs.user_id.as_str(), inputs.embedding, inputs.salt.len()), ("known", vec![0.5, 2.0], 32));
    let unknown = read::decision(&database.store, Uuid::now_v7()).await.unwrap_err();
    assert!(matches!(unknown, DecisionLogError::NotFound(_)));
    let found = verified(&database).await;
    assert_eq!((found.verified.sequence, found.covered, found.fault), (10, 10, None));
    assert!(found.checkpoints >= 3, "{found:?}");
}

#[tokio::test]
async fn every_tampering_is_found_at_its_place() {
    let cases = [
        (
            "update decisions set record = set_byte(record, 20, get_byte(record, 20) # 1) where sequence = 3",
            3,
            FaultKind::RecordChanged,
        ),
        (
            "update decisions set sha256 = set_byte(sha256, 31, get_byte(sha256, 31) # 1) where sequence = 3",
            3,
            FaultKind::RecordChanged,
        ),
        ("delete from decisions where sequence = 1", 1, FaultKind::Missing),
        ("delete from decisions where sequence = 6", 6, FaultKind::Missing),
        ("delete from decisions where sequence >= 7", 7, FaultKind::Missing),
        ("delete from decisions", 1, FaultKind::Missing),
        (
            "update decisions set record = other.record from decisions as other where decisions.sequence + other.sequence = 11 and decisions.sequence in (5, 6)",
            5,
            FaultKind::RecordChanged,
        ),
        (
            "update decisions set decided_at = decided_at - interval '1 day' where sequence = 2",
            2,
            FaultKind::ColumnsChanged,
        ),
        (
            "update decisions set decision_id = gen_random_uuid() where sequence = 2",
            2,
            FaultKind::ColumnsChanged,
        ),
        (
            "update decision_inputs set inputs = inputs || 'x'::bytea where decision_id = (select decision_id from decisions where sequence = 9)",
            9,
            FaultKind::InputsChanged,
        ),
        (
            "update decision_inputs set user_id = 'other' where decision_id = (select decision_id from decisions where sequence = 9)",
            9,
            FaultKind::InputsChanged,
        ),
        (
            "update decision_checkpoints set signature = set_byte(signature, 0, get_byte(signature, 0) # 1) where sequence = 8",
            8,
            FaultKind::SignatureInvalid,
        ),
        (
            "update decision_checkpoints set sha256 = set_byte(sha256, 0, get_byte(sha256, 0) # 1) where sequence = 4",
            4,
            FaultKind::ChainRewritten,
        ),
        (
            "update decision_checkpoints set public_key = decode(repeat('02', 32), 'hex') where sequence = 8",
            8,
            FaultKind::SignatureInvalid,
        ),
        (
            "insert into decision_checkpoints
             select 99, sha256, signed_at, decode(repeat('02', 32), 'hex'), signature from decision_checkpoints limit 1",
            99,
            FaultKind::SignatureInvalid,
        ),
        (
            "insert into decision_checkpoints select 0, sha256, signed_at, public_key, signature from decision_checkpoints limit 1",
            0,
            FaultKind::SignatureInvalid,
        ),
    ];
    for (statement, sequence, kind) in cases {
        let database = database().await;
        written(&database, 10).await;

        tamper(&database, statement).await;

        let fault = verified(&database).await.fault.unwrap_or_else(|| panic!("not found: {statement}"));
        assert_eq!((fault.sequence, fault.kind), (sequence, kind), "{statement}");
    }
}

#[tokio::test]
async fn a_chain_that_is_written_anew_does_not_end_at_what_was_signed() {
    let (genuine, forged) = (database().await, database().await);
    written(&genuine, 8).await;
    written(&forged, 8).await;
    let signed = sqlx::query("select * from decision_checkpoints where sequence = 8")
        .fetch_one(genuine.store.pool())
        .await
        .unwrap();
    tamper(&forged, "delete from decision_checkpoints").await;

    sqlx::query("insert into decision_checkpoints values ($1, $2, $3, $4, $5)")
        .bind(signed.get::<i64, _>("sequence"))
        .bind(signed.get::<Vec<u8>, _>("sha256"))
        .bind(signed.get::<DateTime<Utc>, _>("signed_at"))
        .bind(signed.get::<Vec<u8>, _>("public_key"))
        .bind(signed.get::<Vec<u8>, _>("signature"))
        .execute(forged.store.pool())
        .await
        .unwrap();
    let fault = verified(&forged).await.fault.unwrap();
    tamper(&forged, "delete from decision_checkpoints").await;
    sign(&forged.store, &CheckpointKey::new(&[9; 32]), Link::BEGINNING).await.unwrap().unwrap();
    let signed_by_another = verified(&forged).await.fault.unwrap();

    assert_eq!((fault.sequence, fault.kind), (8, FaultKind::ChainRewritten));
    assert_eq!((signed_by_another.sequence, signed_by_another.kind), (8, FaultKind::KeyUnknown));
}

#[tokio::test]
async fn a_log_that_was_cut_off_with_its_checkpoints_is_found_by_who_knows_how_long_it_was() {
    let database = database().await;
    written(&database, 10).await;
    let told = verified(&database).await.verified;
    tamper(&database, "delete from decisions where sequence > 7").await;
    tamper(&database, "delete from decision_checkpoints where sequence > 7").await;

    let by_itself = verified(&database).await.fault;
    let known = verify(&database.store, &[key().public()], Some(told), |_| {}).await.unwrap().fault;

    assert_eq!(by_itself, None);
    let known = known.unwrap();
    assert_eq!((known.sequence, known.kind), (8, FaultKind::CutOff));
}

#[tokio::test]
async fn history_cannot_be_changed_by_who_may_only_write() {
    let database = database().await;
    written(&database, 1).await;

    for statement in [
        "update decisions set record = ''",
        "delete from decisions",
        "truncate decisions",
        "delete from decision_checkpoints",
    ] {
        let refused = sqlx::query(statement).execute(database.store.pool()).await.unwrap_err();
        assert!(refused.to_string().contains("is history"), "{refused}");
    }
}

#[tokio::test]
async fn a_decision_is_proven_to_who_has_only_the_public_key() {
    let database = database().await;
    let ids = written(&database, 10).await;
    let trusted = [key().public()];

    for (place, &decision_id) in ids.iter().enumerate() {
        let proven = proof::prove(&database.store, &trusted, decision_id).await.unwrap();
        assert_eq!(proof::check(&proven, &trusted).unwrap().k as usize, place);
    }

    tamper(
        &database,
        "insert into decision_checkpoints
         select 2, sha256, signed_at, public_key, signature from decision_checkpoints order by sequence limit 1",
    )
    .await;
    let proven = proof::prove(&database.store, &trusted, ids[1]).await.unwrap();
    assert!(proof::check(&proven, &trusted).is_ok(), "what somebody made up is passed over");
    assert!(!proven.following.is_empty());
    let mut changed = proven.clone();
    *changed.record.last_mut().unwrap() ^= 1;
    let mut moved = proven.clone();
    moved.sequence += 1;
    let mut shortened = proven.clone();
    shortened.following.pop();
    for forged in [changed, moved, shortened] {
        let refusal = proof::check(&forged, &trusted).unwrap_err().to_string();
        assert!(refusal.contains("does not end at the checkpoint"), "{refusal}");
    }
    let stranger: PublicKey = CheckpointKey::new(&[1; 32]).public();
    assert!(proof::check(&proven, &[stranger]).unwrap_err().to_string().contains("not one that is trusted"));
}

#[tokio::test]
async fn what_is_not_signed_yet_is_not_proven_and_who_is_not_known_leaves_no_inputs() {
    let database = database().await;
    let (log, writing) = DecisionLog::start(database.store.clone(), &config(Mode::Strict), key());
    let (decision_id, of_nobody) = entry("erased meanwhile", 1);

    log.place().await.unwrap().take(of_nobody).kept().await.unwrap();
    let early = proof::prove(&database.store, &[key().public()], decision_id).await.unwrap_err();
    drop(log);
    writing.finish().await;

    assert!(matches!(early, DecisionLogError::NotSignedYet(_)));
    assert!(read::decision(&database.store, decision_id).await.unwrap().inputs.is_none());
    let found = verified(&database).await;
    assert_eq!((found.verified.sequence, found.covered, found.inputs_erased, found.fault), (1, 1, 1, None));
}

#[tokio::test]
async fn writers_of_several_servers_share_one_chain() {
    let database = database().await;
    let servers = [0, 1, 2].map(|_| DecisionLog::start(database.store.clone(), &config(Mode::Queued), key()));

    let deciding = servers.map(|(log, writing)| async move {
        for k in 0..40 {
            log.place().await.unwrap().take(entry("known", k).1).kept().await.unwrap();
        }
        drop(log);
        writing.finish().await;
    });
    futures::future::join_all(deciding).await;

    let found = verified(&database).await;
    assert_eq!((found.verified.sequence, found.covered, found.fault), (120, 120, None));
}

#[tokio::test]
async fn nobody_decides_what_cannot_be_kept_and_nothing_is_lost_while_postgres_is_away() {
    let database = database().await;
    let queue = NonZeroUsize::new(2).unwrap();
    let (log, writing) = DecisionLog::start(
        database.store.clone(),
        &DecisionLogConfig { queue, ..config(Mode::Queued) },
        key(),
    );
    sqlx::query("alter table decisions rename to away").execute(database.store.pool()).await.unwrap();

    let mut taken = 0;
    while let Ok(place) = timeout(Duration::from_millis(500), log.place()).await {
        place.unwrap().take(entry("known", taken).1).kept().await.unwrap();
        taken += 1;
    }
    sqlx::query("alter table away rename to decisions").execute(database.store.pool()).await.unwrap();
    drop(log);
    writing.finish().await;

    // The queue and one batch.
    assert!((3..=6).contains(&taken), "{taken}");
    assert_eq!(verified(&database).await.verified.sequence, i64::from(taken));
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_not_gone_on_with_and_differs_from_what_was_told() {
    let database = database().await;
    written(&database, 3).await;
    let told = verified(&database).await.verified;
    let (log, writing) = DecisionLog::start(database.store.clone(), &config(Mode::Queued), key());
    log.place().await.unwrap().take(entry("known", 3).1);
    while verified(&database).await.verified.sequence < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // As somebody does who knows how hashes are made, and removes what was signed.
    tamper(&database, "delete from decision_checkpoints").await;
    tamper(&database, "delete from decisions where sequence >= 3").await;
    let (forged, forging) = DecisionLog::start(database.store.clone(), &config(Mode::Strict), key());
    for k in [7, 8] {
        forged.place().await.unwrap().take(entry("known", k).1).kept().await.unwrap();
    }
    drop(forged);
    forging.finish().await;
    tamper(&database, "delete from decision_checkpoints").await;
    log.place().await.unwrap().take(entry("known", 9).1);
    tokio::time::sleep(Duration::from_millis(300)).await;

    let found = verified(&database).await;
    assert_eq!(
        (found.verified.sequence, found.checkpoints, found.fault),
        (4, 0, None),
        "it is not gone on with"
    );
    let trusted = [key().public()];
    let fault = verify(&database.store, &trusted, Some(told), |_| {}).await.unwrap().fault.unwrap();
    assert_eq!((fault.sequence, fault.kind), (3, FaultKind::ChainRewritten));
    drop((log, writing));
}
