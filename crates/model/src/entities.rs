//! Customers, products and events as every part of finrank sees them: checked once, at the border, by the
//! constructors here, whether they come from gRPC or from a file.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{EventId, ProductId, UserId};

/// The most attributes an entity may have.
const MAX_ATTRIBUTES: usize = 512;
/// The longest text attribute, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// The longest product name, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest product description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 8192;

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
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// The name of an attribute: `[a-z][a-z0-9_]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttributeName(String);

impl AttributeName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it does not match `[a-z][a-z0-9_]{0,62}`.
    pub fn parse(raw: impl Into<String>) -> Result<Self, InvalidField> {
        let raw = raw.into();
        let starts_right = raw.starts_with(|c: char| c.is_ascii_lowercase());
        let goes_on_right = raw
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if starts_right && goes_on_right && raw.len() <= 63 {
            Ok(Self(raw))
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
        name.0
    }
}

/// One attribute's value; in JSON a bare number, string or boolean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A yes or no.
    Flag(bool),
    /// A finite number.
    Number(f64),
    /// A category or free text.
    Text(String),
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
            let reason = format!(
                "has {} entries, at most {MAX_ATTRIBUTES} are allowed",
                attributes.len()
            );
            return Err(InvalidField::new("attributes", reason));
        }
        Ok(Self(attributes))
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

/// Text that Postgres can store and that is not too long.
fn check_text(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!(
            "has {} bytes, at most {max_bytes} are allowed",
            text.len()
        ));
    }
    if text.contains('\0') {
        return Err("holds a NUL character".to_owned());
    }
    Ok(())
}

/// A person or household that products are recommended to.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// Names the customer.
    pub user_id: UserId,
    /// What is known.
    pub attributes: Attributes,
    /// Since when it is true.
    pub event_time: DateTime<Utc>,
}

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
            _ => Err(InvalidField::new(
                "status",
                format!("is {raw:?}, not active or withdrawn"),
            )),
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

/// What a customer did with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Opened its page.
    Viewed,
    /// Followed an offer of it.
    Clicked,
    /// Applied for it.
    Applied,
    /// Came to hold it.
    Acquired,
    /// Holds it no longer.
    Closed,
    /// Refused an offer of it.
    Declined,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Viewed,
        Self::Clicked,
        Self::Applied,
        Self::Acquired,
        Self::Closed,
        Self::Declined,
    ];

    /// The stored form, for example `acquired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewed => "viewed",
            Self::Clicked => "clicked",
            Self::Applied => "applied",
            Self::Acquired => "acquired",
            Self::Closed => "closed",
            Self::Declined => "declined",
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it names no kind.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == raw)
            .ok_or_else(|| {
                let reason =
                    format!("is {raw:?}, not viewed, clicked, applied, acquired, closed or declined");
                InvalidField::new("kind", reason)
            })
    }
}

/// An amount of money in its currency's minor unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    currency_code: String,
    minor_units: i64,
}

impl Money {
    /// Takes an amount in a currency.
    ///
    /// # Errors
    /// When the currency code is not three upper-case letters.
    pub fn new(currency_code: impl Into<String>, minor_units: i64) -> Result<Self, InvalidField> {
        let currency_code = currency_code.into();
        if currency_code.len() == 3 && currency_code.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self {
                currency_code,
                minor_units,
            })
        } else {
            let reason = format!("is {currency_code:?}, not three upper-case letters (ISO 4217)");
            Err(InvalidField::new("amount.currency_code", reason))
        }
    }

    /// ISO 4217 code.
    pub fn currency_code(&self) -> &str {
        &self.currency_code
    }

    /// The amount in the minor unit.
    pub fn minor_units(&self) -> i64 {
        self.minor_units
    }
}

/// One thing that happened between a customer and a product.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique within the customer.
    pub event_id: EventId,
    /// The customer.
    pub user_id: UserId,
    /// The product.
    pub product_id: ProductId,
    /// What was done.
    pub kind: EventKind,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// How many, at least one.
    pub quantity: u32,
    /// The amount involved, if any.
    pub amount: Option<Money>,
}

/// What a user tower may know of a customer: the attributes and the products held, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRecord {
    /// Names the customer.
    pub user_id: UserId,
    /// What is known.
    pub attributes: Attributes,
    /// Acquired and not closed since.
    pub held: Vec<ProductId>,
}
