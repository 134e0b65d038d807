//! What a row of each kind must hold, and how it becomes an entity.

use std::path::Path;

use ::csv::StringRecord;
use finrank_model::{
    AttributeName, AttributeValue, Attributes, Customer, Event, EventId, EventKind, InvalidField, Money,
    Product, ProductClass, ProductDraft, ProductId, ProductStatus, Revision, RiskGrade, Statement, UserId,
    parse_moment,
};

use super::{
    super::{ImportError, Result},
    amount, event_id,
};

/// Columns that any kind of row may have: which statement under its key it is.
const REVISION: [&str; 2] = ["revision", "retracted"];

/// A kind of row.
pub(super) trait Row: Sized {
    /// What such rows are called.
    const KIND: &'static str;
    /// Columns that must be there.
    const REQUIRED: &'static [&'static str];
    /// Columns that may be there.
    const OPTIONAL: &'static [&'static str];
    /// Pairs of columns that say the same thing in two ways, so that only one may be there.
    const EITHER: &'static [(&'static str, &'static str)] = &[];
    /// Whether further columns are attributes, or are passed over.
    const ATTRIBUTES: bool;

    /// Parses a row's entity.
    fn parse(columns: &Columns, row: &StringRecord) -> Result<Self, InvalidField>;
}

/// Where each column is.
pub(super) struct Columns {
    names: Vec<String>,
    attributes: Vec<usize>,
}

impl Columns {
    /// Reads a header.
    pub(super) fn of<R: Row>(path: &Path, header: &StringRecord) -> Result<Self> {
        // Spreadsheets begin a file with a byte-order mark.
        let names: Vec<String> =
            header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        let is_there = |column: &str| names.iter().any(|name| name == column);
        let missing: Vec<&str> = R::REQUIRED.iter().copied().filter(|column| !is_there(column)).collect();
        if !missing.is_empty() {
            return Err(ImportError::MissingColumns {
                path: path.to_owned(),
                missing: missing.join(", "),
                found: names.join(", "),
            });
        }
        let repeated = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        if let Some((_, name)) = repeated {
            let source = InvalidField::new(name, "appears twice");
            return Err(ImportError::BadColumn { path: path.to_owned(), source });
        }
        let both = R::EITHER.iter().find(|(one, other)| is_there(one) && is_there(other));
        if let Some((one, other)) = both {
            let source = InvalidField::new(*one, format!("stands beside {other}; one of them is enough"));
            return Err(ImportError::BadColumn { path: path.to_owned(), source });
        }
        let is_attribute = |name: &str| {
            let has_a_meaning =
                [R::REQUIRED, R::OPTIONAL, &REVISION].iter().any(|names| names.contains(&name));
            R::ATTRIBUTES && !has_a_meaning
        };
        let attributes: Vec<usize> = (0..names.len()).filter(|&at| is_attribute(&names[at])).collect();
        for &at in &attributes {
            AttributeName::parse(names[at].as_str())
                .map_err(|source| ImportError::BadColumn { path: path.to_owned(), source })?;
        }
        Ok(Self { names, attributes })
    }

    /// Parses a row of as many fields as there are columns.
    pub(super) fn statement<R: Row>(&self, row: &StringRecord) -> Result<Statement<R>, InvalidField> {
        let [number, retracted] = REVISION.map(|column| self.get(row, column));
        let number = number.map_or(Ok(0), |raw| integer("revision", raw))?;
        let retracted = match retracted {
            None | Some("false") => false,
            Some("true") => true,
            Some(raw) => {
                return Err(InvalidField::new("retracted", format!("is {raw:?}, not true or false")));
            }
        };
        Ok(Statement { about: R::parse(self, row)?, revision: Revision::new(number, retracted)? })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, at: usize) -> &str {
        &self.names[at]
    }

    /// The field of a column; `None` where the column is absent or the field empty.
    fn get<'r>(&self, row: &'r StringRecord, column: &str) -> Option<&'r str> {
        let at = self.names.iter().position(|name| name == column)?;
        row.get(at).map(str::trim).filter(|field| !field.is_empty())
    }

    /// The one of two columns that is there; the second where neither is.
    fn either(&self, one: &'static str, other: &'static str) -> &'static str {
        if self.names.iter().any(|name| name == one) { one } else { other }
    }

    fn require<'r>(&self, row: &'r StringRecord, column: &str) -> Result<&'r str, InvalidField> {
        self.get(row, column).ok_or_else(|| InvalidField::new(column, "is empty"))
    }

    fn attributes(&self, row: &StringRecord) -> Result<Attributes, InvalidField> {
        let known = self.attributes.iter().filter_map(|&at| {
            let field = row.get(at).map(str::trim).filter(|field| !field.is_empty())?;
            Some((self.names[at].clone(), attribute(field)))
        });
        Attributes::new(known)
    }
}

impl Row for Customer {
    const KIND: &'static str = "customers";
    const REQUIRED: &'static [&'static str] = &["user_id", "event_time"];
    const OPTIONAL: &'static [&'static str] = &[];
    const ATTRIBUTES: bool = true;

    fn parse(columns: &Columns, row: &StringRecord) -> Result<Self, InvalidField> {
        Ok(Self {
            user_id: UserId::parse(columns.require(row, "user_id")?)?,
            attributes: columns.attributes(row)?,
            event_time: parse_moment("event_time", columns.require(row, "event_time")?)?,
        })
    }
}

impl Row for Product {
    const KIND: &'static str = "products";
    const REQUIRED: &'static [&'static str] = &["product_id", "product_class", "name", "event_time"];
    const OPTIONAL: &'static [&'static str] = &["description", "issuer", "risk_grade", "status"];
    const ATTRIBUTES: bool = true;

    fn parse(columns: &Columns, row: &StringRecord) -> Result<Self, InvalidField> {
        let text = |column| columns.get(row, column).unwrap_or_default().to_owned();
        let risk_grade =
            columns.get(row, "risk_grade").map(|raw| RiskGrade::new(integer("risk_grade", raw)?));
        ProductDraft {
            product_id: ProductId::parse(columns.require(row, "product_id")?)?,
            product_class: ProductClass::parse(columns.require(row, "product_class")?)?,
            name: columns.require(row, "name")?.to_owned(),
            description: text("description"),
            issuer: text("issuer"),
            risk_grade: risk_grade.transpose()?,
            status: ProductStatus::parse(columns.get(row, "status").unwrap_or("active"))?,
            attributes: columns.attributes(row)?,
            event_time: parse_moment("event_time", columns.require(row, "event_time")?)?,
        }
        .check()
    }
}

impl Row for Event {
    const KIND: &'static str = "events";
    const REQUIRED: &'static [&'static str] = &["user_id", "product_id", "kind", "event_time"];
    const OPTIONAL: &'static [&'static str] =
        &["event_id", "quantity", "amount", "amount_minor", "currency", "currency_code"];
    const EITHER: &'static [(&'static str, &'static str)] =
        &[("amount", "amount_minor"), ("currency", "currency_code")];
    const ATTRIBUTES: bool = false;

    fn parse(columns: &Columns, row: &StringRecord) -> Result<Self, InvalidField> {
        let user_id = UserId::parse(columns.require(row, "user_id")?)?;
        let product_id = ProductId::parse(columns.require(row, "product_id")?)?;
        let kind = EventKind::parse(columns.require(row, "kind")?)?;
        let event_time = parse_moment("event_time", columns.require(row, "event_time")?)?;
        let quantity = quantity(columns.get(row, "quantity"))?;
        let amount = amount(columns, row)?;
        let event_id = match columns.get(row, "event_id") {
            Some(event_id) => EventId::parse(event_id)?,
            None => event_id::derive(&user_id, &product_id, kind, event_time, quantity, amount.as_ref()),
        };
        Ok(Self { event_id, user_id, product_id, kind, event_time, quantity, amount })
    }
}

fn quantity(raw: Option<&str>) -> Result<u32, InvalidField> {
    // Signed, because Postgres has no unsigned integers.
    let quantity: i32 = raw.map_or(Ok(1), |raw| integer("quantity", raw))?;
    let quantity = u32::try_from(quantity).ok().filter(|quantity| *quantity > 0);
    quantity.ok_or_else(|| InvalidField::new("quantity", "is not at least 1"))
}

/// An amount has a currency, and a currency an amount, or there is neither.
fn amount(columns: &Columns, row: &StringRecord) -> Result<Option<Money>, InvalidField> {
    let amount_column = columns.either("amount", "amount_minor");
    let currency_column = columns.either("currency", "currency_code");
    let is_empty = |column, other| InvalidField::new(column, format!("is empty, but {other} is not"));
    match (columns.get(row, amount_column), columns.get(row, currency_column)) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(is_empty(currency_column, amount_column)),
        (None, Some(_)) => Err(is_empty(amount_column, currency_column)),
        (Some(major), Some(currency)) if amount_column == "amount" => {
            amount::parse(major, currency).map(Some)
        }
        (Some(minor), Some(currency)) => Money::new(currency, integer(amount_column, minor)?).map(Some),
    }
}

fn attribute(field: &str) -> AttributeValue {
    match field {
        "true" => AttributeValue::Flag(true),
        "false" => AttributeValue::Flag(false),
        // "nan" and "inf" read as numbers in Rust, but as words everywhere else.
        _ => match field.parse::<f64>() {
            Ok(number) if number.is_finite() => AttributeValue::Number(number),
            _ => AttributeValue::Text(field.to_owned()),
        },
    }
}

fn integer<T: std::str::FromStr>(column: &str, raw: &str) -> Result<T, InvalidField> {
    raw.parse().map_err(|_| InvalidField::new(column, format!("is {raw:?}, not a whole number in range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<R: Row>(header: &[&str], fields: &[&str]) -> Result<R, InvalidField> {
        let columns = Columns::of::<R>(Path::new("x.csv"), &StringRecord::from(header)).unwrap();
        R::parse(&columns, &StringRecord::from(fields))
    }

    #[test]
    fn an_attribute_is_read_as_what_it_looks_like() {
        let header = ["user_id", "event_time", "income", "student", "region", "score", "nothing"];

        let customer: Customer =
            parse(&header, &["u", "2026-01-31", "12.5", "true", "Ξάνθη", "nan", ""]).unwrap();

        assert_eq!(customer.attributes.get("income"), Some(&AttributeValue::Number(12.5)));
        assert_eq!(customer.attributes.get("student"), Some(&AttributeValue::Flag(true)));
        assert_eq!(customer.attributes.get("region"), Some(&AttributeValue::Text("Ξάνθη".into())));
        assert_eq!(customer.attributes.get("score"), Some(&AttributeValue::Text("nan".into())));
        assert_eq!(customer.attributes.get("nothing"), None);
        assert_eq!(customer.event_time.to_rfc3339(), "2026-01-31T00:00:00+00:00");
    }

    #[test]
    fn a_row_may_correct_an_earlier_one_or_take_it_back() {
        let header = StringRecord::from(vec!["user_id", "event_time", "income", "revision", "retracted"]);
        let columns = Columns::of::<Customer>(Path::new("c.csv"), &header).unwrap();
        let read = |revision, retracted| {
            let row = StringRecord::from(vec!["u", "2026-01-31", "12.5", revision, retracted]);
            columns.statement::<Customer>(&row)
        };

        assert_eq!(read("", "").unwrap().revision, Revision::default());
        assert_eq!(read("2", "true").unwrap().revision, Revision::new(2, true).unwrap());
        assert_eq!(read("2", "").unwrap().about.attributes.iter().count(), 1, "a revision is no attribute");
        assert_eq!(read("-1", "").unwrap_err().field, "revision");
        assert_eq!(read("", "yes").unwrap_err().field, "retracted");
        assert_eq!(read("", "true").unwrap_err().field, "retracted");
    }

    #[test]
    fn a_missing_column_is_listed_with_what_is_there() {
        let header = StringRecord::from(vec!["\u{feff}user_id", "kind"]);

        let error = Columns::of::<Event>(Path::new("e.csv"), &header).err().unwrap().to_string();

        assert_eq!(
            error,
            "e.csv lacks the columns product_id, event_time; it has user_id, kind. Nothing was loaded"
        );
    }

    #[test]
    fn a_column_that_appears_twice_is_refused() {
        let header = StringRecord::from(vec!["user_id", "event_time", "income", "income"]);

        let error = Columns::of::<Customer>(Path::new("c.csv"), &header).err().unwrap().to_string();

        assert_eq!(error, "c.csv: the column income appears twice. Nothing was loaded");
    }

    #[test]
    fn the_same_event_without_an_id_gets_the_same_id_and_any_other_another() {
        let header = ["user_id", "product_id", "kind", "event_time", "quantity", "amount", "currency"];
        let id = |row: [&str; 7]| parse::<Event>(&header, &row).unwrap().event_id;

        let first = id(["u", "p", "acquired", "2026-01-31", "", "10", "EUR"]);

        // The same in other words.
        assert_eq!(id(["u", "p", "acquired", "2026-01-31T01:00:00+01:00", "1", "10.00", "EUR"]), first);
        for other in [
            ["v", "p", "acquired", "2026-01-31", "", "10", "EUR"],
            ["u", "q", "acquired", "2026-01-31", "", "10", "EUR"],
            ["u", "p", "closed", "2026-01-31", "", "10", "EUR"],
            ["u", "p", "acquired", "2026-02-01", "", "10", "EUR"],
            ["u", "p", "acquired", "2026-01-31", "2", "10", "EUR"],
            ["u", "p", "acquired", "2026-01-31", "", "11", "EUR"],
            ["u", "p", "acquired", "2026-01-31", "", "10", "USD"],
            ["u", "p", "acquired", "2026-01-31", "", "", ""],
        ] {
            assert_ne!(id(other), first, "{other:?}");
        }
    }

    #[test]
    fn a_derived_id_stays_the_same_from_build_to_build() {
        let header = ["user_id", "product_id", "kind", "event_time"];

        let event: Event = parse(&header, &["u", "p", "acquired", "2026-01-31"]).unwrap();

        // sha256sum of "u\np\nacquired\n1769817600000000\n1\n", halved.
        assert_eq!(event.event_id.as_str(), "derived-53f4fe4a6375d54a532446471f00fb49");
    }

    #[test]
    fn an_amount_in_both_units_is_refused() {
        let header =
            StringRecord::from(vec!["user_id", "product_id", "kind", "event_time", "amount_minor", "amount"]);

        let error = Columns::of::<Event>(Path::new("e.csv"), &header).err().unwrap().to_string();

        assert_eq!(
            error,
            "e.csv: the column amount stands beside amount_minor; one of them is enough. Nothing was loaded"
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        let header =
            ["user_id", "product_id", "kind", "event_time", "quantity", "amount_minor", "currency_code"];
        let field = |row: [&str; 7]| parse::<Event>(&header, &row).unwrap_err().field;

        assert_eq!(field(["", "p", "acquired", "2026-01-31", "", "", ""]), "user_id");
        assert_eq!(field(["u", "p", "bought", "2026-01-31", "", "", ""]), "kind");
        assert_eq!(field(["u", "p", "acquired", "31.1.2026", "", "", ""]), "event_time");
        assert_eq!(field(["u", "p", "acquired", "2026-01-31", "0", "", ""]), "quantity");
        assert_eq!(field(["u", "p", "acquired", "2026-01-31", "1", "100", ""]), "currency_code");
        assert_eq!(field(["u", "p", "acquired", "2026-01-31", "1", "1.5", "EUR"]), "amount_minor");
    }
}
