//! Newtypes for ids, so that a user's id is never passed where a product's is meant.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::InvalidField;

/// The longest id, in bytes.
const MAX_BYTES: usize = 128;

/// Declares an id type: 1 to 128 bytes of UTF-8 without control characters, cheap to clone.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes an id.
            ///
            /// # Errors
            /// When it is empty, longer than 128 bytes, or holds a control character.
            pub fn parse(raw: impl AsRef<str>) -> Result<Self, InvalidField> {
                check(raw.as_ref()).map_err(|reason| InvalidField::new($field, reason))?;
                Ok(Self(raw.as_ref().into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidField;

            fn try_from(raw: String) -> Result<Self, InvalidField> {
                Self::parse(raw)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

id!(
    /// Names a customer.
    UserId, "user_id"
);
id!(
    /// Names a product.
    ProductId, "product_id"
);
id!(
    /// Names an event within its customer.
    EventId, "event_id"
);
id!(
    /// Names an outcome within its decision.
    OutcomeId, "outcome_id"
);
id!(
    /// Names one trained model: transforms, towers and scorer together.
    ModelVersion, "model_version"
);
id!(
    /// Names the pair of towers whose embeddings may meet.
    EmbeddingSpace, "embedding_space"
);
id!(
    /// Names an experiment; who is in which of its arms follows from it.
    ExperimentName, "name"
);

fn check(raw: &str) -> Result<(), String> {
    if raw.is_empty() {
        return Err("is empty".to_owned());
    }
    if raw.len() > MAX_BYTES {
        return Err(format!("has {} bytes, at most {MAX_BYTES} are allowed", raw.len()));
    }
    if raw.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_id_with_letters_of_any_script() {
        let id = UserId::parse("πελάτης-7").unwrap();

        assert_eq!(id.as_str(), "πελάτης-7");
    }

    #[test]
    fn refuses_empty_long_and_control_characters_naming_the_field() {
        for raw in [String::new(), "x".repeat(129), "a\nb".to_owned()] {
            let error = ProductId::parse(&raw).unwrap_err();

            assert_eq!(error.field, "product_id");
        }
    }
}
