//! A part of the log in a file: it holds by itself and the public key, and what was done to it is found at its place.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use chrono::Utc;
use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord, LogPart, log_part::Part};
use finrank_decisions::{
    DecisionLogConfig, DecisionLogError, Mode, Result,
    chain::Link,
    checkpoint::{CheckpointKey, PublicKey},
    entry::Entry,
    export::{Range, export},
    exported::{ExportCheck, ExportVerification, parts},
    verify::FaultKind,
    writer::DecisionLog,
};
use finrank_model::{Sha256Digest, UserId};
use finrank_store::scratch::ScratchDatabase;
use prost::Message;
use tokio::sync::mpsc;
use uuid::Uuid;

fn key() -> CheckpointKey {
    CheckpointKey::new(&[7; 32])
}

/// A log of ten decisions, of which the fourth, the eighth and the last are signed.
async fn written() -> ScratchDatabase {
    let database = ScratchDatabase::create().await;
    let config =
        DecisionLogConfig { mode: Mode::Strict, checkpoint_every: 4, ..DecisionLogConfig::default() };
    for ks in [0..4, 4..8, 8..10] {
        let (log, writing) = DecisionLog::start(database.store.clone(), &config, key());
        let mut receipts = Vec::new();
        for k in ks {
            let record = DecisionRecord { k, ..DecisionRecord::default() };
            let user_id = UserId::parse("somebody").unwrap();
            let entry = Entry::new(Uuid::now_v7(), Utc::now(), user_id, record, DecisionInputs::default());
            receipts.push(log.place().await.unwrap().take(entry));
        }
        for receipt in receipts {
            receipt.kept().await.unwrap();
        }
        drop(log);
        writing.finish().await;
    }
    database
}

async fn exported(database: &ScratchDatabase, first: i64, last: i64) -> Result<Vec<LogPart>> {
    let (sender, mut sent) = mpsc::channel(100);
    let range = Range::new(Some(first), Some(last)).unwrap();
    export(&database.store, &[key().public()], range, &sender).await?;
    drop(sender);
    let mut parts = Vec::new();
    while let Some(part) = sent.recv().await {
        parts.push(part?);
    }
    Ok(parts)
}

fn file(parts: &[LogPart]) -> Vec<u8> {
    parts.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

fn checked(file: &[u8], key: PublicKey, expected: Option<Link>) -> Result<ExportVerification> {
    let mut check = ExportCheck::new(Some(vec![key]), expected);
    for part in parts(file) {
        check.take(&part?)?;
    }
    check.finish()
}

/// What is found in a file once somebody had their hands on it.
fn found(parts: &[LogPart]) -> Option<(i64, FaultKind)> {
    let found = checked(&file(parts), key().public(), None).unwrap();
    found.fault.map(|fault| (fault.sequence, fault.kind))
}

fn record_at(parts: &mut [LogPart], wanted: i64) -> &mut finrank_contracts::ranking::v1::LogRecord {
    let records = parts.iter_mut().filter_map(|part| match &mut part.part {
        Some(Part::Record(record)) => Some(record),
        _ => None,
    });
    records.into_iter().find(|record| record.sequence == wanted).unwrap()
}

#[tokio::test]
async fn a_part_of_the_log_holds_by_itself_and_the_public_key() {
    let database = written().await;

    let middle = exported(&database, 3, 6).await.unwrap();
    let whole = exported(&database, 1, 10).await.unwrap();

    let found = checked(&file(&middle), key().public(), None).unwrap();
    assert_eq!((found.first, found.verified.sequence), (3, 6));
    assert_eq!((found.covered, found.checkpoints, found.fault), (6, 2, None));
    let seventh = middle.iter().filter(|part| matches!(part.part, Some(Part::FollowingSha256(_)))).count();
    assert_eq!(seventh, 2, "the eighth was signed");
    let all = checked(&file(&whole), key().public(), Some(found.verified)).unwrap();
    assert_eq!((all.first, all.verified.sequence, all.covered, all.fault), (1, 10, 10, None));
    let by_its_own_keys = ExportCheck::new(None, None);
    let by_its_own_keys = whole.iter().try_fold(by_its_own_keys, |mut check, part| {
        check.take(part)?;
        Ok::<_, DecisionLogError>(check)
    });
    assert_eq!(by_its_own_keys.unwrap().finish().unwrap(), all);
}

#[tokio::test]
async fn what_was_done_to_a_file_is_found_at_its_place() {
    let whole = exported(&written().await, 1, 10).await.unwrap();
    let place = |wanted: i64| {
        let is_it =
            |part: &LogPart| matches!(&part.part, Some(Part::Record(record)) if record.sequence == wanted);
        whole.iter().position(is_it).unwrap()
    };

    let mut flipped = whole.clone();
    record_at(&mut flipped, 3).record[20] ^= 1;
    let mut removed = whole.clone();
    removed.remove(place(6));
    let mut swapped = whole.clone();
    swapped.swap(place(6), place(7));
    // As somebody does who knows how hashes are made.
    let mut anew = whole.clone();
    let mut link = Link::BEGINNING;
    for sequence in 1..=10 {
        let record = record_at(&mut anew, sequence);
        if sequence == 2 {
            record.record = DecisionRecord { k: 99, ..DecisionRecord::default() }.encode_to_vec();
        }
        link = link.then(&record.record);
        record.sha256 = link.sha256.as_bytes().to_vec();
    }
    let mut unsigned = whole.clone();
    for part in &mut unsigned {
        if let Some(Part::Checkpoint(checkpoint)) = &mut part.part {
            checkpoint.signature[0] ^= 1;
        }
    }

    assert_eq!(found(&whole), None);
    assert_eq!(found(&flipped), Some((3, FaultKind::RecordChanged)));
    assert_eq!(found(&removed), Some((6, FaultKind::Missing)));
    assert_eq!(found(&swapped), Some((6, FaultKind::Missing)));
    assert_eq!(found(&anew), Some((4, FaultKind::ChainRewritten)));
    assert_eq!(found(&unsigned), Some((4, FaultKind::SignatureInvalid)));
    let stranger = CheckpointKey::new(&[8; 32]).public();
    let distrusted = checked(&file(&whole), stranger, None).unwrap().fault.unwrap();
    assert_eq!((distrusted.sequence, distrusted.kind), (4, FaultKind::KeyUnknown));
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused_and_one_that_was_shortened_covers_less() {
    let whole = exported(&written().await, 1, 10).await.unwrap();
    let told = checked(&file(&whole), key().public(), None).unwrap().verified;
    let bytes = file(&whole);

    let cut = checked(&bytes[..bytes.len() - 1], key().public(), None).unwrap_err();
    let endless = checked(&file(&whole[..whole.len() - 1]), key().public(), None).unwrap_err();
    let mut shortened: Vec<LogPart> = whole
        .iter()
        .filter(|part| match &part.part {
            Some(Part::Record(record)) => record.sequence <= 9,
            Some(Part::Checkpoint(checkpoint)) => checkpoint.sequence <= 9,
            _ => true,
        })
        .cloned()
        .collect();
    let short = found(&shortened);
    for part in &mut shortened {
        match &mut part.part {
            Some(Part::Head(head)) => head.last = 9,
            Some(Part::End(end)) => end.records = 9,
            _ => {}
        }
    }
    let covering = checked(&file(&shortened), key().public(), None).unwrap();
    let expected = checked(&file(&shortened), key().public(), Some(told)).unwrap_err();
    let other = Link { sha256: Sha256Digest::of(b"other"), ..told };
    let rewritten = checked(&bytes, key().public(), Some(other)).unwrap().fault.unwrap();

    assert!(cut.to_string().contains("cut off"), "{cut}");
    assert!(endless.to_string().contains("its end is missing"), "{endless}");
    assert_eq!(short, Some((10, FaultKind::Missing)));
    assert_eq!((covering.verified.sequence, covering.covered, covering.fault), (9, 8, None));
    assert!(expected.to_string().contains("decision 10 is not in it"), "{expected}");
    assert_eq!((rewritten.sequence, rewritten.kind), (10, FaultKind::ChainRewritten));
}

#[tokio::test]
async fn a_part_that_the_log_does_not_have_is_named() {
    let database = written().await;

    let beyond = exported(&database, 11, 12).await.unwrap_err();

    assert!(matches!(beyond, DecisionLogError::NoSuchPart { first: 11, last: 12, end: 10 }), "{beyond}");
    let faults = [(Some(0), None), (Some(5), Some(4))].map(|(first, last)| Range::new(first, last));
    let fields = faults.map(|fault| fault.unwrap_err().field.to_string());
    assert_eq!(fields, ["first", "last"]);
}
