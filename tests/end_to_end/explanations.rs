//! Why a product is offered: reasons for customers, contributions for auditors.

use finrank_contracts::ranking::v1::{
    ExplanationStatus, ExplanationView, ExplanationWishes, RecommendRequest, RecommendResponse,
};
use serde_json::Value;
use tonic::Code;

use crate::{decisions::kept, world::World};

fn explained(user_id: &str, view: ExplanationView, purpose: &str) -> RecommendRequest {
    RecommendRequest {
        user_id: user_id.to_owned(),
        k: 5,
        explain: Some(ExplanationWishes { view: view.into(), purpose: purpose.to_owned() }),
        ..Default::default()
    }
}

/// An answer to one of those of whom no other test makes the towers read something else meanwhile.
async fn answer(world: &World, view: ExplanationView, purpose: &str) -> RecommendResponse {
    let mut ranking = world.ranking().await;
    for user_id in &world.user_ids[200..] {
        let answer = ranking.recommend(explained(user_id, view, purpose)).await.unwrap().into_inner();
        let report =
            answer.explanation.as_ref().expect("whoever asks why is told whether there is an answer");
        if report.status() == ExplanationStatus::Explained && !answer.items.is_empty() {
            return answer;
        }
    }
    panic!("nobody's recommendations are explained");
}

#[tokio::test]
async fn tells_at_most_four_reasons_for_each_item_in_two_languages() {
    let world = World::shared().await;

    let answer = answer(world, ExplanationView::Reasons, "").await;

    let table = answer.explanation.unwrap().reason_table.unwrap();
    assert_eq!(table.sha256.len(), 64);
    assert!(answer.items.iter().any(|item| !item.reasons.is_empty()));
    for item in &answer.items {
        assert!(item.reasons.len() <= 4);
        assert!(item.reasons.is_sorted_by(|one, next| one.contribution >= next.contribution));
        for reason in &item.reasons {
            assert!(reason.contribution > 0.0 && !reason.code.is_empty());
            assert!(reason.text_en.is_ascii() && !reason.text_en.is_empty());
            assert!(!reason.text_zh.is_ascii());
        }
        assert_eq!(item.attributions, None);
    }
}

#[tokio::test]
async fn contributions_that_an_auditor_sees_add_up_to_the_score() {
    let world = World::shared().await;

    let answer = answer(world, ExplanationView::Audit, "marketing").await;

    for item in &answer.items {
        let all = item.attributions.as_ref().unwrap();
        let told: f64 = all.inputs.iter().map(|input| input.contribution).sum();
        assert!((told + all.withheld_contribution - all.contributions_sum).abs() < 1e-9);
        assert!((all.contributions_sum - (all.logit - all.baseline_logit)).abs() < 1e-6);
        assert!((all.logit - all.served_logit).abs() < 1e-3);
        let codes: Vec<&str> = all.inputs.iter().map(|input| input.reason_code.as_str()).collect();
        assert!(item.reasons.iter().all(|reason| codes.contains(&reason.code.as_str())));
        let protected: Vec<&str> = all
            .inputs
            .iter()
            .filter(|input| input.protected)
            .map(|input| input.reason_code.as_str())
            .collect();
        assert!(item.reasons.iter().all(|reason| !protected.contains(&reason.code.as_str())));
    }
}

#[tokio::test]
async fn tells_nothing_of_why_unless_it_is_asked() {
    let world = World::shared().await;
    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 5, ..Default::default() };

    let answer = world.ranking().await.recommend(request).await.unwrap().into_inner();

    assert_eq!(answer.explanation, None);
    assert!(answer.items.iter().all(|item| item.reasons.is_empty() && item.attributions.is_none()));
}

#[tokio::test]
async fn an_audit_needs_a_purpose_that_is_declared() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;

    for purpose in ["", "curiosity"] {
        let request = explained(&world.user_ids[0], ExplanationView::Audit, purpose);
        let refused = ranking.recommend(request).await.unwrap_err();

        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("explain.purpose"), "{}", refused.message());
    }
}

#[tokio::test]
async fn the_command_line_prints_the_reasons() {
    let world = World::shared().await;
    let explained = answer(world, ExplanationView::Reasons, "").await;
    let ask = ["recommend", &explained.user_id, "--ranking", &world.ranking_url, "--explain"];

    let printed = world.finrank().succeed(&ask);
    let json = world.finrank().succeed(&[&ask[..], &["--json"]].concat());

    let first = explained.items.iter().find_map(|item| item.reasons.first()).unwrap();
    assert!(printed.contains(&first.text_en), "{printed}");
    assert!(json.contains(&first.text_zh), "{json}");
}

#[tokio::test]
async fn what_was_offered_and_the_reasons_that_were_told_stand_in_the_customers_export() {
    let world = World::shared().await;
    let explained = answer(world, ExplanationView::Reasons, "").await;
    kept(world, &explained.decision_id).await;
    let export = ["customer", "--feature-store", &world.feature_store_url, "export", &explained.user_id];

    let exported = world.finrank().succeed(&export);
    let shown = world.finrank().succeed(&[
        "audit",
        "show",
        &explained.decision_id,
        "--inputs",
        "--ranking",
        &world.ranking_url,
    ]);

    let told = explained.items.iter().find(|item| !item.reasons.is_empty()).unwrap();
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut decisions = lines.filter(|line| line["statement"] == "decision");
    let decision = decisions.find(|line| line["decision_id"] == explained.decision_id.as_str()).unwrap();
    let offered: Vec<&str> = decision["offered"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offered| offered["product_id"].as_str().unwrap())
        .collect();
    assert!(offered.into_iter().eq(explained.items.iter().map(|item| item.product_id.as_str())));
    let inputs = &decision["inputs"];
    assert_eq!(inputs["explanation"], "explained");
    let reasons = inputs["reasons"].as_array().unwrap();
    let reasons = &reasons.iter().find(|of| of["product_id"] == told.product_id.as_str()).unwrap()["reasons"];
    assert_eq!(reasons[0][0], told.reasons[0].code.as_str());
    assert!(shown.contains(&format!("for {}: {}", told.product_id, told.reasons[0].code)), "{shown}");
}
