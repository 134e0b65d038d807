//! What is known of a customer or product beyond its fixed fields: named numbers, texts and flags.

use std::{borrow::Borrow, collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{InvalidField, check_text};

/// The most attributes an entity may have.
const MAX_ATTRIBUTES: usize = 512;
/// The longest text attribute, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// The name of an attribute: `[a-z][a-z0-9_]{0,62}`. Clones share its text, since many rows have the same names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttributeName(Arc<str>);

impl AttributeName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it does not match `[a-z][a-z0-9_]{0,62}`.
    pub fn parse(raw: impl Into<String>) -> Result<Self, InvalidField> {
        let raw = raw.into();
        let starts_right = raw.starts_with(|c: char| c.is_ascii_lowercase());
        let goes_on_right = raw.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if starts_right && goes_on_right && raw.len() <= 63 {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidField::new(
                format!("attributes[{raw}]"),
                "has a name that is not [a-z][a-z0-9_]{0,62}",
            ))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Looks a name up in a map without building one; names are ordered and compared as their text.
impl Borrow<str> for AttributeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AttributeName {
    type Error = InvalidField;

    fn try_from(raw: String) -> Result<Self, InvalidField> {
        Self::parse(raw)
    }
}

impl From<AttributeName> for String {
    fn from(name: AttributeName) -> String {
        name.0.as_ref().to_owned()
    }
}

/// One attribute's value; in JSON a bare number, string or boolean.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A yes or no.
    Flag(bool),
    /// A finite number.
    Number(f64),
    /// A category or free text.
    Text(String),
}

/// By hand: a derived reading would first copy every value, and then try one variant after the other.
impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl de::Visitor<'_> for ValueVisitor {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, or true or false")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Flag(flag))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Number(number as f64))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Number(number as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(text))
    }
}

/// Attributes by name, in the order of their names. What is unknown is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<AttributeName, AttributeValue>);

impl Attributes {
    /// Checks and takes attributes.
    ///
    /// # Errors
    /// Names the attribute whose name is malformed, whose number is not finite or whose text is too long.
    pub fn new(entries: impl IntoIterator<Item = (String, AttributeValue)>) -> Result<Self, InvalidField> {
        let mut attributes = BTreeMap::new();
        for (name, value) in entries {
            let name = AttributeName::parse(name)?;
            check_value(&value).map_err(|reason| InvalidField::new(format!("attributes[{name}]"), reason))?;
            attributes.insert(name, value);
        }
        if attributes.len() > MAX_ATTRIBUTES {
            let reason = format!("has {} entries, at most {MAX_ATTRIBUTES} are allowed", attributes.len());
            return Err(InvalidField::new("attributes", reason));
        }
        Ok(Self(attributes))
    }

    /// Takes a row of a table that is never stored, so that it may be wider, and its texts longer, than an
    /// entity's. Its numbers are finite.
    pub fn of_table_row(entries: impl IntoIterator<Item = (AttributeName, AttributeValue)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The value of one attribute, if it is known.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    /// All attributes, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&AttributeName, &AttributeValue)> {
        self.0.iter()
    }
}

fn check_value(value: &AttributeValue) -> Result<(), String> {
    match value {
        AttributeValue::Number(number) if !number.is_finite() => Err("is not a finite number".to_owned()),
        AttributeValue::Text(text) => check_text(text, MAX_TEXT_BYTES),
        AttributeValue::Number(_) | AttributeValue::Flag(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: AttributeValue) -> Result<Attributes, InvalidField> {
        Attributes::new([(name.to_owned(), value)])
    }

    #[test]
    fn are_looked_up_by_name() {
        let attributes = one("income", AttributeValue::Number(1.5)).unwrap();

        assert_eq!(attributes.get("income"), Some(&AttributeValue::Number(1.5)));
        assert_eq!(attributes.get("Income"), None);
    }

    #[test]
    fn a_malformed_name_is_refused() {
        let long = "a".repeat(64);
        for name in ["", "Income", "1st", "_a", "a-b", "é", &long] {
            let error = one(name, AttributeValue::Flag(true)).unwrap_err();

            assert_eq!(error.field, format!("attributes[{name}]"));
        }
        one(&long[..63], AttributeValue::Flag(true)).unwrap();
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_refused_with_its_path() {
        let cases = [
            (AttributeValue::Number(f64::NAN), "attributes[x] is not a finite number"),
            (AttributeValue::Text("a\0b".to_owned()), "attributes[x] holds a NUL character"),
            (
                AttributeValue::Text("a".repeat(1025)),
                "attributes[x] has 1025 bytes, at most 1024 are allowed",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(one("x", value).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn more_than_512_are_refused() {
        let numbered = |count| (0..count).map(|index| (format!("a{index}"), AttributeValue::Flag(true)));

        assert!(Attributes::new(numbered(512)).is_ok());
        assert_eq!(Attributes::new(numbered(513)).unwrap_err().field, "attributes");
    }

    #[test]
    fn are_a_plain_object_in_json() {
        let json = r#"{"age":41.0,"owns_home":true,"region":"north"}"#;

        let attributes: Attributes = serde_json::from_str(json).unwrap();

        assert_eq!(attributes.get("owns_home"), Some(&AttributeValue::Flag(true)));
        assert_eq!(serde_json::to_string(&attributes).unwrap(), json);
        let whole: Attributes = serde_json::from_str(r#"{"age":-41}"#).unwrap();
        assert_eq!(whole.get("age"), Some(&AttributeValue::Number(-41.0)));
        let refused = serde_json::from_str::<Attributes>(r#"{"age":[41]}"#).unwrap_err();
        assert!(refused.to_string().contains("a number, a text, or true or false"), "{refused}");
    }
}
