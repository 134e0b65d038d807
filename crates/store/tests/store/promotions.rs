//! What may be promoted, and what is served then.

use chrono::{TimeDelta, Utc};
use finrank_model::{EmbeddingSpace, ModelVersion, Sha256Digest};
use finrank_store::{
    Result, Store,
    models::{
        self, Action, GateResult, NewCheck, NewWaiver, Promotion, PromotionRequest, RegisteredModel, Verdict,
    },
    scratch::ScratchDatabase,
};
use serde_json::json;

const POLICY: &str = "the policy";

fn version(name: &str) -> ModelVersion {
    ModelVersion::parse(name).unwrap()
}

fn digest(content: &str) -> Sha256Digest {
    Sha256Digest::of(content.as_bytes())
}

fn result(gate: &str, verdict: Verdict) -> GateResult {
    GateResult {
        gate: gate.to_owned(),
        verdict,
        measured: Some(0.5),
        bound: Some(0.8),
        explanation: "0.3 below the 0.8 asked for".to_owned(),
        waivable: gate != "golden",
    }
}

/// A database with these models registered.
async fn registry(names: &[&str]) -> ScratchDatabase {
    let database = ScratchDatabase::create().await;
    for name in names {
        let model = RegisteredModel {
            model_version: version(name),
            embedding_space: EmbeddingSpace::parse(name).unwrap(),
            bundle_path: format!("/models/{name}"),
            bundle_sha256: digest(name).to_string(),
            manifest: json!({"dimension": 64}),
            registered_at: Utc::now(),
        };
        models::register(&database.store, &model).await.unwrap();
    }
    database
}

async fn check(store: &Store, name: &str, results: &[GateResult]) -> i64 {
    check_as(store, NewCheck { results, ..passing(&version(name), None) }).await
}

async fn check_as(store: &Store, check: NewCheck<'_>) -> i64 {
    models::record_check(store, &check).await.unwrap()
}

fn passing<'a>(model_version: &'a ModelVersion, compared_with: Option<&'a ModelVersion>) -> NewCheck<'a> {
    NewCheck {
        model_version,
        bundle: digest(model_version.as_str()),
        compared_with,
        policy: POLICY,
        results: &[],
        tables: json!({}),
        checked_by: "ci",
        valid_for: TimeDelta::hours(1),
    }
}

async fn promote(store: &Store, name: &str, promoted_by: &str) -> Result<Promotion> {
    let model_version = &version(name);
    let request = PromotionRequest { model_version, policy: digest(POLICY), promoted_by, reason: "" };
    models::promote(store, &request).await
}

/// Checks beside what is served and promotes.
async fn promote_passing(store: &Store, name: &str) -> Promotion {
    let serving = models::serving(store).await.unwrap();
    check_as(store, passing(&version(name), serving.as_ref())).await;
    promote(store, name, "alice").await.unwrap()
}

async fn serving(store: &Store) -> Option<String> {
    models::serving(store).await.unwrap().map(String::from)
}

async fn waive(
    store: &Store,
    name: &str,
    gate: &str,
    approved_by: &str,
    valid_for: TimeDelta,
) -> Result<i64> {
    let waiver = NewWaiver {
        model_version: &version(name),
        gate,
        reason: "looked at by hand",
        asked_by: "alice",
        approved_by,
        expires_at: Utc::now() + valid_for,
    };
    models::grant(store, &waiver).await
}

async fn refresh(store: &Store, name: &str) {
    sqlx::query(
        "insert into refresh_runs (model_version, state, features_as_of) values ($1, 'complete', now())",
    )
    .bind(name)
    .execute(store.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn the_promoted_version_is_served_and_before_any_none_is() {
    let database = registry(&["m1", "m2"]).await;
    assert_eq!(serving(&database.store).await, None);
    let newest = models::serving_or_newest(&database.store).await.unwrap().unwrap();
    assert_eq!(newest.model_version, version("m2"));
    let check_id = check(&database.store, "m1", &[result("quality", Verdict::Pass)]).await;

    let promotion = promote(&database.store, "m1", " alice ").await.unwrap();

    assert_eq!(serving(&database.store).await.as_deref(), Some("m1"));
    let meant = models::serving_or_newest(&database.store).await.unwrap().unwrap();
    assert_eq!(meant.model_version, version("m1"));
    assert_eq!((promotion.action, promotion.check_id), (Action::Promote, Some(check_id)));
    assert_eq!((promotion.policy, promotion.promoted_by.as_str()), (Some(digest(POLICY)), "alice"));
    assert_eq!(models::promotions(&database.store, None, 10).await.unwrap(), [promotion]);
}

#[tokio::test]
async fn what_stands_against_a_promotion_is_told_whole() {
    let database = registry(&["m1"]).await;
    let results = [
        result("quality", Verdict::Fail),
        result("drift", Verdict::Pass),
        result("group", Verdict::Insufficient),
    ];
    check(&database.store, "m1", &results).await;

    let refusal = promote(&database.store, "m1", "alice").await.unwrap_err();

    assert_eq!(
        refusal.to_string(),
        "m1 is not promoted: quality: 0.3 below the 0.8 asked for; group: 0.3 below the 0.8 asked for"
    );
    assert_eq!(serving(&database.store).await, None);
    assert_eq!(models::promotions(&database.store, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_check_counts_only_for_what_it_was_made_of() {
    let database = registry(&["m1", "m2"]).await;
    let store = &database.store;
    let (m1, m2) = (version("m1"), version("m2"));
    let why = async |check: Option<NewCheck<'_>>| {
        if let Some(check) = check {
            check_as(store, check).await;
        }
        promote(store, "m1", "alice").await.unwrap_err().to_string()
    };

    let unchecked = why(None).await;
    let bundle = why(Some(NewCheck { bundle: digest("another"), ..passing(&m1, None) })).await;
    let policy = why(Some(NewCheck { policy: "another", ..passing(&m1, None) })).await;
    let old = why(Some(NewCheck { valid_for: TimeDelta::seconds(-1), ..passing(&m1, None) })).await;
    let beside = why(Some(passing(&m1, Some(&m2)))).await;

    assert!(unchecked.contains("were not checked"), "{unchecked}");
    assert!(bundle.contains("with another bundle"), "{bundle}");
    assert!(policy.contains("by another policy"), "{policy}");
    assert!(old.contains("was valid until"), "{old}");
    assert!(beside.contains("compared with m2, and nothing is served now"), "{beside}");
    let unknown = promote(store, "m9", "alice").await.unwrap_err();
    assert_eq!(unknown.to_string(), "model version m9 is not registered");
}

#[tokio::test]
async fn a_waiver_stands_in_for_a_gate_until_it_expires() {
    let database = registry(&["m1"]).await;
    let store = &database.store;
    check(store, "m1", &[result("quality", Verdict::Fail)]).await;
    waive(store, "m1", "drift", "bob", TimeDelta::hours(1)).await.unwrap();
    let expiring = waive(store, "m1", "quality", "bob", TimeDelta::milliseconds(200)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;

    let expired = promote(store, "m1", "alice").await.unwrap_err().to_string();
    let waiver_id = waive(store, "m1", "quality", "bob", TimeDelta::hours(1)).await.unwrap();
    let promoted = promote(store, "m1", "alice").await.unwrap();

    assert!(expired.contains(&format!("(waiver {expiring} expired at")), "{expired}");
    assert_eq!(promoted.waiver_ids, [waiver_id]);
}

#[tokio::test]
async fn nobody_waives_for_themselves_and_some_gates_cannot_be_waived() {
    let database = registry(&["m1"]).await;
    let store = &database.store;
    check(store, "m1", &[result("quality", Verdict::Fail), result("golden", Verdict::Fail)]).await;
    waive(store, "m1", "quality", "Bob", TimeDelta::hours(1)).await.unwrap();
    waive(store, "m1", "golden", "bob", TimeDelta::hours(1)).await.unwrap();

    let own = promote(store, "m1", "bob ").await.unwrap_err().to_string();
    let golden = promote(store, "m1", "alice").await.unwrap_err().to_string();
    let alone = waive(store, "m1", "quality", "ALICE", TimeDelta::hours(1)).await.unwrap_err();
    let over = waive(store, "m1", "quality", "bob", TimeDelta::hours(-1)).await.unwrap_err();

    assert!(own.contains("Bob approved it, and promotes"), "{own}");
    assert!(!golden.contains("quality") && golden.contains("cannot be waived"), "{golden}");
    assert_eq!(alone.to_string(), "approved_by is the one who asks; a second name is needed");
    assert_eq!(over.to_string(), "expires_at is over already");
}

#[tokio::test]
async fn where_readers_have_embeddings_a_version_without_them_is_not_promoted() {
    let database = registry(&["m1", "m2"]).await;
    let store = &database.store;
    promote_passing(store, "m1").await;
    refresh(store, "m1").await;
    check_as(store, passing(&version("m2"), Some(&version("m1")))).await;

    let early = promote(store, "m2", "alice").await.unwrap_err().to_string();
    refresh(store, "m2").await;
    promote(store, "m2", "alice").await.unwrap();

    assert!(early.contains("no refresh is whole"), "{early}");
    assert_eq!(serving(store).await.as_deref(), Some("m2"));
}

#[tokio::test]
async fn rolling_back_goes_down_the_promotions_and_not_to_and_fro() {
    let database = registry(&["m1", "m2", "m3"]).await;
    let store = &database.store;
    let nothing = models::roll_back(store, "alice", "bad").await.unwrap_err();
    for name in ["m1", "m2", "m3"] {
        promote_passing(store, name).await;
    }

    let mut served = Vec::new();
    for _ in 0..2 {
        served.push(String::from(models::roll_back(store, "alice", "bad").await.unwrap().model_version));
    }
    let bottom = models::roll_back(store, "alice", "bad").await.unwrap_err();
    promote_passing(store, "m3").await;
    let again = models::roll_back(store, "alice", "bad").await.unwrap();

    assert_eq!(nothing.to_string(), "nothing is rolled back: no version was promoted");
    assert_eq!(served, ["m2", "m1"]);
    assert_eq!(bottom.to_string(), "nothing is rolled back: nothing was promoted before m1");
    assert_eq!((again.model_version, again.action, again.check_id), (version("m1"), Action::Rollback, None));
    let history = models::promotions(store, None, 10).await.unwrap();
    assert_eq!(history.len(), 7);
    let older = models::promotions(store, Some(history[1].promotion_id), 2).await.unwrap();
    assert_eq!(older, history[2..4]);
}

#[tokio::test]
async fn of_two_promotions_at_the_same_time_one_is_refused() {
    let database = registry(&["m1", "m2"]).await;
    let store = &database.store;
    for name in ["m1", "m2"] {
        check_as(store, passing(&version(name), None)).await;
    }

    let (one, other) = tokio::join!(promote(store, "m1", "alice"), promote(store, "m2", "bob"));

    // The second was compared with nothing, and something is served by then.
    assert_eq!([one.is_ok(), other.is_ok()].into_iter().filter(|ok| *ok).count(), 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn history_is_added_to_and_never_changed() {
    let database = registry(&["m1"]).await;
    promote_passing(&database.store, "m1").await;
    waive(&database.store, "m1", "quality", "bob", TimeDelta::hours(1)).await.unwrap();

    for statement in [
        "update promotions set promoted_by = 'mallory'",
        "delete from promotions",
        "truncate promotions cascade",
        "truncate traffic",
        "update gate_checks set results = '[]'",
        "update gate_waivers set expires_at = 'infinity'",
        "update promotion_policies set policy = ''",
    ] {
        let refusal = sqlx::query(statement).execute(database.store.pool()).await.unwrap_err();
        assert!(refusal.to_string().contains("is history"), "{statement}: {refusal}");
    }
}

#[tokio::test]
async fn a_holdout_comes_back_as_it_was_recorded_first() {
    let database = registry(&["m1", "m2"]).await;
    let store = &database.store;

    models::record_holdout(store, &version("m1"), &[1, u64::MAX]).await.unwrap();
    models::record_holdout(store, &version("m1"), &[7]).await.unwrap();

    assert_eq!(models::holdout(store, &version("m1")).await.unwrap(), Some(vec![1, u64::MAX]));
    assert_eq!(models::holdout(store, &version("m2")).await.unwrap(), None);
}
