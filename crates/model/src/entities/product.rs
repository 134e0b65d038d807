//! What can be recommended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Attributes, InvalidField, check_text};
use crate::ProductId;

/// The longest product name, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest product description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 8192;

/// What kind of financial product it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductClass {
    /// A credit card.
    CreditCard,
    /// A loan.
    Loan,
    /// An investment or deposit.
    Wealth,
    /// An insurance policy.
    Insurance,
}

impl ProductClass {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::CreditCard, Self::Loan, Self::Wealth, Self::Insurance];

    /// The stored and printed form, for example `credit_card`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreditCard => "credit_card",
            Self::Loan => "loan",
            Self::Wealth => "wealth",
            Self::Insurance => "insurance",
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it names no class.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        let known = Self::ALL.into_iter().find(|class| class.as_str() == raw);
        known.ok_or_else(|| {
            let reason = format!("is {raw:?}, not credit_card, loan, wealth or insurance");
            InvalidField::new("product_class", reason)
        })
    }
}

/// Whether a product may be sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    /// It may be sold.
    Active,
    /// It is no longer sold.
    Withdrawn,
}

impl ProductStatus {
    /// The stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it names no status.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        match raw {
            "active" => Ok(Self::Active),
            "withdrawn" => Ok(Self::Withdrawn),
            _ => Err(InvalidField::new("status", format!("is {raw:?}, not active or withdrawn"))),
        }
    }
}

/// A product's risk, R1 (lowest) to R5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct RiskGrade(u8);

impl RiskGrade {
    /// Takes 1 to 5.
    ///
    /// # Errors
    /// For any other number.
    pub fn new(grade: u32) -> Result<Self, InvalidField> {
        match u8::try_from(grade) {
            Ok(grade @ 1..=5) => Ok(Self(grade)),
            _ => Err(InvalidField::new("risk_grade", format!("is {grade}, not 1 to 5"))),
        }
    }

    /// 1 to 5.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for RiskGrade {
    type Error = InvalidField;

    fn try_from(grade: u8) -> Result<Self, InvalidField> {
        Self::new(grade.into())
    }
}

impl From<RiskGrade> for u8 {
    fn from(grade: RiskGrade) -> u8 {
        grade.0
    }
}

/// Something that can be recommended. Made by [`ProductDraft::check`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Product {
    /// Names the product.
    pub product_id: ProductId,
    /// What kind it is.
    pub product_class: ProductClass,
    /// What a customer reads.
    pub name: String,
    /// Longer text; empty when there is none.
    pub description: String,
    /// Who issues it; empty when unknown.
    pub issuer: String,
    /// How risky it is, when graded.
    pub risk_grade: Option<RiskGrade>,
    /// Whether it may be sold.
    pub status: ProductStatus,
    /// What else is known.
    pub attributes: Attributes,
    /// Since when this is true.
    pub event_time: DateTime<Utc>,
}

/// A product whose texts have not been checked yet.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are those of Product")]
pub struct ProductDraft {
    pub product_id: ProductId,
    pub product_class: ProductClass,
    pub name: String,
    pub description: String,
    pub issuer: String,
    pub risk_grade: Option<RiskGrade>,
    pub status: ProductStatus,
    pub attributes: Attributes,
    pub event_time: DateTime<Utc>,
}

impl ProductDraft {
    /// Checks the texts.
    ///
    /// # Errors
    /// Names the text that is too long, or the name when it is empty.
    pub fn check(self) -> Result<Product, InvalidField> {
        if self.name.trim().is_empty() {
            return Err(InvalidField::new("name", "is empty"));
        }
        let texts = [
            ("name", &self.name, MAX_NAME_BYTES),
            ("description", &self.description, MAX_DESCRIPTION_BYTES),
            ("issuer", &self.issuer, MAX_NAME_BYTES),
        ];
        for (field, text, max_bytes) in texts {
            check_text(text, max_bytes).map_err(|reason| InvalidField::new(field, reason))?;
        }
        Ok(Product {
            product_id: self.product_id,
            product_class: self.product_class,
            name: self.name,
            description: self.description,
            issuer: self.issuer,
            risk_grade: self.risk_grade,
            status: self.status,
            attributes: self.attributes,
            event_time: self.event_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> ProductDraft {
        ProductDraft {
            product_id: ProductId::parse("p").unwrap(),
            product_class: ProductClass::Loan,
            name: "Car loan".to_owned(),
            description: String::new(),
            issuer: String::new(),
            risk_grade: None,
            status: ProductStatus::Active,
            attributes: Attributes::default(),
            event_time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn needs_no_more_than_a_name() {
        assert_eq!(draft().check().unwrap().name, "Car loan");
    }

    #[test]
    fn a_text_that_is_empty_or_too_long_is_refused_with_its_name() {
        let cases = [
            (ProductDraft { name: "  ".to_owned(), ..draft() }, "name is empty"),
            (
                ProductDraft { name: "n".repeat(257), ..draft() },
                "name has 257 bytes, at most 256 are allowed",
            ),
            (
                ProductDraft { description: "d".repeat(8193), ..draft() },
                "description has 8193 bytes, at most 8192 are allowed",
            ),
            (ProductDraft { issuer: "a\0".to_owned(), ..draft() }, "issuer holds a NUL character"),
        ];
        for (draft, expected) in cases {
            assert_eq!(draft.check().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn every_class_and_status_comes_back_from_its_stored_form() {
        for class in ProductClass::ALL {
            assert_eq!(ProductClass::parse(class.as_str()), Ok(class));
        }
        for status in [ProductStatus::Active, ProductStatus::Withdrawn] {
            assert_eq!(ProductStatus::parse(status.as_str()), Ok(status));
        }
        assert_eq!(ProductClass::parse("Loan").unwrap_err().field, "product_class");
    }

    #[test]
    fn a_risk_grade_is_1_to_5() {
        assert_eq!(RiskGrade::new(5).unwrap().get(), 5);
        for grade in [0, 6, 256 + 1] {
            assert!(RiskGrade::new(grade).is_err(), "{grade}");
        }
    }
}
