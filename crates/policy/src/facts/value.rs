//! Values: what a fact must be, what is served, and the one read as the other.

use std::{cmp::Ordering, fmt};

use chrono::{DateTime, Utc};
use finrank_model::{Money, parse_moment};

use crate::{Currency, MoneyUnit};

/// What a fact must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactType {
    /// A finite number.
    Number,
    /// A category.
    Text,
    /// Yes or no.
    Flag,
    /// An amount.
    Money {
        /// In this currency alone.
        currency: Currency,
        /// What a plain number counts.
        unit: MoneyUnit,
    },
    /// A moment, also as text in RFC 3339.
    Time,
}

/// A finite number with an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finite(f64);

/// A value as it is served.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants say what they hold")]
pub enum GivenValue {
    Number(f64),
    Text(String),
    Flag(bool),
    Count(i64),
    Money(Money),
    Time(DateTime<Utc>),
}

/// A value that is what the policy says.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants say what they hold")]
pub enum FactValue {
    Number(Finite),
    Text(String),
    Flag(bool),
    /// In the minor unit.
    Money(Currency, i64),
    Time(DateTime<Utc>),
}

impl FactType {
    /// As the file names it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Flag => "flag",
            Self::Money { .. } => "money",
            Self::Time => "time",
        }
    }

    pub(super) fn read(&self, given: &GivenValue) -> Result<FactValue, String> {
        match (self, given) {
            (Self::Number, GivenValue::Number(number)) if number.is_finite() => {
                Ok(FactValue::Number(Finite::new(*number)))
            }
            (Self::Number, GivenValue::Count(count)) => Ok(FactValue::Number(Finite::new(*count as f64))),
            (Self::Text, GivenValue::Text(text)) => Ok(FactValue::Text(text.clone())),
            (Self::Flag, GivenValue::Flag(flag)) => Ok(FactValue::Flag(*flag)),
            (Self::Time, GivenValue::Time(time)) => Ok(FactValue::Time(*time)),
            (Self::Time, GivenValue::Text(text)) => {
                parse_moment("it", text).map(FactValue::Time).map_err(|invalid| invalid.reason)
            }
            (Self::Money { currency, unit }, GivenValue::Number(number)) => {
                unit.minor_units(*number).map(|minor| FactValue::Money(currency.clone(), minor))
            }
            (Self::Money { currency, .. }, GivenValue::Money(money)) => {
                if money.currency_code() == currency.as_str() {
                    Ok(FactValue::Money(currency.clone(), money.minor_units()))
                } else {
                    Err(format!("is in {}, not {currency}", money.currency_code()))
                }
            }
            _ => Err(format!("is {given}, which is no {}", self.as_str())),
        }
    }
}

impl Finite {
    /// Takes a finite number; −0 becomes 0.
    pub(crate) fn new(number: f64) -> Self {
        Self(number + 0.0)
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Finite {}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for GivenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::Count(count) => count.fmt(f),
            Self::Money(money) => {
                write!(f, "{} {} (minor units)", money.minor_units(), money.currency_code())
            }
            Self::Time(time) => time.to_rfc3339().fmt(f),
        }
    }
}
