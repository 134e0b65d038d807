//! Customers, products and events as every part of finrank sees them: checked once, at the border, by the
//! constructors here, whether they come from gRPC or from a file.

mod attributes;
mod customer;
mod event;
mod product;
mod statement;

use thiserror::Error;

pub use attributes::{AttributeName, AttributeValue, Attributes};
pub use customer::{Customer, UserRecord};
pub use event::{Event, EventKind, Money, event_time, parse_moment};
pub use product::{Product, ProductClass, ProductDraft, ProductStatus, RiskGrade};
pub use statement::{Revision, Statement};

/// A field that does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {reason}")]
pub struct InvalidField {
    /// The field's path, for example `attributes[income]`.
    pub field: String,
    /// What is wrong, to be read after the field's name: "is empty".
    pub reason: String,
}

impl InvalidField {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same fault of a field of `outer`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }

    /// Several of them, a line each.
    pub fn lines(invalid: &[Self]) -> String {
        invalid.iter().map(Self::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Text that Postgres can store and that is not too long.
fn check_text(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!("has {} bytes, at most {max_bytes} are allowed", text.len()));
    }
    if text.contains('\0') {
        return Err("holds a NUL character".to_owned());
    }
    Ok(())
}
