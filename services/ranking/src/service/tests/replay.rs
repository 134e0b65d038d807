//! Decisions of several models made again: bit for bit while everything is there, and told apart when it is not.

use std::{path::Path, time::Duration};

use chrono::Utc;
use finrank_contracts::{
    feature::v1::{FeatureStatus, FeatureValue, feature_value::Value},
    ranking::v1::{Replay, ReplayOutcome},
};
use finrank_decisions::{
    DecisionLogConfig, Mode,
    checkpoint::CheckpointKey,
    contents::Contents,
    read::{self, KeptDecision},
    writer::{DecisionLog, Writing},
};
use finrank_model::{Arm, Experiment, ExperimentName, ModelVersion, Share};
use finrank_policy::Policy;
use finrank_selection::BUILT_IN_SELECTION;
use finrank_store::scratch::ScratchDatabase;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::*;
use crate::{
    Popularity,
    facts::GivenFacts,
    fixtures::{bundle, spaced},
    pipeline::{Basis, Degradation, Reason, Rung},
    service::{eligibility::KnownCustomer, recommend::AskedCustomer, replay::Replayer, request::Recommend},
    traffic::Assignment,
};

/// What is asked of customers, so that something may be offered to whoever states no more than that.
const POLICY: &str = r#"
format = 1
version = "test"
source = { service = "s", purpose = "p" }
fact = [{ name = "objection", feature = "v:objection", type = "flag" }]

[[rule]]
code = "STATUS"
kind = "product_status"
description = "d"
regulation = "r"

[[rule]]
code = "HELD"
kind = "held"
description = "d"
regulation = "r"

[[rule]]
code = "OBJECTION"
kind = "objection"
fact = "objection"
description = "d"
regulation = "r"
"#;

/// Rules of every kind. Of three issuers two products each are offered, so that three of five searched for may be too many of
/// one.
const SELECTION: &str = r#"
format = 1
version = "test"

[[pin]]
code = "PIN"
description = "d"
product_id = "p0047"
place = 2

[[boost]]
code = "BOOST"
description = "d"
factor = 3
issuers = ["Issuer 1"]

[[cap]]
code = "CAP"
description = "d"
per = "issuer"
most = 2

[[diversity]]
code = "DIVERSITY"
description = "d"
value = 0.1

[[exploration]]
code = "EXPLORATION"
description = "d"
epsilon = 0.5
from_place = 3
challengers = 4
"#;

/// A log in a database of its own, and bundles in a directory.
struct World {
    database: ScratchDatabase,
    models: tempfile::TempDir,
    service: RankingService,
    /// The writer ends with it.
    _writing: Writing,
}

/// Of a customer of the treatment, answered by control in its place.
fn assigned() -> Assignment {
    let experiment = Experiment {
        name: ExperimentName::parse("spring").unwrap(),
        treatment: ModelVersion::parse("m9").unwrap(),
        share: Share::HALF,
    };
    let control = ModelVersion::parse("m1").unwrap();
    Assignment { experiment, control, arm: Arm::Treatment, answered_by: Arm::Control }
}

async fn world() -> World {
    world_by(BUILT_IN_SELECTION, 40).await
}

/// The same by a selection file, where at least so many candidates are searched for.
async fn world_by(selection: &str, candidates: usize) -> World {
    let database = ScratchDatabase::create().await;
    let statement =
        "insert into customer_statements (user_id, attributes, event_time) values ('u', '{}', now())";
    sqlx::query(statement).execute(database.store.pool()).await.unwrap();
    let models = tempfile::tempdir().unwrap();
    let config = DecisionLogConfig { mode: Mode::Strict, ..DecisionLogConfig::default() };
    let key = CheckpointKey::new(&[7; 32]);
    let contents = Contents::new(database.store.clone());
    let trusted = vec![key.public()];
    let (writer, writing) = DecisionLog::start(database.store.clone(), &config, key);
    let log = Log {
        trusted,
        writer,
        store: database.store.clone(),
        contents: contents.clone(),
        models_dir: models.path().to_owned(),
        replaying: Arc::new(Semaphore::new(1)),
        verifying: Arc::new(Semaphore::new(1)),
        candidates: 10,
    };
    let file = models.path().join("policy.toml");
    std::fs::write(&file, POLICY).unwrap();
    let policies =
        Policies::load(&PolicyConfig { file: Some(file) }).unwrap().kept_in(Some(contents.clone()));
    policies.keep().await.unwrap();
    let file = models.path().join("selection.toml");
    std::fs::write(&file, selection).unwrap();
    let selections = Selections::load(&SelectionConfig { file: Some(file) }).unwrap().kept_in(Some(contents));
    selections.keep().await.unwrap();
    let service = RankingService {
        pipeline: Arc::new(Pipeline::new(candidates)),
        selections: Arc::new(selections),
        log: Some(log),
        ..unconnected(Arc::default(), policies)
    };
    World { database, models, service, _writing: writing }
}

impl World {
    /// Puts model `m<n>` in service with a catalogue of its own, and decides so many times.
    async fn decide(&self, n: i64, decisions: usize) -> Vec<Uuid> {
        let mut random = ChaCha8Rng::seed_from_u64(n as u64);
        let generation = generation(n);
        bundle(&generation).write(&self.models.path().join(format!("m{n}"))).unwrap();
        let samples: Vec<Sample> = (0..60 + 10 * n)
            .map(|place| {
                let class = ProductClass::ALL[place as usize % 2];
                active(class, std::array::from_fn(|_| random.random_range(-2.0..2.0)))
            })
            .collect();
        let catalogue = Arc::new(catalogue(&generation, &samples));
        let contents = &self.service.log().unwrap().contents;
        catalogue.keep(contents).await.unwrap();
        let popularity = Popularity::new((0..catalogue.len()).map(|row| (row % 7) as f64).collect());
        popularity.keep(contents).await.unwrap();
        let popularity = Arc::new(popularity);
        let mut ids = Vec::new();
        for place in 0..decisions {
            let policy = self.service.policies.in_force();
            let known = known(&policy, place);
            let basis = match place % 10 {
                8 => Basis::Popularity(Some(Arc::clone(&popularity))),
                9 => Basis::Popularity(None),
                7 => Basis::Nothing,
                _ => Basis::Profile {
                    user: spaced(&generation, std::array::from_fn(|_| random.random_range(-1.0..1.0))),
                    generation: n,
                },
            };
            let rung = match place % 20 {
                6 => Some(Rung::Stale { age: Duration::from_micros(1_234_567) }),
                7 | 17 => Some(Rung::Empty),
                8 => Some(Rung::Fallback),
                _ => None,
            };
            let degradation =
                rung.map(|rung| Degradation { rung, reason: Reason::EmbeddingLate, passed: vec![] });
            let offered = if rung == Some(Rung::Empty) { 0 } else { 5 };
            let request = RecommendRequest {
                selection: Some(SelectionWishes { diversity: [None, Some(0.3)][place % 2] }),
                exclude_product_ids: vec![format!("p{:04}", place % 30)],
                ..recommend("u", 5)
            };
            let wanted = Recommend::parse(&request).unwrap().wanted;
            let compiled = self.service.policies.compiled(&policy, &catalogue);
            let assigned = [None, Some(assigned())][place % 2].clone();
            let catalogue = Arc::clone(&catalogue);
            let customer = AskedCustomer { catalogue, known, basis, degradation, fed: None, assigned };
            let place = self.service.place().await.unwrap();
            let decided = self.service.decide_for(compiled, customer, &wanted, place).unwrap();
            let response = decided.kept().await.unwrap();
            assert_eq!(response.items.len(), offered);
            ids.push(response.decision_id.parse().unwrap());
        }
        ids
    }

    async fn kept(&self, id: Uuid) -> KeptDecision {
        read::decision(&self.database.store, id).await.unwrap()
    }

    async fn replays(&self, ids: &[Uuid]) -> Vec<Replay> {
        let mut replayer = Replayer::new(self.service.log().unwrap(), &self.service.pseudonyms);
        let mut replays = Vec::new();
        for &id in ids {
            replays.push(replayer.replay(&self.kept(id).await).await.unwrap());
        }
        replays
    }

    async fn replay(&self, kept: &KeptDecision) -> Replay {
        Replayer::new(self.service.log().unwrap(), &self.service.pseudonyms).replay(kept).await.unwrap()
    }
}

/// A customer of whom every fact of the policy is known, as a flag that is no; what must be something else is unknown.
fn known(policy: &Policy, place: usize) -> KnownCustomer {
    let value = FeatureValue {
        status: FeatureStatus::Present.into(),
        event_time: Some(finrank_serving::wire::timestamp(Utc::now())),
        value: Some(Value::Flag(false)),
    };
    let features: Vec<String> = policy.facts().iter().map(|fact| fact.feature.to_string()).collect();
    let given = GivenFacts::new(features.clone(), vec![value; features.len()]).unwrap();
    let held = vec![ProductId::parse(format!("p{:04}", place % 5)).unwrap()];
    KnownCustomer::at(Utc::now(), policy, UserId::parse("u").unwrap(), given, held)
}

fn outcomes(replays: &[Replay]) -> Vec<ReplayOutcome> {
    replays.iter().map(Replay::outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_across_three_promotions_are_made_again_bit_for_bit() {
    let world = world().await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.extend(world.decide(n, 70).await);
    }

    let replays = world.replays(&ids).await;

    assert!(outcomes(&replays).iter().all(|outcome| *outcome == ReplayOutcome::Exact), "{replays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_business_rules_and_chance_decided_is_made_again_by_the_file_that_is_kept() {
    let world = world_by(SELECTION, 5).await;
    let ids = world.decide(1, 40).await;

    let exact = world.replays(&ids).await;
    let mut records = Vec::new();
    for &id in &ids {
        records.push(world.kept(id).await.record);
    }
    let mut otherwise = world.kept(ids[0]).await;
    otherwise.record.items[3].propensity = 0.75;
    let otherwise = world.replay(&otherwise).await.divergence.unwrap();
    let mut before = world.kept(ids[0]).await;
    before.record.selection = None;
    let before = world.replay(&before).await;
    sqlx::query("delete from kept_contents where kind = 'selection'")
        .execute(world.database.store.pool())
        .await
        .unwrap();
    let gone = world.replay(&world.kept(ids[0]).await).await;

    assert!(outcomes(&exact).iter().all(|outcome| *outcome == ReplayOutcome::Exact), "{exact:?}");
    let searched_again = records
        .iter()
        .filter(|record| record.candidate_count > record.selection.as_ref().unwrap().searched_count + 1);
    assert!(searched_again.count() > 5);
    let items = records.iter().flat_map(|record| &record.items);
    let by = |placement| items.clone().filter(|item| item.placement() == placement).count();
    // Of some thirty places each goes to a challenger every other time.
    assert!(by(v1::Placement::Pin) > 20 && by(v1::Placement::Exploration) > 0);
    assert_eq!(otherwise.stage, "SELECTION");
    // By no rules something else would have been chosen.
    assert_eq!(before.outcome(), ReplayOutcome::Diverged, "{before:?}");
    assert_eq!(gone.outcome(), ReplayOutcome::SelectionMissing, "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_by_its_first_stage_and_what_is_gone_by_its_name() {
    let world = world().await;
    let ids = world.decide(1, 8).await;
    let kept = world.kept(ids[0]).await;
    let mut nudged = kept.clone();
    let component = &mut nudged.inputs.as_mut().unwrap().embedding[0];
    *component = f32::from_bits(component.to_bits() ^ 1 << 12);
    let mut exchanged = kept.clone();
    exchanged.record.items.swap(0, 1);
    let mut relabelled = kept.clone();
    relabelled.record.candidates[0].logit += 0.5;
    let mut erased = kept.clone();
    erased.inputs = None;

    let exact = world.replay(&kept).await;
    let nudged = world.replay(&nudged).await.divergence.unwrap();
    let exchanged = world.replay(&exchanged).await.divergence.unwrap();
    let relabelled = world.replay(&relabelled).await.divergence.unwrap();
    let erased = world.replay(&erased).await;
    let weights = world.models.path().join("m1/scorer.safetensors");
    change_last_byte(&weights);
    let weighed = world.replay(&kept).await.divergence.unwrap();
    std::fs::remove_dir_all(world.models.path().join("m1")).unwrap();
    let gone = world.replay(&kept).await;
    sqlx::query("delete from kept_contents where kind = 'page'")
        .execute(world.database.store.pool())
        .await
        .unwrap();
    let no_catalogue = world.replay(&kept).await;

    assert_eq!(exact.outcome(), ReplayOutcome::Exact, "{exact:?}");
    assert_eq!(nudged.stage, "RETRIEVAL");
    assert!(nudged.delta != 0.0 && !nudged.product_id.is_empty(), "{nudged:?}");
    assert_eq!(exchanged.stage, "SELECTION");
    assert_eq!(relabelled.stage, "SCORING");
    assert!((relabelled.delta + 0.5).abs() < 1e-6, "{relabelled:?}");
    assert_eq!(erased.outcome(), ReplayOutcome::InputErased);
    assert_eq!(weighed.stage, "BUNDLE");
    assert_eq!(gone.outcome(), ReplayOutcome::BundleMissing, "{gone:?}");
    assert_eq!(no_catalogue.outcome(), ReplayOutcome::CatalogueMissing, "{no_catalogue:?}");
}

fn change_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A figure of docs/decisions.md: `cargo test -p finrank-ranking --lib ten_thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute's work"]
async fn ten_thousand_decisions_across_three_promotions_are_made_again_bit_for_bit() {
    let world = world().await;
    let mut ids = Vec::new();
    for (n, decisions) in [(1, 3_333), (2, 3_333), (3, 3_334)] {
        ids.extend(world.decide(n, decisions).await);
    }

    let started = std::time::Instant::now();
    let replays = world.replays(&ids).await;
    println!("{} decisions replayed in {:?}", replays.len(), started.elapsed());

    let exact = outcomes(&replays).iter().filter(|outcome| **outcome == ReplayOutcome::Exact).count();
    assert_eq!((exact, replays.len()), (10_000, 10_000));
}
