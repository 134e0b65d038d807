//! What features are like, as refreshes find them, and what becomes of a refresh that finds them wrong.

use chrono::Utc;
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, attribute_value::Kind},
    feature::v1::{
        DescribeFeatureViewRequest, EntityKind, EraseCustomerRequest, FeatureStatistics,
        FeatureViewFreshness, FeatureViewStatistics, ListFeatureViewsRequest, RefreshScope, RefreshState,
    },
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{at, customer_message, user},
};

/// One view of the sample customers, `expect` being what is expected of their income.
fn definitions(expect: &str) -> String {
    format!(
        r#"
        version = 1
        purpose = [{{ name = "marketing", description = "Offers." }}]

        [[view]]
        name = "profile"
        entity = "customer"
        source = "attributes"
        ttl = "1day"
        description = "What customers say."
        owner = "tests"
        sensitivity = "personal"
        purposes = ["marketing"]

        [[view.feature]]
        name = "income"
        type = "number"
        description = "A year."
        expect = {{ {expect} }}

        [[view.feature]]
        name = "region"
        type = "text"
        description = "Where."

        [[view.feature]]
        name = "owns_home"
        type = "flag"
        description = "Whether."
        "#
    )
}

async fn start(expect: &str, users: usize) -> FeatureStore {
    let mut store = FeatureStore::start_defining(&definitions(expect)).await;
    if users > 0 {
        store.fill(users, 4).await;
    }
    store.register_model("v1", 1).await;
    store
}

/// With 35 customers whose embeddings follow them.
async fn start_live(expect: &str) -> FeatureStore {
    let mut store = FeatureStore::start_configured(|config| {
        let file = config.models_dir.join("features.toml");
        std::fs::write(&file, definitions(expect)).unwrap();
        config.features.definitions = Some(file);
        config.live.enabled = true;
    })
    .await;
    store.fill(35, 4).await;
    store.register_model("v1", 1).await;
    store
}

async fn history(store: &mut FeatureStore, history: u32) -> Vec<FeatureViewStatistics> {
    let request = DescribeFeatureViewRequest { view: "profile".to_owned(), history };
    store.client.describe_feature_view(request).await.unwrap().into_inner().statistics
}

fn feature<'s>(statistics: &'s FeatureViewStatistics, name: &str) -> &'s FeatureStatistics {
    statistics.features.iter().find(|feature| feature.name == name).unwrap()
}

fn income(user_id: &str, income: f64) -> Customer {
    Customer {
        user_id: user_id.to_owned(),
        attributes: [("income".to_owned(), AttributeValue { kind: Some(Kind::Number(income)) })].into(),
        event_time: Some(at(Utc::now().timestamp())),
        ..Customer::default()
    }
}

async fn refresh_changes(store: &mut FeatureStore) -> finrank_contracts::feature::v1::RefreshRun {
    let run = store.start_scoped_refresh("v1", RefreshScope::Changes).await.unwrap();
    store.watch_refresh(run.run_id).await.pop().unwrap()
}

#[tokio::test]
async fn a_refresh_tells_what_features_are_like() {
    let mut store = start("", 35).await;

    store.refresh("v1").await;

    let statistics = history(&mut store, 0).await.remove(0);
    assert_eq!((statistics.entities, statistics.not_found, statistics.outside_max_age), (35, 0, 35));
    assert!(statistics.whole);
    assert_eq!(statistics.newest_event_time, Some(at(100)));
    let income = feature(&statistics, "income");
    assert_eq!((income.count, income.null_rate), (30, 5.0 / 35.0), "every seventh has none");
    let numbers = income.numbers.as_ref().unwrap();
    let known: Vec<f64> =
        (0..35).filter(|n| n % 7 != 0).map(|n| 1000.0 * (1.0 + f64::from(n)).sqrt()).collect();
    assert!((numbers.mean - known.iter().sum::<f64>() / 30.0).abs() < 1e-6, "{numbers:?}");
    assert_eq!((numbers.min, numbers.max), (known[0], known[29]));
    let median = numbers.quantiles.iter().find(|quantile| quantile.share == 0.5).unwrap().value;
    assert!(median >= 0.98 * known[14] && median <= 1.02 * known[15], "{median}");
    let homes = feature(&statistics, "owns_home").texts.as_ref().unwrap();
    let top: Vec<_> = homes.top.iter().map(|text| (text.text.as_str(), text.count)).collect();
    assert_eq!(top, [("true", 18), ("false", 17)]);
}

/// Statistics and summaries that hold a text.
async fn stored_naming(store: &FeatureStore, text: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from (
             select summary::text as stored from feature_statistics
             union all select summaries::text from refresh_partitions
         ) as all_of_them
         where stored like '%' || $1 || '%'",
    )
    .bind(text)
    .fetch_one(store.database.store.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn texts_that_few_people_share_are_counted_and_not_named() {
    let mut store = start("", 29).await;

    store.refresh("v1").await;

    // Ten live in the north, ten in the south, nine in the east.
    let statistics = history(&mut store, 0).await.remove(0);
    let regions = feature(&statistics, "region").texts.as_ref().unwrap();
    let top: Vec<_> = regions.top.iter().map(|text| text.text.as_str()).collect();
    assert_eq!((regions.distinct, top), (3, vec!["north", "south"]));
    assert_eq!(stored_naming(&store, "north").await, 1);
    assert_eq!(stored_naming(&store, "east").await, 0);
}

#[tokio::test]
async fn the_statistics_of_every_refresh_are_kept() {
    let mut store = start("", 35).await;
    store.refresh("v1").await;
    store.write_customers(vec![income("u0001", 7.0), income("u0002", 9.0)]).await;

    refresh_changes(&mut store).await;

    let statistics = history(&mut store, 9).await;
    assert_eq!(statistics.iter().map(|found| found.entities).collect::<Vec<_>>(), [2, 35]);
    assert!(!statistics[0].whole);
    assert_eq!(feature(&statistics[0], "income").numbers.as_ref().unwrap().mean, 8.0);
}

#[tokio::test]
async fn a_refresh_with_features_that_are_not_as_they_must_be_is_withheld() {
    let mut store = start("max = 20_000, breach = \"stop\"", 35).await;
    let first = store.refresh("v1").await;
    store.write_customers(vec![income("u0003", 1e6), income("u0004", 7.0)]).await;

    let withheld = store.refresh("v1").await;

    assert_eq!(withheld.state(), RefreshState::Withheld);
    let breach = &withheld.breaches[0];
    assert_eq!((breach.feature.as_str(), breach.expectation.as_str()), ("profile:income", "max"));
    assert_eq!((breach.found, &breach.entity_ids[..]), (1e6, &["u0003".to_owned()][..]));
    let served = store.embeddings(EntityKind::User, &["u0004"], "v1").await.unwrap();
    assert_eq!(served.generation.unwrap().run_id, first.run_id, "readers stay where they were");

    // Withheld is not failed: what was wrong is not gone on with once it is mended.
    store.write_customers(vec![Customer { revision: 1, ..income("u0003", 5.0) }]).await;
    store.write_customers(vec![income("u0003", 5.0)]).await;
    let mended = store.refresh("v1").await;

    assert_eq!((mended.state(), mended.resumed, mended.breaches.len()), (RefreshState::Complete, false, 0));
}

#[tokio::test]
async fn whoever_a_refresh_is_withheld_for_keeps_the_embedding_that_they_had() {
    let expect = "min = 0, max = 20_000, breach = \"stop\"";
    let mut store = start_live(expect).await;
    let first = store.refresh("v1").await;
    let before = embedding(&mut store, "u0003").await;

    store.write_customers(vec![income("u0003", 1e6), income("u0004", 7.0), income("u0099", -1.0)]).await;
    store.until_live("v1").await;
    let withheld = refresh_changes(&mut store).await;

    assert_eq!(withheld.state(), RefreshState::Withheld);
    assert_eq!(embedding(&mut store, "u0003").await, before);
    assert_eq!(embedding(&mut store, "u0099").await, None, "who had none has none");
    let now = store.embeddings(EntityKind::User, &["u0004"], "v1").await.unwrap();
    let computed = now.results[0].embedding.as_ref().unwrap().features_as_of;
    assert_eq!(now.generation.as_ref().unwrap().run_id, first.run_id);
    assert_ne!(computed, now.generation.unwrap().features_as_of, "the others are fresh");

    // What is mended is learned of like anything else.
    store.write_customers(vec![Customer { revision: 1, ..income("u0003", 5.0) }, income("u0003", 5.0)]).await;
    store.until_live("v1").await;
    assert_ne!(embedding(&mut store, "u0003").await, before);
}

#[tokio::test]
async fn what_only_should_not_be_is_live_all_the_same() {
    let mut store = start_live("max = 20_000").await;
    store.refresh("v1").await;
    let before = embedding(&mut store, "u0003").await;

    store.write_customers(vec![income("u0003", 1e6)]).await;
    store.until_live("v1").await;

    assert_ne!(embedding(&mut store, "u0003").await, before);
}

async fn embedding(store: &mut FeatureStore, user_id: &str) -> Option<Vec<f32>> {
    let found = store.embeddings(EntityKind::User, &[user_id], "v1").await.unwrap().results.remove(0);
    found.embedding.map(|embedding| embedding.values)
}

#[tokio::test]
async fn changes_that_are_not_as_they_must_be_are_withheld_and_come_again() {
    let mut store = start("min = 0, breach = \"stop\"", 35).await;
    store.refresh("v1").await;
    let mut wrong = income("u0003", -1.0);
    store.write_customers(vec![wrong.clone(), income("u0004", 7.0)]).await;

    let withheld = refresh_changes(&mut store).await;
    wrong.revision = 1;
    wrong.attributes.clear();
    store.write_customers(vec![wrong]).await;
    let mended = refresh_changes(&mut store).await;

    assert_eq!(withheld.state(), RefreshState::Withheld);
    assert_eq!((mended.state(), mended.rows_done), (RefreshState::Complete, 2));
}

#[tokio::test]
async fn a_refresh_with_features_that_are_not_as_they_should_be_says_so() {
    let mut store = start("null_rate = 0.1, max = 1e9", 35).await;

    let run = store.refresh("v1").await;

    assert_eq!(run.state(), RefreshState::Complete);
    assert_eq!(run.breaches.len(), 1, "{:?}", run.breaches);
    assert_eq!((run.breaches[0].expectation.as_str(), run.breaches[0].found), ("null_rate", 5.0 / 35.0));
    assert_eq!(run.breaches[0].entity_ids, ["u0000", "u0007", "u0014", "u0021", "u0028"]);
    let statistics = history(&mut store, 0).await.remove(0);
    assert_eq!(feature(&statistics, "income").breaches, run.breaches);
}

#[tokio::test]
async fn of_one_feature_each_breach_names_those_who_breach_it() {
    let mut store = start("null_rate = 0.1, max = 5_500", 35).await;

    let run = store.refresh("v1").await;

    let named: Vec<_> = run
        .breaches
        .iter()
        .map(|breach| (breach.expectation.as_str(), breach.entity_ids.join(" ")))
        .collect();
    let (rich, unknown) = ("u0030 u0031 u0032 u0033 u0034", "u0000 u0007 u0014 u0021 u0028");
    assert_eq!(named, [("max", rich.to_owned()), ("null_rate", unknown.to_owned())]);
}

#[tokio::test]
async fn who_has_no_value_is_named_only_where_too_many_have_none() {
    let mut store = start("null_rate = 0.5, max = 5_900", 35).await;

    store.refresh("v1").await;

    let named: Vec<(String, Option<f64>)> = sqlx::query_as("select id, value from feature_outliers")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(named, [("u0034".to_owned(), Some(1000.0 * 35_f64.sqrt()))]);
}

#[tokio::test]
async fn a_refresh_whose_features_have_drifted_is_withheld() {
    let mut store = start("drift = 0.25, breach = \"stop\"", 0).await;
    let write = async |store: &mut FeatureStore, users: std::ops::Range<usize>, factor: f64| {
        for start in users.clone().step_by(1000) {
            let users = (start..users.end.min(start + 1000)).map(user);
            let customers = users.enumerate().map(|(place, user)| {
                let mut customer = customer_message(&user, 100 + factor as i64);
                let number = Kind::Number(factor * (1.0 + place as f64));
                customer.attributes.insert("income".to_owned(), AttributeValue { kind: Some(number) });
                customer
            });
            store.write_customers(customers.collect()).await;
        }
    };
    write(&mut store, 0..1000, 1.0).await;
    let first = store.refresh("v1").await;
    let same = store.refresh("v1").await;
    write(&mut store, 0..500, 3.0).await;

    let drifted = store.refresh("v1").await;

    assert_eq!((first.state(), same.state()), (RefreshState::Complete, RefreshState::Complete));
    assert_eq!((same.breaches.len(), drifted.state()), (0, RefreshState::Withheld));
    assert_eq!(drifted.breaches[0].expectation, "drift");
    assert!(drifted.breaches[0].found > 0.25, "{:?}", drifted.breaches);
}

#[tokio::test]
async fn who_is_erased_is_not_named_as_out_of_range_any_more() {
    let mut store = start("max = 20_000", 35).await;
    store.write_customers(vec![income("u0003", 1e6), income("u0004", 2e6)]).await;
    store.refresh("v1").await;
    let named = history(&mut store, 0).await;

    store.client.erase_customer(EraseCustomerRequest { user_id: "u0004".to_owned() }).await.unwrap();

    let ids = |statistics: &[FeatureViewStatistics]| {
        feature(&statistics[0], "income").breaches[0].entity_ids.clone()
    };
    assert_eq!(ids(&named), ["u0003", "u0004"]);
    assert_eq!(ids(&history(&mut store, 0).await), ["u0003"]);
}

#[tokio::test]
async fn lists_how_fresh_a_view_is() {
    let mut store = start("", 35).await;
    let freshness = async |store: &mut FeatureStore| {
        let listed = store.client.list_feature_views(ListFeatureViewsRequest {}).await.unwrap().into_inner();
        assert!(listed.known_at.is_some());
        listed.views[0].freshness
    };

    let before = freshness(&mut store).await;
    let full = store.refresh("v1").await;
    let first = freshness(&mut store).await.unwrap();
    let newer = Customer { event_time: Some(at(300)), ..income("u0001", 7.0) };
    store.write_customers(vec![newer, Customer { event_time: Some(at(50)), ..income("u0099", 7.0) }]).await;
    let changes = refresh_changes(&mut store).await;
    let second = freshness(&mut store).await.unwrap();
    store.write_customers(vec![Customer { event_time: Some(at(200)), ..income("u0099", 7.0) }]).await;
    let late = refresh_changes(&mut store).await;
    let third = freshness(&mut store).await.unwrap();

    assert_eq!(before, None);
    let told = |fresh: &FeatureViewFreshness| (fresh.run_id, fresh.whole, fresh.newest_event_time.unwrap());
    assert_eq!(told(&first), (full.run_id, true, at(100)));
    assert_eq!(told(&second), (changes.run_id, false, at(300)));
    assert_eq!(
        told(&third),
        (late.run_id, false, at(300)),
        "the newest of all that was read since the full one"
    );
    let as_of = |fresh: &FeatureViewFreshness| fresh.refreshed_at.map(|at| (at.seconds, at.nanos));
    assert!(as_of(&first) < as_of(&second) && as_of(&second) < as_of(&third));
}

#[tokio::test]
async fn says_which_view_there_is_not() {
    let mut store = start("", 0).await;

    let request = DescribeFeatureViewRequest { view: "nothing".to_owned(), history: 0 };
    let refused = store.client.describe_feature_view(request).await.unwrap_err();

    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "FEATURE_VIEW_NOT_FOUND");
}
