//! Definitions that change while they are served: at once, whole, and without a moment that belongs to none.

use std::{
    process::Command,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use finrank_contracts::feature::v1::{
    FeatureSelection, GetFeaturesAsOfRequest, GetFeaturesAsOfResponse, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse, ListFeatureViewsRequest, ReloadFeatureDefinitionsRequest,
    ReloadFeatureDefinitionsResponse, feature_store_service_client::FeatureStoreServiceClient,
    feature_value::Value,
};
use finrank_feature_store::BUILT_IN_DEFINITIONS;
use tokio::sync::RwLock;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{days_ago, viewed},
};

const VIEWED: &str = "customer_activity:viewed_7d";

/// A hangup is heard by every server of this process: not while a test tells what its own reload has changed.
static HANGUPS: RwLock<()> = RwLock::const_new(());

type Client = FeatureStoreServiceClient<Channel>;

/// The built-in definitions with a window of so many days.
fn within(days: u32) -> String {
    BUILT_IN_DEFINITIONS.replace("window = \"7days\"", &format!("window = \"{days}days\""))
}

fn selection() -> FeatureSelection {
    FeatureSelection {
        features: vec![VIEWED.to_owned()],
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    }
}

async fn online(client: &mut Client) -> GetOnlineFeaturesResponse {
    let request =
        GetOnlineFeaturesRequest { selection: Some(selection()), entity_ids: vec!["u1".to_owned()] };
    client.get_online_features(request).await.unwrap().into_inner()
}

/// What was served, asked for again by its moment, and by its definitions if told so.
async fn again(
    client: &mut Client,
    answer: &GetOnlineFeaturesResponse,
    by_digest: bool,
) -> GetFeaturesAsOfResponse {
    let header = answer.header.clone().unwrap();
    let request = GetFeaturesAsOfRequest {
        selection: Some(selection()),
        entity_ids: vec!["u1".to_owned()],
        moment: header.known_at,
        definitions_sha256: if by_digest { header.definitions_sha256 } else { String::new() },
    };
    client.get_features_as_of(request).await.unwrap().into_inner()
}

fn count(answer: &GetOnlineFeaturesResponse) -> Option<Value> {
    answer.rows[0].values[0].value.clone()
}

async fn reload(store: &mut FeatureStore) -> Result<ReloadFeatureDefinitionsResponse, Status> {
    let request = ReloadFeatureDefinitionsRequest {};
    store.client.reload_feature_definitions(request).await.map(tonic::Response::into_inner)
}

/// A store whose u1 has looked at a page yesterday and four days ago.
async fn start() -> FeatureStore {
    let mut store = FeatureStore::start_defining(&within(7)).await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1)), viewed("e2", "u1", days_ago(4))]).await;
    store
}

#[tokio::test]
async fn other_definitions_answer_from_then_on_and_earlier_answers_are_given_again() {
    let _none = HANGUPS.read().await;
    let mut store = start().await;
    let before = online(&mut store.client).await;

    store.redefine(&within(2));
    let reloaded = reload(&mut store).await.unwrap();
    let after = online(&mut store.client).await;
    let unchanged = reload(&mut store).await.unwrap();

    assert_eq!((count(&before), count(&after)), (Some(Value::Count(2)), Some(Value::Count(1))));
    assert_eq!(reloaded.changes.len(), 1, "{reloaded:?}");
    assert_eq!(reloaded.previous_sha256, before.header.as_ref().unwrap().definitions_sha256);
    assert_eq!(reloaded.definitions_sha256, after.header.as_ref().unwrap().definitions_sha256);
    assert_eq!((unchanged.changes.len(), unchanged.in_force_from), (0, reloaded.in_force_from));
    for by_digest in [false, true] {
        for answer in [&before, &after] {
            let again = again(&mut store.client, answer, by_digest).await;
            assert_eq!((again.header, again.rows), (answer.header.clone(), answer.rows.clone()));
        }
    }
    let declared = store.client.list_feature_views(ListFeatureViewsRequest {}).await.unwrap().into_inner();
    assert_eq!(declared.definitions_sha256, reloaded.definitions_sha256);
}

#[tokio::test]
async fn a_broken_file_is_refused_with_all_that_is_wrong_and_changes_nothing() {
    let mut store = start().await;
    let broken = within(2)
        .replace("owner = \"core-banking\"", "owner = \"\"")
        .replace("owner = \"product-management\"", "owner = \"\"");

    store.redefine(&broken);
    let refused = reload(&mut store).await.unwrap_err();

    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "FEATURE_DEFINITIONS_UNUSABLE");
    let named = |what: &str| refused.message().contains(what);
    let both =
        named("view[customer_spending].owner is empty") && named("view[product_demand].owner is empty");
    assert!(both, "{refused}");
    assert_eq!(count(&online(&mut store.client).await), Some(Value::Count(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_moment_belongs_to_one_set_of_definitions_however_often_they_change() {
    let mut store = start().await;
    let changing = Arc::new(AtomicBool::new(true));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, changing) = (store.client.clone(), changing.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while changing.load(Ordering::Relaxed) {
                    answers.push(online(&mut client).await);
                }
                answers
            })
        })
        .collect();

    for round in 0..20 {
        store.redefine(&within([2, 7][round % 2]));
        reload(&mut store).await.unwrap();
    }
    changing.store(false, Ordering::Relaxed);

    for asked in asking {
        for answer in asked.await.unwrap() {
            let again = again(&mut store.client, &answer, false).await;
            assert_eq!((again.header, again.rows), (answer.header, answer.rows));
        }
    }
}

#[tokio::test]
async fn while_a_writer_does_not_end_the_definitions_answer_that_were_in_force_when_it_began() {
    let _none = HANGUPS.read().await;
    let mut store = start().await;
    let before = online(&mut store.client).await;
    let mut writer = store.database.store.pool().begin().await.unwrap();
    let write =
        "insert into customer_statements (user_id, event_time, attributes) values ('u2', now(), '{}')";
    sqlx::query(write).execute(&mut *writer).await.unwrap();

    store.redefine(&within(2));
    reload(&mut store).await.unwrap();
    let meanwhile = online(&mut store.client).await;
    let mut begun_meanwhile = store.second_server_defining(&within(3), |_| {}).await;
    let by_another = online(&mut begun_meanwhile).await;
    writer.rollback().await.unwrap();
    let digest = |answer: &GetOnlineFeaturesResponse| answer.header.clone().unwrap().definitions_sha256;
    let mut after = online(&mut store.client).await;
    while digest(&after) == digest(&before) {
        after = online(&mut store.client).await;
    }

    let of_before = [&before, &meanwhile, &by_another].map(|answer| (count(answer), digest(answer)));
    assert_eq!(of_before, [&before; 3].map(|before| (Some(Value::Count(2)), digest(before))));
    assert_eq!(count(&after), Some(Value::Count(1)));
    assert_ne!(digest(&after), digest(&before));
    for answer in [before, meanwhile, by_another] {
        let again = again(&mut store.client, &answer, false).await;
        assert_eq!((again.header, again.rows), (answer.header, answer.rows));
    }
}

#[tokio::test]
async fn a_hangup_has_the_file_read_anew() {
    let _alone = HANGUPS.write().await;
    let mut store = start().await;
    online(&mut store.client).await;

    store.redefine(&within(2));
    let sent = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();

    assert!(sent.success());
    while count(&online(&mut store.client).await) != Some(Value::Count(1)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_two_servers_with_different_files_either_gives_again_what_the_other_served() {
    let mut store = start().await;
    let first = online(&mut store.client).await;
    let mut second = store.second_server_defining(&within(2), |_| {}).await;

    let other = online(&mut second).await;
    let still = online(&mut store.client).await;

    assert_eq!(
        (count(&first), count(&other), count(&still)),
        (Some(Value::Count(2)), Some(Value::Count(1)), Some(Value::Count(2)),)
    );
    for answer in [first, other, still] {
        for client in [&mut store.client, &mut second] {
            let again = again(client, &answer, true).await;
            assert_eq!((again.header, again.rows), (answer.header.clone(), answer.rows.clone()));
        }
    }
}
