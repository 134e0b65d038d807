//! The decision log behind a real ranking server: what was answered is what is kept, and it outlives whatever happens.

use std::fs;

use finrank_contracts::{
    common::v1::ProductClass,
    feature::v1::EraseCustomerRequest,
    ranking::v1::{
        BatchRecommendRequest, GetDecisionRequest, GetDecisionResponse, LogVerification, OutcomeKind,
        ProductFilters, RecommendRequest, RecommendResponse, RecordOutcomeRequest, SelectionWishes,
        VerifyDecisionLogRequest, ranking_service_client::RankingServiceClient,
        verify_decision_log_response::Step,
    },
};
use finrank_model::Sha256Digest;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{Server, World, eventually};

fn wished() -> ProductFilters {
    ProductFilters {
        product_classes: vec![ProductClass::Loan.into(), ProductClass::CreditCard.into()],
        ..Default::default()
    }
}

async fn recommended(world: &World, user_id: &str) -> RecommendResponse {
    let request = RecommendRequest {
        user_id: user_id.to_owned(),
        k: 4,
        selection: Some(SelectionWishes { diversity: Some(0.25) }),
        filters: Some(wished()),
        ..Default::default()
    };
    world.ranking().await.recommend(request).await.unwrap().into_inner()
}

/// A decision, once it is written: answers do not wait for that.
pub(crate) async fn kept(world: &World, decision_id: &str) -> GetDecisionResponse {
    let request = GetDecisionRequest { decision_id: decision_id.to_owned(), include_inputs: true };
    let mut ranking = world.ranking().await;
    let mut found = None;
    eventually("the decision is kept", async || {
        found = ranking.get_decision(request.clone()).await.ok();
        found.is_some()
    })
    .await;
    found.unwrap().into_inner()
}

async fn verified(world: &World) -> LogVerification {
    let answers = world.ranking().await.verify_decision_log(VerifyDecisionLogRequest::default()).await;
    let mut answers = answers.unwrap().into_inner();
    loop {
        if let Some(Step::Summary(summary)) = answers.message().await.unwrap().unwrap().step {
            return summary;
        }
    }
}

#[tokio::test]
async fn what_was_answered_is_kept_with_all_that_it_was_made_from() {
    let world = World::shared().await;
    let user_id = &world.user_ids[7];

    let answer = recommended(world, user_id).await;
    let kept = kept(world, &answer.decision_id).await;

    let record = kept.record.unwrap();
    let offered: Vec<(String, f64)> = record
        .items
        .iter()
        .map(|item| item.candidate.as_ref().unwrap())
        .map(|candidate| (candidate.product_id.clone(), f64::from(candidate.score)))
        .collect();
    let told: Vec<(String, f64)> =
        answer.items.iter().map(|item| (item.product_id.clone(), item.score)).collect();
    assert_eq!(offered, told);
    let salt = kept.inputs.as_ref().unwrap().salt.as_slice();
    for (item, told) in record.items.iter().zip(&answer.items) {
        let proof = told.proof.as_ref().unwrap().sha256.as_slice();
        let salted = Sha256Digest::of_parts([b"finrank.decision.item.v1".as_slice(), salt, proof]);
        assert_eq!(item.proof_sha256, salted.as_bytes());
    }
    let versions = answer.versions.unwrap();
    assert_eq!(record.model_version, versions.model_version);
    assert_eq!(
        (record.index_generation, record.user_generation),
        (versions.index_generation, versions.user_generation)
    );
    assert_eq!((record.eligible_count, record.k), (answer.eligible_count, 4));
    assert!(record.candidates.len() >= record.items.len());
    assert_eq!(record.diversity, 0.25);
    let inputs = kept.inputs.unwrap();
    assert_eq!(inputs.filters, Some(wished()));
    assert_eq!(&inputs.user_id, user_id);
    assert_eq!(inputs.embedding.len(), 64);
    assert!(!inputs.features.is_empty());
    assert_eq!(inputs.features.len(), inputs.values.len());
    assert_eq!(verified(world).await.fault, None);
}

#[tokio::test]
async fn a_batch_keeps_each_of_its_decisions() {
    let world = World::shared().await;
    let message = BatchRecommendRequest {
        user_ids: world.user_ids[20..80].to_vec(),
        request: Some(RecommendRequest { k: 1, ..Default::default() }),
    };

    let before = verified(world).await.verified;
    let answers = world.ranking().await.batch_recommend(tokio_stream::iter([message])).await.unwrap();
    let mut answers = answers.into_inner();
    let mut answered = 0;
    while answers.message().await.unwrap().is_some() {
        answered += 1;
    }

    assert_eq!(answered, 60);
    eventually("all are kept", async || verified(world).await.verified >= before + 60).await;
}

#[tokio::test]
async fn an_erased_customer_leaves_a_chain_that_still_holds() {
    let world = World::shared().await;
    let user_id = world.user_ids.last().unwrap();
    let answer = recommended(world, user_id).await;
    let before = kept(world, &answer.decision_id).await;
    let click = told(&answer, "click-1", OutcomeKind::Click);
    world.ranking().await.record_outcome(click.clone()).await.unwrap();

    let exported = world.finrank().succeed(&[
        "customer",
        "export",
        user_id,
        "--feature-store",
        &world.feature_store_url,
    ]);
    let erased = EraseCustomerRequest { user_id: user_id.clone() };
    let receipt = world.feature_store().await.erase_customer(erased).await.unwrap().into_inner();

    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (statement, table) in [("decision", "decision_inputs"), ("outcome", "decision_outcomes")] {
        let line = lines.iter().find(|line| line["statement"] == statement).unwrap();
        assert_eq!(line["decision_id"], answer.decision_id.as_str());
        let removed = receipt.removed.iter().find(|removed| removed.table == table).unwrap();
        assert!(removed.rows >= 1, "{table}");
    }
    let refused = world.ranking().await.record_outcome(click).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "INPUTS_ERASED");
    let after = kept(world, &answer.decision_id).await;
    assert!(after.inputs_erased && after.inputs.is_none() && !before.inputs_erased);
    assert_eq!(after.record, before.record);
    let verified = verified(world).await;
    assert_eq!(verified.fault, None);
    assert!(verified.inputs_erased >= 1);
}

/// That the first item was dealt with so, just now.
fn told(answer: &RecommendResponse, outcome_id: &str, kind: OutcomeKind) -> RecordOutcomeRequest {
    RecordOutcomeRequest {
        outcome_id: outcome_id.to_owned(),
        decision_id: answer.decision_id.clone(),
        product_id: answer.items[0].product_id.clone(),
        kind: kind.into(),
        occurred_at: answer.decided_at,
    }
}

#[tokio::test]
async fn what_a_customer_did_is_kept_once_and_counted_for_the_model_that_ranked() {
    let world = World::shared().await;
    let answer = recommended(world, &world.user_ids[11]).await;
    kept(world, &answer.decision_id).await;
    let click = told(&answer, "click-1", OutcomeKind::Click);
    let mut ranking = world.ranking().await;

    let mut duplicates = Vec::new();
    for _ in 0..2 {
        duplicates.push(ranking.record_outcome(click.clone()).await.unwrap().into_inner().duplicate);
    }
    let not_offered = RecordOutcomeRequest { product_id: "no such".to_owned(), ..click.clone() };
    let not_offered = ranking.record_outcome(not_offered).await.unwrap_err();
    let mut faults = Vec::new();
    for request in [
        RecordOutcomeRequest { outcome_id: String::new(), ..click.clone() },
        RecordOutcomeRequest { kind: 0, ..click.clone() },
        RecordOutcomeRequest { kind: 99, ..click.clone() },
        RecordOutcomeRequest { occurred_at: None, ..click.clone() },
    ] {
        let refused = ranking.record_outcome(request).await.unwrap_err();
        faults.push(refused.get_details_bad_request().unwrap().field_violations[0].field.clone());
    }
    let since = "2020-01-01";
    let args = ["audit", "outcomes", "--since", since, "--ranking", &world.ranking_url];
    let (shown, report) =
        (world.finrank().succeed(&args), world.finrank().succeed(&[&args[..], &["--json"]].concat()));

    assert_eq!(duplicates, [false, true]);
    let reason = not_offered.get_details_error_info().unwrap().reason;
    assert_eq!((not_offered.code(), reason.as_str()), (Code::NotFound, "ITEM_NOT_OFFERED"));
    assert_eq!(faults, ["outcome_id", "kind", "kind", "occurred_at"]);
    let model_version = answer.versions.unwrap().model_version;
    let report: Vec<Value> = serde_json::from_str(&report).unwrap();
    let model = report.iter().find(|model| model["model_version"] == model_version.as_str()).unwrap();
    assert!(model["clicks"]["items"].as_u64().unwrap() >= 1, "{model}");
    assert!(shown.contains(&model_version) && shown.contains("followed"), "{shown}");
}

#[tokio::test]
async fn a_decision_is_made_again_bit_for_bit() {
    let world = World::shared().await;
    let mut answer = RecommendResponse::default();
    for user_id in &world.user_ids[60..] {
        answer = recommended(world, user_id).await;
        if !answer.items.is_empty() {
            break;
        }
    }
    kept(world, &answer.decision_id).await;
    let replay = |args: &[&str]| -> Value {
        let all = [&["audit", "replay", "--ranking", &world.ranking_url, "--json"], args].concat();
        serde_json::from_str(&world.finrank().succeed(&all)).unwrap()
    };

    let one = replay(&[&answer.decision_id]);
    let many = replay(&["--last", "3"]);

    assert_eq!(one["outcomes"], json!({ "exact": 1 }), "{one}");
    // Of others the customer may be erased by now, by other tests.
    let outcomes = many["outcomes"].as_object().unwrap();
    assert_eq!(outcomes.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3, "{many}");
    assert!(outcomes.keys().all(|outcome| ["exact", "input erased"].contains(&outcome.as_str())), "{many}");
}

#[tokio::test]
async fn the_commands_show_prove_and_verify_and_the_proof_is_checked_without_a_server() {
    let world = World::shared().await;
    let mut answer = RecommendResponse::default();
    // Of the first few some may be erased or object by now, by other tests.
    for user_id in &world.user_ids[100..] {
        answer = recommended(world, user_id).await;
        if !answer.items.is_empty() {
            break;
        }
    }
    kept(world, &answer.decision_id).await;
    // A server that ends signs what is written.
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", &world.feature_store_url];
    let other = Server::start(&world.finrank(), &args);
    let mut ranking = RankingServiceClient::connect(other.url.clone()).await.unwrap();
    let request = RecommendRequest { user_id: world.user_ids[10].clone(), k: 1, ..Default::default() };
    eventually("the other server decides", async || ranking.recommend(request.clone()).await.is_ok()).await;
    drop(ranking);
    // The client's end of the connection closes on this thread.
    tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("proof.bin");
    let (id, proof_name) = (answer.decision_id.as_str(), proof.to_str().unwrap());
    let finrank = world.finrank();

    let shown = finrank.succeed(&["audit", "show", id, "--inputs", "--ranking", &world.ranking_url]);
    let proven = finrank.succeed(&[
        "audit",
        "prove",
        id,
        "--out",
        proof_name,
        "--ranking",
        &world.ranking_url,
        "--json",
    ]);
    let key = serde_json::from_str::<Value>(&proven).unwrap()["public_key"].as_str().unwrap().to_owned();
    let checked = finrank.succeed(&["audit", "check", proof_name, "--public-key", &key]);
    let verified = finrank.succeed(&["audit", "verify", "--ranking", &world.ranking_url]);
    let expecting = |hash: &str| {
        let args = ["audit", "verify", "--ranking", &world.ranking_url, "--expect", "1", "--sha256", hash];
        finrank.fail(&args)
    };
    let differs = expecting(&"0".repeat(64));
    let no_hash = expecting("abc");
    let mut bytes = fs::read(&proof).unwrap();
    bytes[60] ^= 1;
    fs::write(&proof, bytes).unwrap();
    let forged = finrank.fail(&["audit", "check", proof_name, "--public-key", &key]);
    let unknown = finrank.fail(&[
        "audit",
        "show",
        "018f0000-0000-7000-8000-000000000000",
        "--ranking",
        &world.ranking_url,
    ]);
    let malformed = world
        .ranking()
        .await
        .get_decision(GetDecisionRequest { decision_id: "x".to_owned(), ..Default::default() })
        .await
        .unwrap_err();

    assert!(shown.contains(id) && shown.contains(&answer.user_id), "{shown}");
    assert!(
        checked.contains("the proof holds") && checked.contains(&answer.items[0].product_id),
        "{checked}"
    );
    assert!(verified.contains("as they were written"), "{verified}");
    assert!(differs.contains("CHAIN_REWRITTEN"), "{differs}");
    assert!(no_hash.contains("64 hexadecimal"), "{no_hash}");
    assert!(forged.contains("proof"), "{forged}");
    assert!(unknown.contains("DECISION_NOT_FOUND"), "{unknown}");
    assert_eq!(malformed.code(), Code::InvalidArgument);
    assert_eq!(malformed.get_details_bad_request().unwrap().field_violations[0].field, "decision_id");
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_writes_leaves_a_log_that_holds() {
    let world = World::shared().await;
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", &world.feature_store_url];
    let server = Server::start(&world.finrank(), &args);
    let mut ranking = RankingServiceClient::connect(server.url.clone()).await.unwrap();
    let one = RecommendRequest { user_id: world.user_ids[0].clone(), k: 3, ..Default::default() };
    eventually("it serves", async || ranking.recommend(one.clone()).await.is_ok()).await;
    let messages = (0..100).map({
        let user_ids = world.user_ids[..100].to_vec();
        move |_| BatchRecommendRequest {
            user_ids: user_ids.clone(),
            request: Some(RecommendRequest { k: 3, ..Default::default() }),
        }
    });

    let mut answers = ranking.batch_recommend(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let mut answered = 0;
    while answered < 2_000 && answers.message().await.is_ok_and(|answer| answer.is_some()) {
        answered += 1;
    }
    kill(Pid::from_raw(server.process_id()), Signal::SIGKILL).unwrap();
    while answers.message().await.is_ok_and(|answer| answer.is_some()) {}

    assert_eq!(answered, 2_000);
    let verified = verified(world).await;
    assert_eq!(verified.fault, None);
    // All that was answered but what waited in the queue and in one batch.
    assert!(verified.verified >= 2_000 - 1_024 - 256, "{verified:?}");
}

#[tokio::test]
async fn a_part_of_the_log_is_verified_without_server_or_database() {
    let world = World::shared().await;
    for user_id in &world.user_ids[90..92] {
        let answer = recommended(world, user_id).await;
        kept(world, &answer.decision_id).await;
    }
    let file = world.state.path().join("part.log");
    let out = file.to_str().unwrap();
    let export = ["audit", "export", "--last", "2", "--out", out, "--json", "--ranking", &world.ranking_url];
    let verify = |more: &[&str]| world.finrank().run(&[&["audit", "verify", "--file", out], more].concat());
    let exported: Value = serde_json::from_str(&world.finrank().succeed(&export)).unwrap();
    let key = exported["public_keys"][0].as_str().unwrap();

    let held = verify(&["--public-key", key, "--json"]);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let flipped = verify(&["--public-key", key]);
    let args = ["audit", "export", "--first", "1000000", "--out", out, "--ranking", &world.ranking_url];
    let beyond = world.finrank().fail(&args);

    let report: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert!(held.status.success() && report["fault"].is_null(), "{report}");
    assert_eq!((report["verified"].as_i64(), report["own_keys"].as_bool()), (Some(2), Some(false)));
    assert_eq!(report["sha256"], exported["sha256"]);
    assert!(!flipped.status.success(), "{}", String::from_utf8_lossy(&flipped.stdout));
    assert!(beyond.contains("first"), "{beyond}");
}
