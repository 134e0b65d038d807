//! Reading.

use finrank_contracts::{
    common::v1::{Customer, EventKind, Money},
    feast::{
        serving::{
            FieldStatus::{self, NotFound, NullValue, OutsideMaxAge, Present},
            GetFeastServingInfoRequest, GetOnlineFeaturesRequest,
            get_online_features_request::Kind,
            serving_service_client::ServingServiceClient,
        },
        types::{Value, value::Val},
    },
    feature::v1::{FeatureSelection, FeatureStatus, GetOnlineFeaturesRequest as OurRequest},
};
use finrank_feature_store::{FeatureStoreConfig, serve};
use finrank_store::scratch::ScratchDatabase;
use prost_types::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use super::{
    INCOME, column, days_ago, feast, features, field, of_customers, online, profile, purpose, push, statuses,
    text, value,
};
use crate::support::{
    FeatureStore,
    samples::{at, event_message, product, product_message},
};

const VIEWED: &str = "customer_activity:viewed_7d";

fn seconds_ago(days: i64) -> i64 {
    chrono::Utc::now().timestamp() - days * 24 * 3600
}

#[tokio::test]
async fn answers_in_columns_with_repeated_and_unknown_ids_in_their_places() {
    let mut store = FeatureStore::start().await;
    push(&store, profile("u1", &days_ago(2), &[("annual_income", "10")])).await.unwrap();
    let viewed = event_message("e1", "u1", "p1", EventKind::Viewed, seconds_ago(1));
    store.write_events(vec![viewed.clone()]).await;

    let answer = online(&store, of_customers(&[VIEWED, INCOME], &["u1", "nobody", "u1"])).await.unwrap();

    let names = answer.metadata.as_ref().unwrap().feature_names.as_ref().unwrap();
    assert_eq!(names.val, ["user_id", "viewed_7d", "annual_income"]);
    assert_eq!(answer.results[0].values, [text("u1"), text("nobody"), text("u1")]);
    assert_eq!(
        answer.results[1].values,
        [value(Val::Int64Val(1)), Value::default(), value(Val::Int64Val(1))]
    );
    assert_eq!(
        answer.results[2].values,
        [value(Val::DoubleVal(10.0)), Value::default(), value(Val::DoubleVal(10.0))]
    );
    assert_eq!(statuses(&answer, 0), [Present; 3]);
    assert_eq!(statuses(&answer, 1), [Present, NotFound, Present]);
    let (then, never) = (viewed.event_time.unwrap(), Timestamp::default());
    assert_eq!(answer.results[1].event_timestamps, [then, never, then]);
    assert!(answer.status);
}

#[tokio::test]
async fn says_what_is_null_and_what_is_too_old() {
    let store = FeatureStore::start().await;
    push(&store, profile("u1", &days_ago(900), &[("savings", "5")])).await.unwrap();
    push(&store, profile("u2", &days_ago(1), &[("savings", "5")])).await.unwrap();

    let wanted = ["customer_profile:savings", INCOME];
    let answer = online(&store, of_customers(&wanted, &["u1", "u2"])).await.unwrap();

    // The view flags values that are too old, and serves them.
    assert_eq!(statuses(&answer, 1), [OutsideMaxAge, Present]);
    assert_eq!(answer.results[1].values, [value(Val::DoubleVal(5.0)), value(Val::DoubleVal(5.0))]);
    assert_eq!(statuses(&answer, 2), [OutsideMaxAge, NullValue]);
    assert_eq!(answer.results[2].values, [Value::default(), Value::default()]);
}

#[tokio::test]
async fn puts_every_type_into_feasts() {
    let mut store = FeatureStore::start().await;
    let columns = [("annual_income", "1.5"), ("occupation", "baker"), ("owns_home", "True")];
    push(&store, profile("u1", &days_ago(1), &columns)).await.unwrap();
    let mut acquired = event_message("e1", "u1", "p1", EventKind::Acquired, seconds_ago(1));
    acquired.amount = Some(Money { currency_code: "EUR".to_owned(), minor_units: 1250 });
    let applied = event_message("e2", "u1", "p1", EventKind::Applied, seconds_ago(2));
    store.write_events(vec![acquired, applied.clone()]).await;

    let wanted = [
        INCOME,
        "customer_profile:occupation",
        "customer_profile:owns_home",
        "customer_spending:acquired_365d",
        "customer_spending:amount_365d",
        "customer_activity:last_applied",
    ];
    let answer = online(&store, of_customers(&wanted, &["u1"])).await.unwrap();

    let values: Vec<Value> = answer.results[1..].iter().map(|column| column.values[0].clone()).collect();
    assert_eq!(
        values,
        [
            value(Val::DoubleVal(1.5)),
            text("baker"),
            value(Val::BoolVal(true)),
            value(Val::Int64Val(1)),
            value(Val::Int64Val(1250)),
            value(Val::UnixTimestampVal(applied.event_time.unwrap().seconds)),
        ]
    );
}

#[tokio::test]
async fn gives_what_our_own_contract_gives() {
    let mut store = FeatureStore::start().await;
    push(&store, profile("u1", &days_ago(900), &[("annual_income", "10")])).await.unwrap();
    let customer =
        Customer { user_id: "u2".to_owned(), event_time: Some(at(seconds_ago(1))), ..Customer::default() };
    store.write_customers(vec![customer]).await;
    let wanted = [INCOME, VIEWED];
    let ids = ["u2", "u1", "u3"];

    let theirs = online(&store, of_customers(&wanted, &ids)).await.unwrap();
    let selection = FeatureSelection {
        features: wanted.map(str::to_owned).into(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    };
    let ours = OurRequest { selection: Some(selection), entity_ids: ids.map(str::to_owned).into() };
    let ours = store.client.get_online_features(ours).await.unwrap().into_inner();

    for (row, ours) in ours.rows.iter().enumerate() {
        for (feature, ours) in ours.values.iter().enumerate() {
            let column = &theirs.results[1 + feature];
            let status = match ours.status() {
                FeatureStatus::Present => Present,
                FeatureStatus::NullValue => NullValue,
                FeatureStatus::NotFound => NotFound,
                FeatureStatus::OutsideMaxAge => OutsideMaxAge,
                other => panic!("{other:?}"),
            };
            assert_eq!(FieldStatus::try_from(column.statuses[row]), Ok(status));
            assert_eq!(column.event_timestamps[row], ours.event_time.unwrap_or_default());
            assert_eq!(column.values[row].val.is_some(), ours.value.is_some());
        }
    }
    let seen: Vec<_> = (1..3).flat_map(|column| statuses(&theirs, column)).collect();
    assert_eq!(seen, [NullValue, OutsideMaxAge, NotFound, NotFound, NotFound, NotFound]);
}

#[tokio::test]
async fn serves_a_feature_service_under_full_names_and_names_its_views() {
    let store = FeatureStore::start().await;
    let mut request = of_customers(&[], &["u1"]);
    request.kind = Some(Kind::FeatureService("offer_ranking".to_owned()));
    request.full_feature_names = true;
    request.include_feature_view_version_metadata = true;

    let metadata = online(&store, request).await.unwrap().metadata.unwrap();

    let names = metadata.feature_names.unwrap().val;
    assert_eq!(names[..2], ["user_id", "customer_profile__annual_income"]);
    assert_eq!(names.last().unwrap(), "customer_activity__last_applied");
    let views: Vec<_> = metadata.feature_view_metadata.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(views, ["customer_profile", "customer_activity"]);
}

#[tokio::test]
async fn joins_products_by_product_id_and_takes_whole_numbers_as_ids() {
    let mut store = FeatureStore::start().await;
    store.write_products(vec![product_message(&product(1), 100)]).await;
    store.write_events(vec![event_message("e1", "u1", "42", EventKind::Viewed, seconds_ago(1))]).await;
    let number = value(Val::Int64Val(42));
    let request = GetOnlineFeaturesRequest {
        kind: features(&["product_demand:viewers_30d"]),
        entities: [("product_id".to_owned(), column([number.clone()]))].into(),
        request_context: purpose("marketing"),
        ..GetOnlineFeaturesRequest::default()
    };

    let answer = online(&store, request).await.unwrap();

    assert_eq!(answer.results[0].values, [number]);
    assert_eq!(answer.results[1].values, [value(Val::Int64Val(1))]);
}

#[tokio::test]
async fn refuses_the_whole_request_if_the_purpose_does_not_allow_all_of_it() {
    let store = FeatureStore::start().await;

    let refused = online(&store, of_customers(&[INCOME, "customer_profile:age"], &["u1"])).await.unwrap_err();

    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "PURPOSE_NOT_ALLOWED");
    let denied = refused.get_details_precondition_failure().unwrap().violations;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].subject, "customer_profile:age");
    assert!(denied[0].description.contains("fairness_monitoring"), "{denied:?}");
    assert!(refused.message().contains("marketing"), "{refused}");
}

#[tokio::test]
async fn takes_the_purpose_from_the_request_then_the_metadata_then_the_settings() {
    let store = FeatureStore::start().await;
    let mut unsaid = of_customers(&["customer_profile:age"], &["u1"]);
    unsaid.request_context.clear();
    let mut in_metadata = Request::new(unsaid.clone());
    in_metadata.metadata_mut().insert("finrank-purpose", "fairness_monitoring".parse().unwrap());
    let mut in_both = Request::new(of_customers(&["customer_profile:age"], &["u1"]));
    in_both.metadata_mut().insert("finrank-purpose", "fairness_monitoring".parse().unwrap());

    let missing = online(&store, unsaid.clone()).await.unwrap_err();
    let allowed = feast(&store).await.get_online_features(in_metadata).await;
    let denied = feast(&store).await.get_online_features(in_both).await.unwrap_err();
    let configured = FeatureStore::start_configured(|config| {
        config.feast.purpose = Some("fairness_monitoring".to_owned());
    })
    .await;
    let by_setting = online(&configured, unsaid).await;

    assert_eq!(
        (missing.code(), field(&missing)),
        (Code::InvalidArgument, "request_context[purpose]".to_owned())
    );
    assert!(allowed.is_ok(), "{allowed:?}");
    assert_eq!(denied.code(), Code::PermissionDenied, "marketing, as the request says");
    assert!(by_setting.is_ok(), "{by_setting:?}");
}

#[tokio::test]
async fn does_not_start_with_a_purpose_that_is_not_declared() {
    let database = ScratchDatabase::create().await;
    let mut config = FeatureStoreConfig::default();
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.feast.purpose = Some("curiosity".to_owned());
    let (bound, _address) = oneshot::channel();

    let refused = serve(config, database.store.clone(), CancellationToken::new(), bound).await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("feature_store.feast.purpose is \"curiosity\"; declared are"), "{refused}");
}

#[tokio::test]
async fn names_the_field_that_is_not_valid_as_feast_does() {
    let store = FeatureStore::start().await;
    let refused = async |change: fn(&mut GetOnlineFeaturesRequest)| {
        let mut request = of_customers(&[INCOME], &["u1"]);
        change(&mut request);
        let status = online(&store, request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        field(&status)
    };

    assert_eq!(refused(|request| request.kind = None).await, "features");
    assert_eq!(refused(|request| request.kind = features(&[])).await, "features.val");
    assert_eq!(refused(|request| request.kind = features(&[INCOME, "income"])).await, "features.val[1]");
    assert_eq!(refused(|request| request.kind = features(&[INCOME, "a:b"])).await, "features.val[1]");
    let no_service = |request: &mut GetOnlineFeaturesRequest| {
        request.kind = Some(Kind::FeatureService("none".to_owned()));
    };
    assert_eq!(refused(no_service).await, "feature_service");
    assert_eq!(refused(|request| request.entities.clear()).await, "entities[user_id]");
    let other_key = |request: &mut GetOnlineFeaturesRequest| {
        request.entities.insert("driver_id".to_owned(), column([text("d")]));
    };
    assert_eq!(refused(other_key).await, "entities[driver_id]");
    let no_ids = |request: &mut GetOnlineFeaturesRequest| {
        request.entities.get_mut("user_id").unwrap().val.clear();
    };
    assert_eq!(refused(no_ids).await, "entities[user_id].val");
    let null_id = |request: &mut GetOnlineFeaturesRequest| {
        request.entities.get_mut("user_id").unwrap().val.push(Value::default());
    };
    assert_eq!(refused(null_id).await, "entities[user_id].val[1]");
    let empty_id = |request: &mut GetOnlineFeaturesRequest| {
        request.entities.get_mut("user_id").unwrap().val.push(text(""));
    };
    assert_eq!(refused(empty_id).await, "entities[user_id].val[1]");
    let unknown_purpose =
        |request: &mut GetOnlineFeaturesRequest| request.request_context = purpose("curiosity");
    assert_eq!(refused(unknown_purpose).await, "request_context[purpose]");
    let transformed = |request: &mut GetOnlineFeaturesRequest| {
        request.request_context.insert("val_to_add".to_owned(), column([text("1")]));
    };
    assert_eq!(refused(transformed).await, "request_context[val_to_add]");
}

#[tokio::test]
async fn two_columns_of_one_name_are_refused_unless_named_in_full() {
    let store = FeatureStore::start_defining(TWO_OF_ONE_NAME).await;
    let mut request = of_customers(&["told:income", "guessed:income"], &["u1"]);

    let refused = online(&store, request.clone()).await.unwrap_err();
    request.full_feature_names = true;
    let named = online(&store, request).await.unwrap().metadata.unwrap().feature_names.unwrap().val;

    assert_eq!(field(&refused), "full_feature_names");
    assert_eq!(named, ["user_id", "told__income", "guessed__income"]);
}

const TWO_OF_ONE_NAME: &str = r#"
version = 1

[[purpose]]
name = "marketing"
description = "Offers."

[[view]]
name = "told"
entity = "customer"
source = "attributes"
description = "What the customer says."
owner = "crm"
sensitivity = "personal"
purposes = ["marketing"]
feature = [{ name = "income", type = "number", description = "A year." }]

[[view]]
name = "guessed"
entity = "customer"
source = "attributes"
description = "What is likely."
owner = "crm"
sensitivity = "personal"
purposes = ["marketing"]
feature = [{ name = "income", type = "number", attribute = "likely_income", description = "A year." }]
"#;

#[tokio::test]
async fn says_who_serves_and_answers_by_either_service() {
    let store = FeatureStore::start().await;
    let mut serving = ServingServiceClient::new(store.channel.clone());

    let info = serving.get_feast_serving_info(GetFeastServingInfoRequest {}).await.unwrap().into_inner();
    let one = serving.get_online_features(of_customers(&[INCOME], &["u1"])).await.unwrap().into_inner();
    let other = online(&store, of_customers(&[INCOME], &["u1"])).await.unwrap();

    assert_eq!(info.version, concat!("finrank/", env!("CARGO_PKG_VERSION")));
    assert_eq!(one, other);
}

#[tokio::test]
async fn tells_the_health_of_each_service() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };

    let store = FeatureStore::start().await;
    let mut health = HealthClient::new(store.channel.clone());

    for service in ["feast.serving.ServingService", "GrpcFeatureServer"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut states = health.watch(request).await.unwrap().into_inner();
        while states.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    }
}
