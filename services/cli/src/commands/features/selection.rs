//! Which features, and what for, as the command line says it; and values as text.

use chrono::{DateTime, SecondsFormat};
use clap::{ArgGroup, Args, ValueEnum};
use finrank_contracts::feature::v1::{ExpiredPolicy, FeatureSelection, FeatureValue, feature_value::Value};

/// Which features, and what for.
#[derive(Args)]
#[command(group = ArgGroup::new("selected").required(true))]
pub(super) struct Selection {
    /// Features as view:feature, separated by commas.
    #[arg(long, value_name = "VIEW:FEATURE,…", value_delimiter = ',', group = "selected")]
    features: Vec<String>,
    /// A declared set of features.
    #[arg(long, value_name = "NAME", group = "selected")]
    service: Option<String>,
    /// What the values are for; what it does not allow is denied.
    #[arg(long, value_name = "PURPOSE")]
    purpose: String,
    /// What becomes of values that are too old; by default what each view declares.
    #[arg(long, value_enum)]
    expired: Option<Expired>,
}

/// The policies by the names that people type.
#[derive(Clone, Copy, ValueEnum)]
enum Expired {
    Flag,
    Null,
    Reject,
}

impl From<Selection> for FeatureSelection {
    fn from(selection: Selection) -> Self {
        let expired = match selection.expired {
            None => ExpiredPolicy::Unspecified,
            Some(Expired::Flag) => ExpiredPolicy::Flag,
            Some(Expired::Null) => ExpiredPolicy::Null,
            Some(Expired::Reject) => ExpiredPolicy::Reject,
        };
        Self {
            features: selection.features,
            feature_service: selection.service.unwrap_or_default(),
            purpose: selection.purpose,
            expired: expired.into(),
        }
    }
}

/// A value as a cell: nothing where there is none, amounts in the minor unit.
pub(super) fn cell(value: &FeatureValue) -> String {
    match &value.value {
        None => String::new(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Flag(flag)) => flag.to_string(),
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Money(money)) => money.minor_units.to_string(),
        Some(Value::Time(time)) => moment(time),
    }
}

/// A value for programs: amounts with their currency, moments in RFC 3339.
pub(crate) fn json(value: &FeatureValue) -> serde_json::Value {
    match &value.value {
        None => serde_json::Value::Null,
        Some(Value::Number(number)) => (*number).into(),
        Some(Value::Text(text)) => text.as_str().into(),
        Some(Value::Flag(flag)) => (*flag).into(),
        Some(Value::Count(count)) => (*count).into(),
        Some(Value::Money(money)) => {
            serde_json::json!({ "minor_units": money.minor_units, "currency_code": money.currency_code })
        }
        Some(Value::Time(time)) => moment(time).into(),
    }
}

/// A status as people write it: `OUTSIDE_MAX_AGE`.
pub(super) fn status(value: &FeatureValue) -> &'static str {
    value.status().as_str_name().trim_start_matches("FEATURE_STATUS_")
}

/// A moment in RFC 3339.
pub(crate) fn moment(time: &prost_types::Timestamp) -> String {
    let nanos = u32::try_from(time.nanos).unwrap_or_default();
    DateTime::from_timestamp(time.seconds, nanos)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}
