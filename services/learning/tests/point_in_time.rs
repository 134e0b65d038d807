//! Trains by time on a real Postgres, on data that would tell the future if it were read as if nothing had come late.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_learning::{
    Knowledge, LearningConfig, RankedBy, SplitMethod, TimeSplit, TrainConfig, TrainReport,
    gates::{self, CheckConfig, CheckReport},
    train,
};
use finrank_model::{
    Bundle, ModelVersion,
    features::{Definitions, ProtectedFeatures},
    policy::{DEFAULT_POLICY, Policy},
};
use finrank_store::{models::Verdict, scratch::ScratchDatabase};
use tempfile::tempdir;

/// Customers, each of whom acquires one product.
const CUSTOMERS: i64 = 400;
/// Products, of which nothing tells who acquires which.
const PRODUCTS: i64 = 8;
/// The mean of 1 / rank where every rank is as likely: H(8) / 8.
const CHANCE: f64 = 0.3397;

const DEFINITIONS: &str = r#"
version = 1
purpose = [{ name = "marketing", description = "" }, { name = "fairness", description = "" }]

[[view]]
name = "profile"
entity = "customer"
source = "attributes"
description = ""
owner = "test"
sensitivity = "personal"
purposes = ["marketing", "fairness"]
protected_purposes = ["fairness"]
feature = [
    { name = "favourite", type = "text", description = "" },
    { name = "gender", type = "text", protected = true, description = "" },
]

[[view]]
name = "activity"
entity = "customer"
source = "events"
ttl = "100days"
description = ""
owner = "test"
sensitivity = "personal"
purposes = ["marketing"]
feature = [
    { name = "viewed", aggregate = "count", kinds = ["viewed"], description = "" },
    { name = "last_viewed", aggregate = "latest_time", kinds = ["viewed"], description = "" },
]

[[service]]
name = "towers"
description = ""
features = ["profile:favourite", "activity:*"]

[[service]]
name = "whoever"
description = ""
features = ["profile:*"]
"#;

/// When customer `number` acquires their product.
fn acquired_at(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(100) + TimeDelta::hours(number)
}

/// Customers of whom nothing is known when they acquire something, each an hour after the one before; all that was
/// written was known at once.
async fn customers_who_acquire() -> ScratchDatabase {
    let database = ScratchDatabase::create().await;
    execute(
        &database,
        "insert into customer_statements (user_id, attributes, event_time, known_at)
         select format('u%s', to_char(number, 'FM0000')), '{}', 'epoch', 'epoch'
         from generate_series(0, $1 - 1) as number
         where $2 = $2",
    )
    .await;
    execute(
        &database,
        "insert into product_statements
             (product_id, product_class, name, description, issuer, status, attributes, event_time)
         select format('p%s', number), 'loan', format('loan %s', number), '', '', 'active', '{}', 'epoch'
         from generate_series(0, $2 - 1) as number
         where $1 = $1",
    )
    .await;
    execute(
        &database,
        "insert into event_statements
             (user_id, event_id, product_id, kind, event_time, quantity, known_at)
         select format('u%s', to_char(number, 'FM0000')), 'acquired', format('p%s', number * 7919 % 1009 % $2),
                'acquired', timestamptz 'epoch' + interval '100 days' + number * interval '1 hour', 1,
                timestamptz 'epoch' + interval '100 days' + number * interval '1 hour'
         from generate_series(0, $1 - 1) as number",
    )
    .await;
    database
}

/// Backfills what each customer acquired as what they always liked best: said to be true from `true_after` their
/// acquisition on, and written a day after it.
async fn backfill_favourites(database: &ScratchDatabase, true_after: TimeDelta) {
    sqlx::query(
        "insert into customer_statements (user_id, attributes, event_time, known_at)
         select user_id, jsonb_build_object('favourite', product_id), event_time + $1, event_time + interval '1 day'
         from event_statements where kind = 'acquired'",
    )
    .bind(true_after)
    .execute(database.store.pool())
    .await
    .unwrap();
}

async fn execute(database: &ScratchDatabase, statement: &'static str) {
    sqlx::query(statement).bind(CUSTOMERS).bind(PRODUCTS).execute(database.store.pool()).await.unwrap();
}

fn config(models_dir: &Path, known: Knowledge) -> TrainConfig {
    TrainConfig {
        model_version: Some(ModelVersion::parse("by-time").unwrap()),
        trained_at: Some(DateTime::UNIX_EPOCH),
        split: SplitMethod::Time(TimeSplit { at: None, known }),
        learning: LearningConfig {
            steps: 160,
            feature_service: Some("towers".to_owned()),
            ..LearningConfig::default()
        },
        definitions: Some(Arc::new(Definitions::parse(DEFINITIONS).unwrap())),
        ..TrainConfig::new(models_dir)
    }
}

/// Of a model that learns by time, by what counts as known.
async fn quality(database: &ScratchDatabase, name: &str, known: Knowledge) -> f64 {
    let models_dir = tempdir().unwrap();
    let model_version = Some(ModelVersion::parse(name).unwrap());
    let config = TrainConfig { model_version, ..config(models_dir.path(), known) };
    let report = train(&database.store, &config, ()).await.unwrap();
    assert_eq!(report.evaluation.hidden as i64, CUSTOMERS / 10);
    report.evaluation.of(RankedBy::Ranker).unwrap().mrr
}

fn by_now() -> Knowledge {
    Knowledge::By(Utc::now())
}

#[tokio::test]
async fn a_backfill_that_tells_the_answer_gives_nothing_although_by_its_event_time_it_would() {
    let database = customers_who_acquire().await;
    backfill_favourites(&database, TimeDelta::days(-50)).await;

    let bitemporal = quality(&database, "bitemporal", Knowledge::Then).await;
    let by_event_time_alone = quality(&database, "by-event-time", by_now()).await;

    // Forty questions: a chance of 0.34 has a standard error of 0.05.
    assert!(bitemporal < CHANCE + 0.15, "{bitemporal} is better than anyone could know");
    assert!(by_event_time_alone > 0.8, "{by_event_time_alone}: the oracle finds the planted leak");
}

#[tokio::test]
async fn what_comes_to_be_true_after_the_answer_gives_nothing_whenever_it_is_known() {
    let database = customers_who_acquire().await;
    backfill_favourites(&database, TimeDelta::microseconds(1)).await;

    let by_event_time = quality(&database, "by-event-time", by_now()).await;

    assert!(by_event_time < CHANCE + 0.15, "{by_event_time} is better than anyone could know");
}

#[tokio::test]
async fn a_preference_that_was_known_before_is_learned_from_a_feature_service() {
    let database = customers_who_acquire().await;
    sqlx::query(
        "insert into customer_statements (user_id, attributes, event_time, known_at)
         select user_id, jsonb_build_object('favourite', product_id), event_time - interval '2 days',
                event_time - interval '1 day'
         from event_statements",
    )
    .execute(database.store.pool())
    .await
    .unwrap();

    let known_before = quality(&database, "known-before", Knowledge::Then).await;

    assert!(known_before > 0.8, "{known_before}");
}

async fn trained(database: &ScratchDatabase, config: &TrainConfig) -> (TrainReport, Bundle) {
    let report = train(&database.store, config, ()).await.unwrap();
    let bundle = Bundle::read(&report.bundle_path).unwrap();
    (report, bundle)
}

/// What the gates say of a model, which nothing is served beside.
async fn checked(database: &ScratchDatabase, models_dir: &Path, known: Knowledge) -> CheckReport {
    let config = CheckConfig {
        models_dir: models_dir.to_owned(),
        model_version: ModelVersion::parse("by-time").unwrap(),
        policy: Policy::parse(&DEFAULT_POLICY.replace("min_customers = 100", "min_customers = 20")).unwrap(),
        definitions: Definitions::parse(DEFINITIONS).unwrap(),
        known,
        checked_by: "ci".to_owned(),
    };
    gates::check(&database.store, &config, ()).await.unwrap()
}

#[tokio::test]
async fn the_gates_show_a_model_that_reads_features_what_was_known_just_before_the_answer() {
    let database = customers_who_acquire().await;
    backfill_favourites(&database, TimeDelta::days(-50)).await;
    let models_dir = tempdir().unwrap();
    let (_, bundle) = trained(&database, &config(models_dir.path(), by_now())).await;

    let by_event_time = checked(&database, models_dir.path(), by_now()).await;
    let bitemporal = checked(&database, models_dir.path(), Knowledge::Then).await;
    execute(&database, "update customer_statements set known_at = now() where $1 = $1 and $2 = $2").await;
    let imported_late = checked(&database, models_dir.path(), Knowledge::Then).await;

    let quality = |report: &CheckReport| report.tables.quality.as_ref().map(|quality| quality.mrr);
    assert_eq!(by_event_time.tables.customers as i64, CUSTOMERS / 10);
    assert!(quality(&by_event_time).unwrap() > 0.8, "{by_event_time:?}");
    assert!(quality(&bitemporal).unwrap() < CHANCE + 0.15, "{bitemporal:?}");
    let late = imported_late.results.iter().find(|result| result.gate == "quality").unwrap();
    assert_eq!((late.verdict, quality(&imported_late)), (Verdict::Insufficient, None));
    assert!(late.explanation.contains("`--known-at now`"), "{}", late.explanation);
    let (golden, _) = bundle.golden().unwrap().records(&bundle).unwrap();
    let favourites: Vec<_> = golden.iter().map(|user| user.features.value(0)).collect();
    assert!(favourites[0].is_some() && favourites.last() == Some(&None), "{favourites:?}");
}

#[tokio::test]
async fn a_feature_that_a_class_may_not_use_is_refused_whichever_view_tells_it() {
    let database = customers_who_acquire().await;
    let models_dir = tempdir().unwrap();
    let forbidding =
        "\n[[forbidden]]\nproduct_classes = [\"loan\"]\nfeatures = [\"viewed\"]\nreason = \"the law\"\n";
    let policy = Policy::parse(&format!("{DEFAULT_POLICY}{forbidding}")).unwrap();

    let config = TrainConfig { policy, ..config(models_dir.path(), Knowledge::Then) };
    let refusal = train(&database.store, &config, ()).await.unwrap_err().to_string();

    assert!(refusal.contains("activity:viewed may not be used where loan is ranked: the law"), "{refusal}");
}

#[tokio::test]
async fn the_same_data_and_seed_give_the_same_bundle_which_says_what_it_reads() {
    let database = customers_who_acquire().await;
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());

    let (first, bundle) = trained(&database, &config(one.path(), Knowledge::Then)).await;
    let (again, _) = trained(&database, &config(other.path(), Knowledge::Then)).await;

    assert_eq!(first.bundle_sha256, again.bundle_sha256);
    let set = bundle.manifest.feature_set.unwrap();
    assert_eq!((set.service.as_str(), set.purpose.as_str()), ("towers", "marketing"));
    assert_eq!(set.definitions_sha256, Definitions::parse(DEFINITIONS).unwrap().digest);
    let names: Vec<String> = set.names().map(ToString::to_string).collect();
    assert_eq!(names, ["profile:favourite", "activity:viewed", "activity:last_viewed"]);
    assert_eq!(bundle.manifest.training_rows["examples"] as i64, CUSTOMERS * 9 / 10);
}

#[tokio::test]
async fn one_behaviour_is_one_example_however_often_it_was_recorded() {
    let database = customers_who_acquire().await;
    let (once, twice) = (tempdir().unwrap(), tempdir().unwrap());
    let split_at = Some(acquired_at(CUSTOMERS * 8 / 10));
    let at = |models_dir: &Path| TrainConfig {
        split: SplitMethod::Time(TimeSplit { at: split_at, known: Knowledge::Then }),
        ..config(models_dir, Knowledge::Then)
    };
    let (recorded_once, _) = trained(&database, &at(once.path())).await;

    // A client that did not hear the answer sends the same act again, of the same moment or of the next try.
    for later in ["0 seconds", "30 seconds"] {
        sqlx::query(
            "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity, known_at)
             select user_id, 'again after ' || $1, product_id, kind, event_time + $1::interval, quantity,
                    known_at + $1::interval
             from event_statements where event_id = 'acquired'",
        )
        .bind(later)
        .execute(database.store.pool())
        .await
        .unwrap();
    }
    let report = train(
        &database.store,
        &TrainConfig { model_version: Some(ModelVersion::parse("again").unwrap()), ..at(twice.path()) },
        (),
    )
    .await
    .unwrap();

    assert_eq!(report.dataset.examples, recorded_once.dataset.examples);
    assert_eq!(report.evaluation.hidden, recorded_once.evaluation.hidden);
    assert_eq!(report.dataset.repeated as i64, CUSTOMERS * 8 / 10, "what is held is not acquired again");
}

#[tokio::test]
async fn features_that_may_not_be_read_are_refused_by_name() {
    let database = customers_who_acquire().await;
    let models_dir = tempdir().unwrap();
    let refusal = async |change: &dyn Fn(&mut TrainConfig)| {
        let mut config = config(models_dir.path(), Knowledge::Then);
        change(&mut config);
        train(&database.store, &config, ()).await.unwrap_err().to_string()
    };

    let protected = refusal(&|config| config.learning.feature_service = Some("whoever".to_owned())).await;
    let purpose = refusal(&|config| {
        config.learning.feature_service = Some("whoever".to_owned());
        config.learning.protected_features = ProtectedFeatures::Allow;
    })
    .await;
    let snapshot = refusal(&|config| config.split = SplitMethod::LeaveOneOut).await;
    let undeclared = refusal(&|config| config.definitions = None).await;

    assert_eq!(protected, "features: profile:gender is protected: people may not be told apart by it");
    assert_eq!(
        purpose,
        "features: profile:gender is protected and not served for \"marketing\", only for fairness"
    );
    assert!(snapshot.starts_with("feature_service is towers: it needs a split by time"), "{snapshot}");
    assert!(undeclared.contains("no definitions that declare it"), "{undeclared}");
    assert_eq!(std::fs::read_dir(models_dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn says_that_nothing_was_known_of_data_that_was_imported_after_the_fact() {
    let database = customers_who_acquire().await;
    execute(&database, "update customer_statements set known_at = now() where $1 = $1 and $2 = $2").await;
    let models_dir = tempdir().unwrap();

    let error = train(&database.store, &config(models_dir.path(), Knowledge::Then), ())
        .await
        .unwrap_err()
        .to_string();

    assert!(error.contains("read with `--known-at now`"), "{error}");
}
