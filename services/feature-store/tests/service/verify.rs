//! What was served online, held to history: no difference whatever was learned or declared since, and every planted
//! one found at its place.

use finrank_contracts::{
    common::v1::Customer,
    feature::v1::{
        EntityKind, EraseCustomerRequest, ExportCustomerRequest, FeatureRow, FeatureSelection,
        GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, ServedDifference, VerificationSummary,
        VerifyServedFeaturesRequest, export_customer_response::Item,
        feature_store_service_client::FeatureStoreServiceClient, feature_value::Value,
        verify_served_features_response::Step,
    },
};
use finrank_feature_store::{BUILT_IN_DEFINITIONS, FeatureStoreConfig};
use prost::Message as _;
use tonic::transport::Channel;

use crate::support::{
    FeatureStore,
    samples::{days_ago, income, viewed},
};

const INCOME: &str = "customer_profile:annual_income";
const VIEWED: &str = "customer_activity:viewed_7d";
const VIEWERS: &str = "product_demand:viewers_30d";

type Client = FeatureStoreServiceClient<Channel>;

/// A store that keeps every row that it serves.
async fn start() -> FeatureStore {
    FeatureStore::start_configured(keep_every_row).await
}

fn keep_every_row(config: &mut FeatureStoreConfig) {
    config.features.sample.one_in = 1;
}

async fn online(client: &mut Client, features: &[&str], ids: &[&str]) -> GetOnlineFeaturesResponse {
    let selection = FeatureSelection {
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    };
    let entity_ids = ids.iter().map(|&id| id.to_owned()).collect();
    let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids };
    client.get_online_features(request).await.unwrap().into_inner()
}

async fn verify_some(
    client: &mut Client,
    request: VerifyServedFeaturesRequest,
) -> (Vec<ServedDifference>, VerificationSummary) {
    let mut steps = client.verify_served_features(request).await.unwrap().into_inner();
    let (mut differences, mut summary) = (Vec::new(), None);
    while let Some(step) = steps.message().await.unwrap() {
        assert!(summary.is_none(), "the summary comes last");
        match step.step.unwrap() {
            Step::Difference(difference) => differences.push(difference),
            Step::Summary(found) => summary = Some(found),
            Step::Progress(progress) => assert!(progress.checked <= progress.total, "{progress:?}"),
        }
    }
    (differences, summary.unwrap())
}

async fn verify(client: &mut Client) -> (Vec<ServedDifference>, VerificationSummary) {
    verify_some(client, VerifyServedFeaturesRequest::default()).await
}

fn all_equal(rows: u64) -> (Vec<ServedDifference>, VerificationSummary) {
    (Vec::new(), VerificationSummary { checked: rows, equal: rows, different: 0 })
}

#[tokio::test]
async fn nothing_differs_whatever_was_learned_taken_back_or_declared_since() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0), income("u2", 5.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1)), viewed("e2", "u1", days_ago(2))]).await;
    online(&mut store.client, &[INCOME, VIEWED], &["u1", "u2"]).await;
    online(&mut store.client, &[VIEWERS], &["p1"]).await;

    // A correction, a later statement, a late event, and both kinds of statements taken back.
    let later = [income("u1", 11.0, days_ago(9), 1), income("u1", 12.0, days_ago(2), 0)];
    let taken_back = Customer { retracted: true, ..income("u2", 5.0, days_ago(9), 1) };
    store.write_customers([&later[..], &[taken_back]].concat()).await;
    let mut gone = viewed("e2", "u1", days_ago(2));
    (gone.revision, gone.retracted) = (1, true);
    store.write_events(vec![viewed("e3", "u1", days_ago(3)), gone]).await;
    online(&mut store.client, &[INCOME, VIEWED], &["u1", "u2"]).await;
    assert_eq!(verify(&mut store.client).await, all_equal(5));
    // By other definitions, the window above all.
    let definitions = BUILT_IN_DEFINITIONS.replace("window = \"7days\"", "window = \"2days\"");
    let mut second = store.second_server_defining(&definitions, keep_every_row).await;
    let now = online(&mut second, &[VIEWED], &["u1"]).await;

    assert_ne!(now.rows[0].values[0].value, Some(Value::Count(2)), "the definitions are others");
    assert_eq!(verify(&mut second).await, all_equal(6));
}

#[tokio::test]
async fn a_row_that_is_not_what_was_served_is_found_at_its_place() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0), income("u2", 20.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e1", "u2", days_ago(1))]).await;
    let answer = online(&mut store.client, &[INCOME, VIEWED], &["u1", "u2"]).await;
    assert_eq!(verify(&mut store.client).await, all_equal(2));

    // Somebody goes past the rule that statements are only added.
    store.execute("update event_statements set event_time = event_time - interval '30 days'").await;
    let (differences, summary) = verify(&mut store.client).await;

    assert_eq!(summary, VerificationSummary { checked: 2, equal: 1, different: 1 });
    let [difference] = &differences[..] else { panic!("{differences:?}") };
    let header = answer.header.unwrap();
    assert_eq!((difference.entity(), difference.entity_id.as_str()), (EntityKind::User, "u2"));
    assert_eq!((difference.feature.as_str(), difference.known_at), (VIEWED, header.known_at));
    assert_eq!(difference.served.as_ref(), Some(&answer.rows[1].values[1]));
    assert_eq!(difference.recomputed.as_ref().unwrap().value, Some(Value::Count(0)));
    assert_eq!(difference.definitions_sha256, header.definitions_sha256);
}

#[tokio::test]
async fn what_only_a_bit_tells_apart_is_a_difference_and_so_is_what_cannot_be_read() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 0.0, days_ago(9), 0), income("u2", 0.0, days_ago(9), 0)]).await;
    let answer = online(&mut store.client, &[INCOME], &["u1", "u2"]).await;
    verify(&mut store.client).await;

    let mut minus_zero: FeatureRow = answer.rows[0].clone();
    minus_zero.values[0].value = Some(Value::Number(-0.0));
    for (id, served) in [("u1", minus_zero.encode_to_vec()), ("u2", vec![0xff])] {
        sqlx::query("update served_samples set served = $2 where id = $1")
            .bind(id)
            .bind(served)
            .execute(store.database.store.pool())
            .await
            .unwrap();
    }
    let (mut differences, summary) = verify(&mut store.client).await;

    assert_eq!(summary, VerificationSummary { checked: 2, equal: 0, different: 2 });
    differences.sort_by(|one, other| one.entity_id.cmp(&other.entity_id));
    assert_eq!((differences[0].feature.as_str(), differences[0].reason.as_str()), (INCOME, ""));
    assert_eq!(differences[1].reason, "what was kept cannot be read any more");
}

#[tokio::test]
async fn checks_the_newest_rows_and_those_since_a_moment_when_told_to() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    let many = vec!["u1"; 700];
    online(&mut store.client, &[INCOME], &many).await;
    online(&mut store.client, &[INCOME], &many).await;
    // So that the horizon moves on, and the answers with it.
    store.write_customers(vec![income("u1", 11.0, days_ago(8), 0)]).await;
    let last = online(&mut store.client, &[INCOME], &["u1"]).await.header.unwrap().known_at;

    assert_eq!(verify(&mut store.client).await, all_equal(1_401));
    let newest = VerifyServedFeaturesRequest { since: None, limit: 1_100 };
    assert_eq!(verify_some(&mut store.client, newest).await, all_equal(1_100));
    let since = VerifyServedFeaturesRequest { since: last, limit: 0 };
    assert_eq!(verify_some(&mut store.client, since).await, all_equal(1));
}

#[tokio::test]
async fn erasure_takes_the_samples_that_are_kept_and_those_on_their_way() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0), income("u2", 20.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1))]).await;
    online(&mut store.client, &[INCOME], &["u1", "u2"]).await;
    online(&mut store.client, &[VIEWERS], &["p1", "p2"]).await;
    verify(&mut store.client).await;
    assert_eq!(exported_samples(&mut store.client, "u1").await, 1);
    // These still wait to be written when u1 is erased.
    online(&mut store.client, &[INCOME], &["u1"]).await;
    online(&mut store.client, &[VIEWERS], &["p1"]).await;
    let request = EraseCustomerRequest { user_id: "u1".to_owned() };
    let receipt = store.client.erase_customer(request).await.unwrap().into_inner();

    let removed = receipt.removed.iter().find(|removed| removed.table == "served_samples").unwrap();
    assert!(removed.rows >= 2, "u1's own, and what counts u1: {receipt:?}");
    // What was served before and is left is u2's, and p2's that nobody viewed.
    let (differences, summary) = verify(&mut store.client).await;
    assert_eq!((differences, summary.checked), (Vec::new(), 2));
    let named: i64 = sqlx::query_scalar("select count(*) from served_samples where id in ('u1', 'p1')")
        .fetch_one(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(named, 0);
}

#[tokio::test]
async fn keeps_nothing_of_customers_of_whom_nothing_is_held() {
    let mut store = start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    online(&mut store.client, &[INCOME], &["nobody", "u1"]).await;

    assert_eq!(verify(&mut store.client).await, all_equal(1));
}

#[tokio::test]
async fn keeps_no_rows_when_told_to_keep_none() {
    let mut store = FeatureStore::start_configured(|config| config.features.sample.one_in = 0).await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    online(&mut store.client, &[INCOME], &["u1"]).await;

    assert_eq!(verify(&mut store.client).await, all_equal(0));
}

async fn exported_samples(client: &mut Client, user_id: &str) -> usize {
    let request = ExportCustomerRequest { user_id: user_id.to_owned() };
    let mut answers = client.export_customer(request).await.unwrap().into_inner();
    let mut samples = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        samples += usize::from(matches!(answer.item, Some(Item::Served(_))));
    }
    samples
}
