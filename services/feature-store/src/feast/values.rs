//! Values in Feast's words and ours.
//!
//! | ours | Feast's |
//! |---|---|
//! | number | `double_val` |
//! | text | `string_val` |
//! | flag | `bool_val` |
//! | count | `int64_val` |
//! | money | `int64_val`, in the minor unit of the currency that the view declares |
//! | time | `unix_timestamp_val`, in whole seconds |

use finrank_contracts::{
    feast::types::{self, value::Val},
    feature::v1::feature_value::Value,
};
use finrank_model::{AttributeValue, features::ValueType};

/// A value as Feast has it.
pub(super) fn to_feast(value: Value) -> types::Value {
    let val = match value {
        Value::Number(number) => Val::DoubleVal(number),
        Value::Text(text) => Val::StringVal(text),
        Value::Flag(flag) => Val::BoolVal(flag),
        Value::Count(count) => Val::Int64Val(count),
        Value::Money(money) => Val::Int64Val(money.minor_units),
        Value::Time(time) => Val::UnixTimestampVal(time.seconds),
    };
    types::Value { val: Some(val) }
}

/// An id: a text, or a whole number as its decimal text.
///
/// # Errors
/// Says what it is instead.
pub(super) fn id(value: &types::Value) -> Result<String, String> {
    match &value.val {
        Some(Val::StringVal(text)) => Ok(text.clone()),
        Some(Val::Int32Val(number)) => Ok(number.to_string()),
        Some(Val::Int64Val(number)) => Ok(number.to_string()),
        None | Some(Val::NullVal(_)) => Err("is null".to_owned()),
        Some(_) => Err("is not a string_val, int64_val or int32_val".to_owned()),
    }
}

/// An attribute of a feature's type; nothing if it is null.
///
/// # Errors
/// Says what the type takes.
pub(super) fn attribute(
    value: types::Value,
    value_type: &ValueType,
) -> Result<Option<AttributeValue>, String> {
    let attribute = match (value_type, value.val) {
        (_, None | Some(Val::NullVal(_))) => return Ok(None),
        (ValueType::Number, Some(Val::DoubleVal(number))) => AttributeValue::Number(number),
        (ValueType::Number, Some(Val::FloatVal(number))) => AttributeValue::Number(number.into()),
        (ValueType::Number, Some(Val::Int32Val(number))) => AttributeValue::Number(number.into()),
        // Beyond 2^53 not every whole number is a double.
        (ValueType::Number, Some(Val::Int64Val(number))) if (number as f64) as i128 == i128::from(number) => {
            AttributeValue::Number(number as f64)
        }
        (ValueType::Text, Some(Val::StringVal(text))) => AttributeValue::Text(text),
        (ValueType::Flag, Some(Val::BoolVal(flag))) => AttributeValue::Flag(flag),
        (value_type, Some(_)) => return Err(format!("is not {}", taken(value_type))),
    };
    Ok(Some(attribute))
}

/// An attribute of a feature's type from its text.
///
/// # Errors
/// Says what the type takes.
pub(super) fn attribute_from_text(text: String, value_type: &ValueType) -> Result<AttributeValue, String> {
    let attribute = match value_type {
        ValueType::Number => text.trim().parse().ok().map(AttributeValue::Number),
        ValueType::Flag => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(AttributeValue::Flag(true)),
            "false" => Some(AttributeValue::Flag(false)),
            _ => None,
        },
        ValueType::Text => return Ok(AttributeValue::Text(text)),
        ValueType::Count | ValueType::Money(_) | ValueType::Time => None,
    };
    attribute.ok_or_else(|| format!("is {text:?}, not a {}", value_type.as_str()))
}

fn taken(value_type: &ValueType) -> &'static str {
    match value_type {
        ValueType::Number => "a double_val, float_val, int32_val, or an int64_val that a double holds",
        ValueType::Text => "a string_val",
        ValueType::Flag => "a bool_val",
        ValueType::Count | ValueType::Money(_) | ValueType::Time => "of an attribute",
    }
}
