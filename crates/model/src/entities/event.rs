//! What customers do with products.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::InvalidField;
use crate::{EventId, ProductId, UserId};

/// Checks a time at which something is true or happened.
///
/// # Errors
/// Outside the years 1 to 9999, which are those that a protobuf Timestamp may hold and Postgres can store.
pub fn event_time(time: DateTime<Utc>) -> Result<DateTime<Utc>, InvalidField> {
    if (1..=9999).contains(&time.year()) {
        Ok(time)
    } else {
        Err(InvalidField::new("event_time", "is not between the years 1 and 9999"))
    }
}

/// Reads a moment: RFC 3339, or a date as 2026-01-31, which means midnight UTC.
///
/// # Errors
/// Names `field`, when it is neither or outside the years 1 to 9999.
pub fn parse_moment(field: &str, raw: &str) -> Result<DateTime<Utc>, InvalidField> {
    let date = || raw.parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let moment = DateTime::parse_from_rfc3339(raw).map(|moment| moment.to_utc()).or_else(|_| date());
    let moment = moment
        .map_err(|_| InvalidField::new(field, format!("is {raw:?}, not RFC 3339 or a date as 2026-01-31")))?;
    event_time(moment).map_err(|invalid| InvalidField::new(field, invalid.reason))
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
    pub const ALL: [Self; 6] =
        [Self::Viewed, Self::Clicked, Self::Applied, Self::Acquired, Self::Closed, Self::Declined];

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
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw).ok_or_else(|| {
            let reason = format!("is {raw:?}, not viewed, clicked, applied, acquired, closed or declined");
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
            Ok(Self { currency_code, minor_units })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_from_its_stored_form() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Ok(kind));
        }
        assert_eq!(EventKind::parse("sold").unwrap_err().field, "kind");
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        assert_eq!(Money::new("EUR", -150).unwrap().minor_units(), -150);
        for code in ["", "eur", "EURO", "E1R"] {
            assert_eq!(Money::new(code, 1).unwrap_err().field, "amount.currency_code");
        }
    }
}
