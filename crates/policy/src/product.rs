//! A product as the rules see it, and what it declares of itself.

use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeName, AttributeValue, Attributes, ProductClass, ProductId, ProductStatus, RiskGrade,
    parse_moment,
};

use crate::{Currency, Finite, MoneyUnit};

/// A product that may or may not be offered.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Names it.
    pub product_id: &'a ProductId,
    /// Which rules concern it.
    pub product_class: ProductClass,
    /// Whether it is sold at all.
    pub status: ProductStatus,
    /// How risky it is, when graded.
    pub risk_grade: Option<RiskGrade>,
    /// What else it declares.
    pub attributes: &'a Attributes,
}

/// What a product says under an attribute that a rule reads.
#[derive(Debug, PartialEq)]
pub(crate) enum Declared<T> {
    /// Nothing.
    No,
    /// Something that cannot be what is meant; the words tell what.
    Unreadable(String),
    /// This.
    Yes(T),
}

/// An amount that a product declares: where it stands, and in what.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredAmount {
    /// The attribute that holds it.
    pub attribute: AttributeName,
    /// What the number counts.
    pub unit: MoneyUnit,
    /// Of which currency.
    pub currency: DeclaredCurrency,
}

/// The currency of an amount that a product declares.
#[derive(Clone, Debug, PartialEq)]
pub enum DeclaredCurrency {
    /// Always this one.
    Fixed(Currency),
    /// That which the product names in this attribute.
    Attribute(AttributeName),
}

impl<'a> Offered<'a> {
    pub(crate) fn number(&self, name: &AttributeName) -> Declared<Finite> {
        match self.attributes.get(name.as_str()) {
            None => Declared::No,
            Some(AttributeValue::Number(number)) => Declared::Yes(Finite::new(*number)),
            Some(_) => Declared::Unreadable(format!("{name} is not a number")),
        }
    }

    pub(crate) fn text(&self, name: &AttributeName) -> Declared<&'a str> {
        match self.attributes.get(name.as_str()) {
            None => Declared::No,
            Some(AttributeValue::Text(text)) => Declared::Yes(text),
            Some(_) => Declared::Unreadable(format!("{name} is not a text")),
        }
    }

    /// Names between commas, as in `DE, AT`.
    pub(crate) fn list(&self, name: &AttributeName) -> Declared<Vec<&'a str>> {
        match self.text(name) {
            Declared::Yes(text) => {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                Declared::Yes(names.collect())
            }
            Declared::No => Declared::No,
            Declared::Unreadable(why) => Declared::Unreadable(why),
        }
    }

    pub(crate) fn moment(&self, name: &AttributeName) -> Declared<DateTime<Utc>> {
        match self.text(name) {
            Declared::Yes(text) => match parse_moment(name.as_str(), text) {
                Ok(moment) => Declared::Yes(moment),
                Err(invalid) => Declared::Unreadable(invalid.to_string()),
            },
            Declared::No => Declared::No,
            Declared::Unreadable(why) => Declared::Unreadable(why),
        }
    }

    /// An amount in its minor unit. One whose currency is missing, or that is less than nothing, is unreadable.
    pub(crate) fn amount(&self, of: &DeclaredAmount) -> Declared<(Currency, i64)> {
        let number = match self.number(&of.attribute) {
            Declared::Yes(number) => number.get(),
            Declared::No => return Declared::No,
            Declared::Unreadable(why) => return Declared::Unreadable(why),
        };
        let currency = match &of.currency {
            DeclaredCurrency::Fixed(currency) => currency.clone(),
            DeclaredCurrency::Attribute(name) => match self.text(name) {
                Declared::Yes(text) => match Currency::parse(text) {
                    Some(currency) => currency,
                    None => return Declared::Unreadable(format!("{name} is {text:?}, no currency code")),
                },
                Declared::No => return Declared::Unreadable(format!("{name}, its currency, is missing")),
                Declared::Unreadable(why) => return Declared::Unreadable(why),
            },
        };
        match of.unit.minor_units(number) {
            Ok(minor) if minor >= 0 => Declared::Yes((currency, minor)),
            Ok(_) => Declared::Unreadable(format!("{} is below 0", of.attribute)),
            Err(why) => Declared::Unreadable(format!("{} {why}", of.attribute)),
        }
    }
}
