//! Feast's contracts, by clients of our own protos; `tests/end_to_end/feast.rs` has Feast's own.

mod killed;
mod online;
mod order;
mod push;

use std::collections::HashMap;

use chrono::Utc;
use finrank_contracts::feast::{
    server::{PushRequest, grpc_feature_server_client::GrpcFeatureServerClient},
    serving::{
        FeatureList, FieldStatus, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse,
        get_online_features_request::Kind,
    },
    types::{RepeatedValue, Value, value::Val},
};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::FeatureStore;

const INCOME: &str = "customer_profile:annual_income";

async fn feast(store: &FeatureStore) -> GrpcFeatureServerClient<Channel> {
    GrpcFeatureServerClient::new(store.channel.clone())
}

fn value(val: Val) -> Value {
    Value { val: Some(val) }
}

fn text(text: &str) -> Value {
    value(Val::StringVal(text.to_owned()))
}

fn column(values: impl IntoIterator<Item = Value>) -> RepeatedValue {
    RepeatedValue { val: values.into_iter().collect() }
}

fn features(features: &[&str]) -> Option<Kind> {
    Some(Kind::Features(FeatureList { val: features.iter().map(|feature| (*feature).to_owned()).collect() }))
}

/// What customers' features are, for marketing.
fn of_customers(wanted: &[&str], user_ids: &[&str]) -> GetOnlineFeaturesRequest {
    GetOnlineFeaturesRequest {
        kind: features(wanted),
        entities: [("user_id".to_owned(), column(user_ids.iter().map(|id| text(id))))].into(),
        request_context: purpose("marketing"),
        ..GetOnlineFeaturesRequest::default()
    }
}

fn purpose(purpose: &str) -> HashMap<String, RepeatedValue> {
    [("purpose".to_owned(), column([text(purpose)]))].into()
}

async fn online(
    store: &FeatureStore,
    request: GetOnlineFeaturesRequest,
) -> Result<GetOnlineFeaturesResponse, Status> {
    Ok(feast(store).await.get_online_features(request).await?.into_inner())
}

/// A row of the view `customer_profile`, as texts.
fn profile(user_id: &str, event_timestamp: &str, columns: &[(&str, &str)]) -> PushRequest {
    let fixed = [("user_id", user_id), ("event_timestamp", event_timestamp)];
    let columns = fixed.iter().chain(columns).map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    PushRequest {
        features: columns.collect(),
        stream_feature_view: "customer_profile".to_owned(),
        to: "online".to_owned(),
        ..PushRequest::default()
    }
}

async fn push(store: &FeatureStore, row: PushRequest) -> Result<(), Status> {
    feast(store).await.push(row).await.map(|pushed| assert!(pushed.into_inner().status))
}

fn days_ago(days: i64) -> String {
    (Utc::now() - chrono::TimeDelta::days(days)).to_rfc3339()
}

fn statuses(response: &GetOnlineFeaturesResponse, column: usize) -> Vec<FieldStatus> {
    response.results[column].statuses().collect()
}

/// The field that a refusal names.
fn field(status: &Status) -> String {
    status.get_details_bad_request().unwrap().field_violations.remove(0).field
}
