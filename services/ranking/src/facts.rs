//! What the feature store says of a customer, in the words of the policy.

use finrank_contracts::feature::v1::{FeatureStatus, FeatureValue, feature_value::Value};
use finrank_model::{Money, features::FeatureRef};
use finrank_policy::{Given, GivenValue};
use finrank_serving::wire;

use crate::{RankingError, Result};

/// The answer for one customer, as it was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenFacts {
    features: Vec<String>,
    /// As many as features.
    values: Vec<FeatureValue>,
}

impl GivenFacts {
    /// Takes features and their values.
    ///
    /// # Errors
    /// When there are not as many of the ones as of the others.
    pub(crate) fn new(features: Vec<String>, values: Vec<FeatureValue>) -> Result<Self> {
        if features.len() != values.len() {
            let told = format!("{} values of {} features", values.len(), features.len());
            return Err(RankingError::BadAnswer(told));
        }
        Ok(Self { features, values })
    }

    /// What is said of one feature; `None` if it is not served.
    pub(crate) fn get(&self, feature: &FeatureRef) -> Option<Given> {
        let name = feature.to_string();
        let place = self.features.iter().position(|feature| *feature == name)?;
        given(self.values[place].clone())
    }

    /// Features and values, in the order told.
    pub(crate) fn into_told(self) -> (Vec<String>, Vec<FeatureValue>) {
        (self.features, self.values)
    }
}

/// `None` for what cannot be read: the policy then takes it as not served, which is as strict as it gets.
fn given(value: FeatureValue) -> Option<Given> {
    let status = value.status();
    let dated = match value.event_time {
        Some(time) => Some(wire::moment("event_time", Some(time)).ok()?),
        None => None,
    };
    let value = value.value.map(given_value);
    match (status, value) {
        (FeatureStatus::Present, Some(Some(value))) => Some(Given::Present(value, dated)),
        (FeatureStatus::OutsideMaxAge, value) => Some(Given::Expired(value.flatten(), dated)),
        (FeatureStatus::NullValue, None) => Some(Given::NotStated),
        (FeatureStatus::NotFound, None) => Some(Given::NotFound),
        (FeatureStatus::Denied, None) => Some(Given::Denied),
        _ => None,
    }
}

fn given_value(value: Value) -> Option<GivenValue> {
    Some(match value {
        Value::Number(number) => GivenValue::Number(number),
        Value::Text(text) => GivenValue::Text(text),
        Value::Flag(flag) => GivenValue::Flag(flag),
        Value::Count(count) => GivenValue::Count(count),
        Value::Money(money) => GivenValue::Money(Money::new(money.currency_code, money.minor_units).ok()?),
        Value::Time(time) => GivenValue::Time(wire::moment("time", Some(time)).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: FeatureStatus, value: Option<Value>) -> Option<Given> {
        let value = FeatureValue { status: status.into(), event_time: None, value };
        let facts = GivenFacts::new(vec!["v:f".to_owned()], vec![value]).unwrap();
        facts.get(&FeatureRef::new("v", "f"))
    }

    #[test]
    fn every_status_has_its_word_and_what_contradicts_itself_is_not_served() {
        let flag = || Some(Value::Flag(true));

        assert_eq!(read(FeatureStatus::Present, flag()), Some(Given::Present(GivenValue::Flag(true), None)));
        assert_eq!(
            read(FeatureStatus::OutsideMaxAge, flag()),
            Some(Given::Expired(Some(GivenValue::Flag(true)), None))
        );
        assert_eq!(read(FeatureStatus::OutsideMaxAge, None), Some(Given::Expired(None, None)));
        assert_eq!(read(FeatureStatus::NullValue, None), Some(Given::NotStated));
        assert_eq!(read(FeatureStatus::NotFound, None), Some(Given::NotFound));
        assert_eq!(read(FeatureStatus::Denied, None), Some(Given::Denied));
        for contradiction in [
            read(FeatureStatus::Present, None),
            read(FeatureStatus::NullValue, flag()),
            read(FeatureStatus::Unspecified, flag()),
        ] {
            assert_eq!(contradiction, None);
        }
    }

    #[test]
    fn as_many_values_as_features_are_an_answer() {
        assert!(matches!(GivenFacts::new(vec!["v:f".to_owned()], vec![]), Err(RankingError::BadAnswer(_))));
    }
}
