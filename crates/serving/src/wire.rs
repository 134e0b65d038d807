//! Between contract messages and entities: the border at which gRPC input is parsed, once. A refusal names the
//! field by its path in the message.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use finrank_contracts::common::v1;
use finrank_model::{
    AttributeValue, Attributes, Customer, Event, EventId, EventKind, InvalidField, Money, Product,
    ProductClass, ProductDraft, ProductId, ProductStatus, RiskGrade, UserId,
};
use prost_types::Timestamp;
use v1::attribute_value::Kind;

/// The value of an enum; one that this server does not know is refused, and not taken for the default.
///
/// # Errors
/// Names the field.
pub fn known<E: TryFrom<i32>>(field: &str, raw: i32) -> Result<E, InvalidField> {
    E::try_from(raw).map_err(|_| InvalidField::new(field, format!("is {raw}, which is no value of it")))
}

/// Parses a customer.
///
/// # Errors
/// Names the first field that does not hold what the contract says.
pub fn customer(message: v1::Customer) -> Result<Customer, InvalidField> {
    Ok(Customer {
        user_id: UserId::parse(message.user_id)?,
        attributes: attributes(message.attributes)?,
        event_time: event_time(message.event_time)?,
    })
}

/// Parses a product.
///
/// # Errors
/// As [`customer`].
pub fn product(message: v1::Product) -> Result<Product, InvalidField> {
    let (product_class, status) = (message.product_class, message.status);
    ProductDraft {
        product_id: ProductId::parse(message.product_id)?,
        product_class: product_class_from_wire(product_class)?,
        name: message.name,
        description: message.description,
        issuer: message.issuer,
        risk_grade: message.risk_grade.map(RiskGrade::new).transpose()?,
        status: product_status(status)?,
        attributes: attributes(message.attributes)?,
        event_time: event_time(message.event_time)?,
    }
    .check()
}

/// Parses an event.
///
/// # Errors
/// As [`customer`].
pub fn event(message: v1::Event) -> Result<Event, InvalidField> {
    let quantity = message.quantity.unwrap_or(1);
    if quantity == 0 || i32::try_from(quantity).is_err() {
        return Err(InvalidField::new("quantity", format!("is {quantity}, not 1 to {}", i32::MAX)));
    }
    Ok(Event {
        event_id: EventId::parse(message.event_id)?,
        user_id: UserId::parse(message.user_id)?,
        product_id: ProductId::parse(message.product_id)?,
        kind: event_kind(message.kind)?,
        event_time: event_time(message.event_time)?,
        quantity,
        amount: message.amount.map(|money| Money::new(money.currency_code, money.minor_units)).transpose()?,
    })
}

/// A product as a message.
pub fn product_to_wire(product: &Product) -> v1::Product {
    v1::Product {
        product_id: product.product_id.to_string(),
        product_class: product_class_to_wire(product.product_class).into(),
        name: product.name.clone(),
        description: product.description.clone(),
        issuer: product.issuer.clone(),
        risk_grade: product.risk_grade.map(|grade| grade.get().into()),
        status: product_status_to_wire(product.status).into(),
        attributes: attributes_to_wire(&product.attributes),
        event_time: Some(timestamp(product.event_time)),
        ..v1::Product::default()
    }
}

/// Attributes as messages.
pub fn attributes_to_wire(attributes: &Attributes) -> HashMap<String, v1::AttributeValue> {
    attributes.iter().map(|(name, value)| (name.to_string(), attribute_to_wire(value))).collect()
}

/// An event's kind as its number in the contract.
pub fn event_kind_to_wire(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::Viewed => v1::EventKind::Viewed,
        EventKind::Clicked => v1::EventKind::Clicked,
        EventKind::Applied => v1::EventKind::Applied,
        EventKind::Acquired => v1::EventKind::Acquired,
        EventKind::Closed => v1::EventKind::Closed,
        EventKind::Declined => v1::EventKind::Declined,
    }
}

/// A product class as its number in the contract.
pub fn product_class_to_wire(class: ProductClass) -> v1::ProductClass {
    match class {
        ProductClass::CreditCard => v1::ProductClass::CreditCard,
        ProductClass::Loan => v1::ProductClass::Loan,
        ProductClass::Wealth => v1::ProductClass::Wealth,
        ProductClass::Insurance => v1::ProductClass::Insurance,
    }
}

/// A product's status as its number in the contract.
pub fn product_status_to_wire(status: ProductStatus) -> v1::ProductStatus {
    match status {
        ProductStatus::Active => v1::ProductStatus::Active,
        ProductStatus::Withdrawn => v1::ProductStatus::Withdrawn,
    }
}

/// A time as a message.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // chrono counts a leap second as nanoseconds beyond the second, which a Timestamp may not.
    let nanos = time.timestamp_subsec_nanos().min(999_999_999);
    Timestamp { seconds: time.timestamp(), nanos: nanos.try_into().unwrap_or(i32::MAX) }
}

/// Parses a moment that must be there, between the years 1 and 9999.
///
/// # Errors
/// Names `field`.
pub fn moment(field: &str, message: Option<Timestamp>) -> Result<DateTime<Utc>, InvalidField> {
    let Some(message) = message else {
        return Err(InvalidField::new(field, "is missing"));
    };
    let nanos = u32::try_from(message.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| DateTime::from_timestamp(message.seconds, nanos));
    let time = time.ok_or_else(|| InvalidField::new(field, "is not a time"))?;
    finrank_model::event_time(time).map_err(|invalid| InvalidField::new(field, invalid.reason))
}

fn event_time(message: Option<Timestamp>) -> Result<DateTime<Utc>, InvalidField> {
    moment("event_time", message)
}

/// Parses attributes.
///
/// # Errors
/// Names the one that holds no value, or none that it may.
pub fn attributes(
    message: impl IntoIterator<Item = (String, v1::AttributeValue)>,
) -> Result<Attributes, InvalidField> {
    let entries: Result<Vec<_>, _> = message
        .into_iter()
        .map(|(name, value)| match attribute(value) {
            Some(value) => Ok((name, value)),
            None => {
                Err(InvalidField::new(format!("attributes[{name}]"), "has no value; leave it out if unknown"))
            }
        })
        .collect();
    Attributes::new(entries?)
}

/// One attribute's value; `None` of a message without one.
pub fn attribute(message: v1::AttributeValue) -> Option<AttributeValue> {
    Some(match message.kind? {
        Kind::Number(number) => AttributeValue::Number(number),
        Kind::Text(text) => AttributeValue::Text(text),
        Kind::Flag(flag) => AttributeValue::Flag(flag),
    })
}

/// One attribute's value as a message.
pub fn attribute_to_wire(value: &AttributeValue) -> v1::AttributeValue {
    let kind = match value {
        AttributeValue::Number(number) => Kind::Number(*number),
        AttributeValue::Text(text) => Kind::Text(text.clone()),
        AttributeValue::Flag(flag) => Kind::Flag(*flag),
    };
    v1::AttributeValue { kind: Some(kind) }
}

/// A product class from its number in the contract.
///
/// # Errors
/// Under `product_class`, when it is none.
pub fn product_class_from_wire(number: i32) -> Result<ProductClass, InvalidField> {
    match v1::ProductClass::try_from(number) {
        Ok(v1::ProductClass::CreditCard) => Ok(ProductClass::CreditCard),
        Ok(v1::ProductClass::Loan) => Ok(ProductClass::Loan),
        Ok(v1::ProductClass::Wealth) => Ok(ProductClass::Wealth),
        Ok(v1::ProductClass::Insurance) => Ok(ProductClass::Insurance),
        Ok(v1::ProductClass::Unspecified) => Err(InvalidField::new("product_class", "is missing")),
        Err(_) => Err(InvalidField::new("product_class", format!("is {number}, which names no class"))),
    }
}

fn product_status(number: i32) -> Result<ProductStatus, InvalidField> {
    match v1::ProductStatus::try_from(number) {
        Ok(v1::ProductStatus::Active | v1::ProductStatus::Unspecified) => Ok(ProductStatus::Active),
        Ok(v1::ProductStatus::Withdrawn) => Ok(ProductStatus::Withdrawn),
        Err(_) => Err(InvalidField::new("status", format!("is {number}, which names no status"))),
    }
}

fn event_kind(number: i32) -> Result<EventKind, InvalidField> {
    match v1::EventKind::try_from(number) {
        Ok(v1::EventKind::Viewed) => Ok(EventKind::Viewed),
        Ok(v1::EventKind::Clicked) => Ok(EventKind::Clicked),
        Ok(v1::EventKind::Applied) => Ok(EventKind::Applied),
        Ok(v1::EventKind::Acquired) => Ok(EventKind::Acquired),
        Ok(v1::EventKind::Closed) => Ok(EventKind::Closed),
        Ok(v1::EventKind::Declined) => Ok(EventKind::Declined),
        Ok(v1::EventKind::Unspecified) => Err(InvalidField::new("kind", "is missing")),
        Err(_) => Err(InvalidField::new("kind", format!("is {number}, which names no kind"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_product() -> v1::Product {
        let attribute = v1::AttributeValue { kind: Some(Kind::Number(2.5)) };
        v1::Product {
            product_id: "p-1".into(),
            product_class: v1::ProductClass::Loan.into(),
            name: "Car loan".into(),
            description: "For cars.".into(),
            issuer: "A bank".into(),
            risk_grade: Some(2),
            status: v1::ProductStatus::Withdrawn.into(),
            attributes: [("rate".to_owned(), attribute)].into(),
            event_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
            ..v1::Product::default()
        }
    }

    fn an_event() -> v1::Event {
        v1::Event {
            event_id: "e-1".into(),
            user_id: "u-1".into(),
            product_id: "p-1".into(),
            kind: v1::EventKind::Acquired.into(),
            event_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            ..v1::Event::default()
        }
    }

    #[test]
    fn a_product_comes_back_as_it_was_sent() {
        let message = a_product();

        let parsed = product(message.clone()).unwrap();

        assert_eq!(product_to_wire(&parsed), message);
    }

    #[test]
    fn an_unspecified_status_is_active_and_a_missing_quantity_is_one() {
        let status = v1::ProductStatus::Unspecified.into();
        let parsed = product(v1::Product { status, ..a_product() }).unwrap();

        assert_eq!(parsed.status, ProductStatus::Active);
        assert_eq!(event(an_event()).unwrap().quantity, 1);
    }

    #[test]
    fn each_refusal_names_its_field() {
        let refused = |message: v1::Product| product(message).unwrap_err().field;
        let nothing = v1::AttributeValue { kind: None };

        assert_eq!(refused(v1::Product { product_id: String::new(), ..a_product() }), "product_id");
        assert_eq!(refused(v1::Product { product_class: 0, ..a_product() }), "product_class");
        assert_eq!(refused(v1::Product { product_class: 99, ..a_product() }), "product_class");
        assert_eq!(refused(v1::Product { risk_grade: Some(6), ..a_product() }), "risk_grade");
        assert_eq!(refused(v1::Product { event_time: None, ..a_product() }), "event_time");
        assert_eq!(refused(v1::Product { status: 7, ..a_product() }), "status");
        let attributes = [("rate".to_owned(), nothing)].into();
        assert_eq!(refused(v1::Product { attributes, ..a_product() }), "attributes[rate]");
        assert_eq!(event(v1::Event { quantity: Some(0), ..an_event() }).unwrap_err().field, "quantity");
        assert_eq!(event(v1::Event { kind: 0, ..an_event() }).unwrap_err().field, "kind");
        let amount = Some(v1::Money { currency_code: "eur".into(), minor_units: 1 });
        assert_eq!(event(v1::Event { amount, ..an_event() }).unwrap_err().field, "amount.currency_code");
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (253_402_300_800, 0)] {
            let message = v1::Event { event_time: Some(Timestamp { seconds, nanos }), ..an_event() };

            assert_eq!(event(message).unwrap_err().field, "event_time", "{seconds} {nanos}");
        }
    }
}
