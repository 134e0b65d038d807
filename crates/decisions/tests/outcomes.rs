//! What customers did, in a real Postgres: kept once, joined to what was offered, and never of who was erased.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use finrank_contracts::ranking::v1::{
    DecisionInputs, DecisionRecord, Placement, RankingBasis, RecordedCandidate, RecordedItem,
    RecordedSelection,
};
use finrank_decisions::{
    DecisionLogConfig, DecisionLogError, Mode,
    checkpoint::CheckpointKey,
    counterfactual::Explored,
    entry::Entry,
    outcome::{Outcome, OutcomeKind, Told, keep},
    rates::{Measured, Outcomes, Ranker, by_ranker},
    writer::DecisionLog,
};
use finrank_model::{ModelVersion, OutcomeId, ProductId, UserId};
use finrank_store::{Store, scratch::ScratchDatabase};
use uuid::Uuid;

/// A decision of a model, which offers "card" and "fund" to a customer.
async fn decided(store: &Store, user: &str, model: &str) -> Uuid {
    let card = RecordedItem { candidate: candidate("card"), ..Default::default() };
    let fund = RecordedItem { candidate: candidate("fund"), ..Default::default() };
    decided_by(
        store,
        user,
        DecisionRecord { model_version: model.to_owned(), items: vec![card, fund], ..Default::default() },
    )
    .await
}

fn candidate(product_id: &str) -> Option<RecordedCandidate> {
    Some(RecordedCandidate { product_id: product_id.to_owned(), ..Default::default() })
}

async fn decided_by(store: &Store, user: &str, record: DecisionRecord) -> Uuid {
    let decision_id = Uuid::now_v7();
    let record = DecisionRecord { ranking_basis: 1, ..record };
    let statement =
        "insert into customer_statements (user_id, attributes, event_time) values ($1, '{}', now())";
    sqlx::query(statement).bind(user).execute(store.pool()).await.unwrap();
    let config = DecisionLogConfig { mode: Mode::Strict, ..DecisionLogConfig::default() };
    let (log, writing) = DecisionLog::start(store.clone(), &config, CheckpointKey::new(&[7; 32]));
    let user_id = UserId::parse(user).unwrap();
    let entry = Entry::new(decision_id, Utc::now(), user_id, record, DecisionInputs::default());
    log.place().await.unwrap().take(entry).kept().await.unwrap();
    drop(log);
    writing.finish().await;
    decision_id
}

fn outcome(decision_id: Uuid, outcome_id: &str, product_id: &str, kind: OutcomeKind) -> Outcome {
    Outcome {
        outcome_id: OutcomeId::parse(outcome_id).unwrap(),
        decision_id,
        product_id: ProductId::parse(product_id).unwrap(),
        kind,
        occurred_at: Utc::now(),
    }
}

#[tokio::test]
async fn what_is_told_twice_is_kept_once_and_an_id_names_one_thing() {
    let ScratchDatabase { store, .. } = &ScratchDatabase::create().await;
    let decision_id = decided(store, "u", "m1").await;
    let click = outcome(decision_id, "o-1", "card", OutcomeKind::Click);

    let first = keep(store, &click).await.unwrap();
    let again = keep(store, &click).await.unwrap();

    assert_eq!((first, again), (Told::First, Told::Again));
    let others = [
        Outcome { kind: OutcomeKind::Purchase, ..click.clone() },
        Outcome { product_id: ProductId::parse("fund").unwrap(), ..click.clone() },
        Outcome { occurred_at: click.occurred_at + TimeDelta::seconds(1), ..click.clone() },
    ];
    for other in others {
        let refused = keep(store, &other).await.unwrap_err().to_string();
        assert!(refused.contains("outcome_id") && refused.contains("click of card"), "{refused}");
    }
    let kept: i64 =
        sqlx::query_scalar("select count(*) from decision_outcomes").fetch_one(store.pool()).await.unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn what_cannot_be_joined_to_an_offer_is_refused() {
    let ScratchDatabase { store, .. } = &ScratchDatabase::create().await;
    let decision_id = decided(store, "u", "m1").await;
    let click = outcome(decision_id, "o-1", "card", OutcomeKind::Click);
    let refused = async |outcome: Outcome| keep(store, &outcome).await.unwrap_err();
    let an_hour = TimeDelta::hours(1);

    let unknown = refused(Outcome { decision_id: Uuid::now_v7(), ..click.clone() }).await;
    let not_offered = refused(outcome(decision_id, "o-1", "loan", OutcomeKind::Click)).await;
    let early = refused(Outcome { occurred_at: click.occurred_at - an_hour, ..click.clone() }).await;
    let late = refused(Outcome { occurred_at: click.occurred_at + an_hour, ..click.clone() }).await;
    sqlx::query("delete from decision_inputs").execute(store.pool()).await.unwrap();
    let erased = refused(click).await;

    assert!(matches!(unknown, DecisionLogError::NotFound(_)), "{unknown:?}");
    assert!(matches!(not_offered, DecisionLogError::NotOffered { .. }), "{not_offered:?}");
    for (refusal, word) in [(early, "before the decision"), (late, "in the future")] {
        let DecisionLogError::InvalidOutcome(invalid) = refusal else { panic!("{refusal:?}") };
        assert_eq!(invalid.field, "occurred_at");
        assert!(invalid.reason.contains(word), "{invalid}");
    }
    assert!(matches!(erased, DecisionLogError::InputsErased(_)), "{erased:?}");
}

#[tokio::test]
async fn outcomes_are_counted_by_the_model_that_ranked() {
    let ScratchDatabase { store, .. } = &ScratchDatabase::create().await;
    let old = decided(store, "u1", "m1").await;
    let between = Utc::now();
    let new = decided(store, "u2", "m2").await;
    decided(store, "u3", "m2").await;
    for (place, (decision_id, product_id, kind)) in [
        (old, "card", OutcomeKind::Impression),
        (old, "fund", OutcomeKind::Dismissal),
        (new, "card", OutcomeKind::Impression),
        (new, "card", OutcomeKind::Click),
        (new, "fund", OutcomeKind::Purchase),
    ]
    .into_iter()
    .enumerate()
    {
        keep(store, &outcome(decision_id, &format!("o-{place}"), product_id, kind)).await.unwrap();
    }

    let all = by_ranker(store, None).await.unwrap();
    let since = by_ranker(store, Some(between)).await.unwrap();

    let ranker = |model: &str| Ranker {
        model_version: ModelVersion::parse(model).unwrap(),
        ranking_basis: RankingBasis::Profile,
    };
    let first = Outcomes { decisions: 1, impressions: 2, dismissals: 1, ..Outcomes::default() };
    let second = Outcomes {
        decisions: 1,
        impressions: 2,
        clicks: 2,
        applications: 1,
        purchases: 1,
        ..Outcomes::default()
    };
    let outcomes = |measured: BTreeMap<Ranker, Measured>| -> Vec<(Ranker, Outcomes)> {
        measured.into_iter().map(|(ranker, measured)| (ranker, measured.outcomes)).collect()
    };
    assert!(all.values().all(|measured| measured.explored == Explored::default()));
    assert_eq!(outcomes(all), [(ranker("m1"), first), (ranker("m2"), second)]);
    assert_eq!(outcomes(since), [(ranker("m2"), second)]);
}

#[tokio::test]
async fn what_the_greedy_order_would_have_brought_is_estimated_from_the_propensities_that_were_kept() {
    let ScratchDatabase { store, .. } = &ScratchDatabase::create().await;
    let selection = RecordedSelection { exploration: "TAIL".to_owned(), ..Default::default() };
    let item = |product_id: &str, placement: Placement, propensity: f64| RecordedItem {
        candidate: candidate(product_id),
        placement: placement.into(),
        propensity,
        ..Default::default()
    };
    let record = |second: RecordedItem| DecisionRecord {
        model_version: "m".to_owned(),
        selection: Some(selection.clone()),
        items: vec![item("card", Placement::Rank, 1.0), second],
        ..Default::default()
    };
    let greedy = decided_by(store, "u1", record(item("fund", Placement::Rank, 0.8))).await;
    let by_chance = decided_by(store, "u2", record(item("loan", Placement::Exploration, 0.1))).await;
    // Of an answer without exploration nothing is learned of it.
    let closed = decided(store, "u3", "m").await;
    for (place, (decision_id, product_id, kind)) in [
        (greedy, "card", OutcomeKind::Impression),
        (greedy, "fund", OutcomeKind::Purchase),
        (by_chance, "card", OutcomeKind::Click),
        (by_chance, "loan", OutcomeKind::Click),
        (closed, "card", OutcomeKind::Click),
    ]
    .into_iter()
    .enumerate()
    {
        keep(store, &outcome(decision_id, &format!("o-{place}"), product_id, kind)).await.unwrap();
    }

    let Measured { outcomes, explored } = by_ranker(store, None).await.unwrap().into_values().next().unwrap();

    assert_eq!((outcomes.decisions, outcomes.impressions), (3, 5));
    let counts = (explored.decisions, explored.impressions, explored.open, explored.by_chance);
    assert_eq!(counts, (2, 4, 2, 1));
    let (clicks, purchases) = (explored.clicks(), explored.purchases());
    // Weights are 1, 1.25, 1 and, by chance, 0.
    assert!((clicks.observed.rate - 0.75).abs() < 1e-12);
    assert!((clicks.inverse_propensity.rate - 2.25 / 4.0).abs() < 1e-12);
    assert!((clicks.self_normalised.rate - 2.25 / 3.25).abs() < 1e-12);
    assert!((purchases.self_normalised.rate - 1.25 / 3.25).abs() < 1e-12);
}
