//! Features over gRPC: now, as they were served, and point in time.

use finrank_contracts::feature::v1::{
    EntityMoment, ExpiredPolicy, FeatureHeader, FeatureRow, FeatureSelection, FeatureStatus, FeatureValue,
    GetFeaturesAsOfRequest, GetHistoricalFeaturesRequest, GetHistoricalFeaturesResponse,
    GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, HistoricalEntities, HistoricalStart,
    ListFeatureViewsRequest, StartRefreshRequest, WriteEventsRequest, feature_value::Value,
    get_historical_features_request::Step as Asks, get_historical_features_response::Step as Tells,
};
use futures::{StreamExt as _, stream};
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{days_ago, income, viewed},
};

const INCOME: &str = "customer_profile:annual_income";
const AGE: &str = "customer_profile:age";
const VIEWED: &str = "customer_activity:viewed_7d";

fn selection(features: &[&str]) -> FeatureSelection {
    FeatureSelection {
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn online(
    store: &mut FeatureStore,
    features: &[&str],
    entity_ids: &[&str],
) -> Result<GetOnlineFeaturesResponse, Status> {
    let request =
        GetOnlineFeaturesRequest { selection: Some(selection(features)), entity_ids: ids(entity_ids) };
    store.client.get_online_features(request).await.map(tonic::Response::into_inner)
}

/// Rows as they were at the moment of an earlier answer.
async fn again(
    store: &mut FeatureStore,
    features: &[&str],
    first: &GetOnlineFeaturesResponse,
) -> Vec<FeatureRow> {
    let header = first.header.as_ref().unwrap();
    let request = GetFeaturesAsOfRequest {
        selection: Some(selection(features)),
        entity_ids: first.rows.iter().map(|row| row.entity_id.clone()).collect(),
        moment: header.known_at,
        definitions_sha256: String::new(),
    };
    store.client.get_features_as_of(request).await.unwrap().into_inner().rows
}

fn values(rows: &[FeatureRow]) -> Vec<Vec<Option<Value>>> {
    rows.iter().map(|row| row.values.iter().map(|value| value.value.clone()).collect()).collect()
}

fn refusal(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn serves_what_was_just_written_in_the_order_asked() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0), income("u2", 20.0, days_ago(9), 0)]).await;
    let yesterday = days_ago(1);
    store.write_events(vec![viewed("e1", "u1", yesterday), viewed("e2", "u1", days_ago(8))]).await;

    let answer = online(&mut store, &[VIEWED, INCOME], &["u2", "nobody", "u1", "u1"]).await.unwrap();

    let of_u1 = vec![Some(Value::Count(1)), Some(Value::Number(10.0))];
    assert_eq!(
        values(&answer.rows),
        [vec![None, Some(Value::Number(20.0))], vec![None, None], of_u1.clone(), of_u1]
    );
    assert_eq!(answer.rows[1].values[0].status(), FeatureStatus::NotFound);
    assert_eq!(answer.rows[2].values[0].event_time, Some(Timestamp { nanos: 0, ..yesterday }));
    assert_eq!(answer.header.unwrap().features, [VIEWED, INCOME]);
}

#[tokio::test]
async fn gives_again_bit_for_bit_what_was_served_whatever_was_learned_since() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1))]).await;
    let first = online(&mut store, &[INCOME, VIEWED], &["u1", "u2"]).await.unwrap();

    // A correction, a later statement, a late event, and a customer who was not known.
    let learned = [income("u1", 11.0, days_ago(9), 1), income("u1", 12.0, days_ago(2), 0)];
    store.write_customers(learned.into()).await;
    store.write_customers(vec![income("u2", 20.0, days_ago(9), 0)]).await;
    store.write_events(vec![viewed("e2", "u1", days_ago(3))]).await;

    assert_eq!(again(&mut store, &[INCOME, VIEWED], &first).await, first.rows);
    let now = online(&mut store, &[INCOME, VIEWED], &["u1"]).await.unwrap();
    assert_eq!(values(&now.rows), [[Some(Value::Number(12.0)), Some(Value::Count(2))]]);
}

#[tokio::test]
async fn does_not_serve_what_a_transaction_under_way_could_still_change() {
    let mut store = FeatureStore::start().await;
    store.write_events(vec![viewed("e1", "u1", days_ago(1))]).await;
    online(&mut store, &[VIEWED], &["u1"]).await.expect("the definitions are in force from here on");
    let mut under_way = store.database.store.pool().begin().await.unwrap();
    sqlx::query(
        "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity)
         values ('u1', 'e2', 'p1', 'viewed', now() - interval '1 hour', 1)",
    )
    .execute(&mut *under_way)
    .await
    .unwrap();
    // Learned later than the statement under way, and committed before it.
    store.write_events(vec![viewed("e3", "u1", days_ago(1))]).await;
    let meanwhile = online(&mut store, &[VIEWED], &["u1"]).await.unwrap();

    under_way.commit().await.unwrap();

    assert_eq!(values(&meanwhile.rows), [[Some(Value::Count(1))]]);
    assert_eq!(again(&mut store, &[VIEWED], &meanwhile).await, meanwhile.rows);
    store.write_events(vec![viewed("e4", "u2", days_ago(1))]).await;
    let after = online(&mut store, &[VIEWED], &["u1"]).await.unwrap();
    assert_eq!(values(&after.rows), [[Some(Value::Count(3))]]);
}

#[tokio::test]
async fn denies_what_the_purpose_does_not_allow_and_serves_the_rest() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;

    let answer = online(&mut store, &[AGE, INCOME], &["u1"]).await.unwrap();

    let statuses: Vec<_> = answer.rows[0].values.iter().map(FeatureValue::status).collect();
    assert_eq!(statuses, [FeatureStatus::Denied, FeatureStatus::Present]);
    let denial = &answer.header.unwrap().denials[0];
    assert_eq!((denial.feature.as_str(), denial.protected), (AGE, true));
    assert_eq!(denial.allowed_purposes, ["fairness_monitoring"]);
}

#[tokio::test]
async fn refuses_values_that_are_too_old_when_told_to() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(900), 0)]).await;
    let mut request =
        GetOnlineFeaturesRequest { selection: Some(selection(&[INCOME])), entity_ids: ids(&["u1"]) };

    let flagged = store.client.get_online_features(request.clone()).await.unwrap().into_inner();
    request.selection.as_mut().unwrap().expired = ExpiredPolicy::Reject.into();
    let refused = store.client.get_online_features(request).await.unwrap_err();

    assert_eq!(flagged.rows[0].values[0].status(), FeatureStatus::OutsideMaxAge);
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "FEATURE_EXPIRED".to_owned()));
}

#[tokio::test]
async fn serves_a_named_set_of_features() {
    let mut store = FeatureStore::start().await;
    let selection = FeatureSelection {
        feature_service: "offer_ranking".to_owned(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    };
    let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids: ids(&["u1"]) };

    let answer = store.client.get_online_features(request).await.unwrap().into_inner();

    let declared = store.client.list_feature_views(ListFeatureViewsRequest {}).await.unwrap().into_inner();
    let service = declared.services.into_iter().find(|service| service.name == "offer_ranking").unwrap();
    let header = answer.header.unwrap();
    assert_eq!(header.features, service.features);
    assert_eq!(header.definitions_sha256, declared.definitions_sha256);
    assert!(declared.views.iter().any(|view| view.name == "customer_activity" && view.ttl.is_some()));
}

#[tokio::test]
async fn names_the_field_that_is_not_valid() {
    let mut store = FeatureStore::start().await;
    let mut refused = async |change: fn(&mut GetOnlineFeaturesRequest)| {
        let mut request =
            GetOnlineFeaturesRequest { selection: Some(selection(&[INCOME])), entity_ids: ids(&["u1"]) };
        change(&mut request);
        let status = store.client.get_online_features(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        status.get_details_bad_request().unwrap().field_violations.remove(0).field
    };

    assert_eq!(refused(|request| request.selection = None).await, "selection");
    assert_eq!(refused(|request| request.entity_ids.clear()).await, "entity_ids");
    assert_eq!(refused(|request| request.entity_ids.push(String::new())).await, "entity_ids[1]");
    assert_eq!(refused(|request| selection_of(request).purpose.clear()).await, "selection.purpose");
    assert_eq!(refused(|request| selection_of(request).features.clear()).await, "selection.features");
    assert_eq!(refused(|request| selection_of(request).features[0].clear()).await, "selection.features[0]");
    let both = |request: &mut GetOnlineFeaturesRequest| {
        selection_of(request).feature_service = "offer_ranking".to_owned();
    };
    assert_eq!(refused(both).await, "selection.feature_service");
}

fn selection_of(request: &mut GetOnlineFeaturesRequest) -> &mut FeatureSelection {
    request.selection.as_mut().unwrap()
}

#[tokio::test]
async fn says_which_moments_and_definitions_there_are_not() {
    let mut store = FeatureStore::start().await;
    let mut refused = async |moment: Option<Timestamp>, digest: &str| {
        let request = GetFeaturesAsOfRequest {
            selection: Some(selection(&[INCOME])),
            entity_ids: ids(&["u1"]),
            moment,
            definitions_sha256: digest.to_owned(),
        };
        let status = store.client.get_features_as_of(request).await.unwrap_err();
        let field = status.get_details_bad_request().unwrap().field_violations.remove(0).field;
        (status.code(), field)
    };

    let invalid = |field: &str| (Code::InvalidArgument, field.to_owned());
    let not_found = |field: &str| (Code::NotFound, field.to_owned());
    assert_eq!(refused(None, "").await, invalid("moment"));
    assert_eq!(refused(Some(days_ago(-1)), "").await, invalid("moment"));
    assert_eq!(refused(Some(days_ago(0)), "xyz").await, invalid("definitions_sha256"));
    assert_eq!(refused(Some(days_ago(0)), &"ab".repeat(32)).await, not_found("definitions_sha256"));
    assert_eq!(refused(Some(days_ago(400)), "").await, not_found("moment"));
}

/// Joins one message of entities after another.
async fn history(
    store: &mut FeatureStore,
    known_at: Option<Timestamp>,
    messages: Vec<Vec<(&str, Timestamp)>>,
) -> Result<(FeatureHeader, Vec<Vec<FeatureRow>>), Status> {
    let start = HistoricalStart { selection: Some(selection(&[INCOME, VIEWED])), known_at };
    let entities = messages.into_iter().map(|entities| {
        let entities = entities
            .into_iter()
            .map(|(entity_id, as_of)| EntityMoment { entity_id: entity_id.to_owned(), as_of: Some(as_of) });
        Asks::Entities(HistoricalEntities { entities: entities.collect() })
    });
    let steps: Vec<_> = [Asks::Start(start)].into_iter().chain(entities).collect();
    let requests = steps.into_iter().map(|step| GetHistoricalFeaturesRequest { step: Some(step) });
    let mut answers = store.client.get_historical_features(stream::iter(requests)).await?.into_inner();
    let mut told = Vec::new();
    while let Some(GetHistoricalFeaturesResponse { step }) = answers.message().await? {
        told.push(step.unwrap());
    }
    let mut told = told.into_iter();
    let Some(Tells::Header(header)) = told.next() else { panic!("no header") };
    let rows = told.map(|step| match step {
        Tells::Rows(rows) => rows.rows,
        Tells::Header(_) => panic!("a second header"),
    });
    Ok((header, rows.collect()))
}

#[tokio::test]
async fn a_training_row_sees_what_was_known_at_its_moment_unless_another_is_pinned() {
    let mut store = FeatureStore::start().await;
    // Long true, and learned just now.
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    let learned = online(&mut store, &[INCOME], &["u1"]).await.unwrap().header.unwrap().known_at;
    store.write_customers(vec![income("u1", 11.0, days_ago(9), 1)]).await;
    let asked = vec![vec![("u1", days_ago(3)), ("u1", learned.unwrap())]];

    let (_, then) = history(&mut store, None, asked.clone()).await.unwrap();
    let (header, pinned) = history(&mut store, learned, asked).await.unwrap();

    let income = |rows: &[Vec<FeatureRow>]| -> Vec<Option<Value>> {
        rows.concat().iter().map(|row| row.values[0].value.clone()).collect()
    };
    assert_eq!(income(&then), [None, Some(Value::Number(10.0))], "no leak from later knowledge");
    assert_eq!(income(&pinned), [Some(Value::Number(10.0)), Some(Value::Number(10.0))]);
    assert_eq!(header.known_at, learned);
}

#[tokio::test]
async fn a_training_set_is_answered_message_by_message() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u1", 10.0, days_ago(9), 0)]).await;
    let message = |rows: usize| vec![("u1", days_ago(1)); rows];

    let (_, rows) = history(&mut store, None, vec![message(1000), message(1), message(700)]).await.unwrap();

    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1, 700]);
}

#[tokio::test]
async fn a_bad_row_of_a_training_set_is_named() {
    let mut store = FeatureStore::start().await;
    let mut refused = async |messages| {
        let status = history(&mut store, None, messages).await.unwrap_err();
        status.get_details_bad_request().unwrap().field_violations.remove(0).field
    };

    let good = ("u1", days_ago(1));
    assert_eq!(refused(vec![vec![good, ("u1", days_ago(-1))]]).await, "entities.entities[1].as_of");
    assert_eq!(refused(vec![vec![("", days_ago(1))]]).await, "entities.entities[0].entity_id");
    assert_eq!(refused(vec![vec![good; 1001]]).await, "entities.entities");
    let requests = stream::iter([GetHistoricalFeaturesRequest { step: None }]);
    let status = store.client.get_historical_features(requests).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "step");
}

#[tokio::test]
async fn a_training_set_that_a_stopping_server_cuts_off_does_not_end_as_a_whole_one() {
    let mut store = FeatureStore::start().await;
    let start = HistoricalStart { selection: Some(selection(&[INCOME])), known_at: None };
    let start = GetHistoricalFeaturesRequest { step: Some(Asks::Start(start)) };
    let requests = stream::iter([start]).chain(stream::pending());
    let mut told = store.client.get_historical_features(requests).await.unwrap().into_inner();
    told.message().await.unwrap().expect("a header");

    store.begin_shutdown();
    let end = told.message().await.unwrap_err();

    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert_eq!(end.get_details_error_info().unwrap().reason, "STOPPED");
}

#[tokio::test]
async fn a_request_for_more_values_than_fit_into_an_answer_is_refused() {
    let names: Vec<String> = (0..101).map(|n| format!("answer_{n}")).collect();
    let features: String = names
        .iter()
        .map(|name| {
            format!("[[view.feature]]\nname = \"{name}\"\ntype = \"number\"\ndescription = \"One.\"\n")
        })
        .collect();
    let mut store = FeatureStore::start_defining(&format!(
        r#"
        version = 1
        purpose = [{{ name = "marketing", description = "Offers." }}]

        [[view]]
        name = "survey"
        entity = "customer"
        source = "attributes"
        ttl = "1day"
        description = "What customers answered."
        owner = "tests"
        sensitivity = "personal"
        purposes = ["marketing"]

        {features}
        "#
    ))
    .await;
    let names: Vec<String> = names.iter().map(|name| format!("survey:{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let user_ids: Vec<String> = (0..1000).map(|n| format!("u{n}")).collect();
    let user_ids: Vec<&str> = user_ids.iter().map(String::as_str).collect();

    let whole = online(&mut store, &names[..100], &user_ids).await;
    let too_much = online(&mut store, &names, &user_ids).await.unwrap_err();

    assert!(whole.is_ok(), "{whole:?}");
    assert_eq!(too_much.code(), Code::InvalidArgument);
    assert!(too_much.message().contains("101000 values"), "{too_much}");
}

#[tokio::test]
async fn an_enum_that_the_server_does_not_know_is_not_taken_for_the_default() {
    let mut store = FeatureStore::start().await;
    let field = |status: Status| status.get_details_bad_request().unwrap().field_violations.remove(0).field;

    let selection = FeatureSelection { expired: 7, ..selection(&[INCOME]) };
    let request = GetOnlineFeaturesRequest { selection: Some(selection), entity_ids: ids(&["u1"]) };
    let policy = store.client.get_online_features(request).await.unwrap_err();
    let scope = StartRefreshRequest { scope: 7, ..Default::default() };
    let scope = store.start_requested_refresh(scope).await.unwrap_err();
    let only = StartRefreshRequest { only: 7, ..Default::default() };
    let only = store.start_requested_refresh(only).await.unwrap_err();

    assert_eq!([policy, scope, only].map(field), ["selection.expired", "scope", "only"]);
}

#[tokio::test]
async fn writing_an_event_again_changes_no_feature() {
    let mut store = FeatureStore::start().await;
    let events = vec![viewed("e1", "u1", days_ago(1)); 3];

    for _ in 0..2 {
        let requests = stream::iter([WriteEventsRequest { events: events.clone() }]);
        store.client.write_events(requests).await.unwrap();
    }

    let answer = online(&mut store, &[VIEWED], &["u1"]).await.unwrap();
    assert_eq!(values(&answer.rows), [[Some(Value::Count(1))]]);
}
