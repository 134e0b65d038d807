//! ISLP's `Caravan.csv`, the insurance data of the CoIL 2000 challenge: 5,822 households, 43 socio-demographic
//! attributes, policies held of 21 insurance products, and who bought a caravan policy, the 22nd.
//!
//! The columns in between say what each household pays for its policies. They would give the holdings away and
//! are left out.

mod dictionary;

use std::{fs::File, path::Path};

use ::csv::{Reader, StringRecord};
use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeValue, Attributes, Customer, Event, EventId, EventKind, InvalidField, Product, ProductClass,
    ProductDraft, ProductId, ProductStatus, Statement, UserId,
};

use self::dictionary::{ATTRIBUTES, PRODUCTS};
use super::{ImportError, ImportObserver, ImportReport, Result, load::Loader};

/// The year of the challenge. One time for everything makes a second import find nothing new.
const AS_OF: &str = "2000-01-01T00:00:00Z";
/// Who bought the caravan policy.
const PURCHASE: &str = "Purchase";
/// Attributes that are numbered groups, not quantities: customer subtype and main type.
const CATEGORIES: [&str; 2] = ["MOSTYPE", "MOSHOOFD"];

/// Imports the file. Customers are named `caravan-0001` and on, in the order of the rows.
///
/// # Errors
/// When the file cannot be read, lacks a column, or a row holds something else than whole numbers; nothing is
/// loaded then.
pub fn import_caravan(
    database_url: &str,
    path: &Path,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    let not_csv = |source| ImportError::NotCsv { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    let mut reader = Reader::from_reader(file);
    let header = reader.headers().map_err(not_csv)?.clone();
    check_header(path, &header)?;

    let (mut customers, mut events) = (Vec::new(), Vec::new());
    for (number, row) in (1..).zip(reader.records()) {
        let row = row.map_err(not_csv)?;
        let line = row.position().map_or(0, ::csv::Position::line);
        let household = Household { header: &header, row: &row, number };
        let invalid = |source| ImportError::Caravan { path: path.to_owned(), line, source };
        customers.push(Statement::first(household.customer().map_err(invalid)?));
        events.extend(household.holdings().map_err(invalid)?.into_iter().map(Statement::first));
    }
    let products: Result<Vec<_>, _> = PRODUCTS.iter().map(|row| product(row).map(Statement::first)).collect();
    let products =
        products.map_err(|source| ImportError::Caravan { path: path.to_owned(), line: 1, source })?;

    observer.begin(&path.display().to_string(), (customers.len() + events.len()) as u64);
    let mut loader = Loader::connect(database_url)?;
    let report = ImportReport {
        products: loader.products(&products)?,
        customers: loader.customers(&customers)?,
        events: loader.events(&events)?,
        rejects: Vec::new(),
    };
    observer.reached((customers.len() + events.len()) as u64);
    Ok(report)
}

fn check_header(path: &Path, header: &StringRecord) -> Result<()> {
    let needed =
        ATTRIBUTES.iter().map(|(code, _)| *code).chain(PRODUCTS.iter().map(|product| product.column));
    let missing: Vec<&str> = needed.filter(|column| !header.iter().any(|name| name == *column)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let found = header.iter().collect::<Vec<_>>().join(", ");
    Err(ImportError::MissingColumns { path: path.to_owned(), missing: missing.join(", "), found })
}

/// One row of the file.
struct Household<'r> {
    header: &'r StringRecord,
    row: &'r StringRecord,
    number: usize,
}

impl Household<'_> {
    fn customer(&self) -> Result<Customer, InvalidField> {
        let attributes: Result<Vec<_>, InvalidField> = ATTRIBUTES
            .iter()
            .map(|(code, name)| {
                let number = self.number(code)?;
                let value = if CATEGORIES.contains(code) {
                    AttributeValue::Text(number.to_string())
                } else {
                    AttributeValue::Number(number.into())
                };
                Ok(((*name).to_owned(), value))
            })
            .collect();
        Ok(Customer {
            user_id: self.user_id()?,
            attributes: Attributes::new(attributes?)?,
            event_time: as_of(),
        })
    }

    fn holdings(&self) -> Result<Vec<Event>, InvalidField> {
        let mut events = Vec::new();
        for product in &PRODUCTS {
            let quantity = self.policies(product.column)?;
            if quantity > 0 {
                events.push(Event {
                    event_id: EventId::parse(format!("holds-{}", product.id))?,
                    user_id: self.user_id()?,
                    product_id: ProductId::parse(product.id)?,
                    kind: EventKind::Acquired,
                    event_time: as_of(),
                    quantity,
                    amount: None,
                });
            }
        }
        Ok(events)
    }

    /// How many policies: a count, or for the caravan policy yes or no.
    fn policies(&self, column: &str) -> Result<u32, InvalidField> {
        if column != PURCHASE {
            return self.number(column);
        }
        match self.field(column).to_lowercase().as_str() {
            "yes" | "1" => Ok(1),
            "no" | "0" => Ok(0),
            other => Err(InvalidField::new(column, format!("is {other:?}, not Yes or No"))),
        }
    }

    /// Counts and bands have two digits at most.
    fn number(&self, column: &str) -> Result<u32, InvalidField> {
        let field = self.field(column);
        let number = field.parse::<u8>();
        number
            .map(u32::from)
            .map_err(|_| InvalidField::new(column, format!("is {field:?}, not a whole number from 0 to 255")))
    }

    fn field(&self, column: &str) -> &str {
        let at = self.header.iter().position(|name| name == column);
        at.and_then(|at| self.row.get(at)).unwrap_or_default()
    }

    fn user_id(&self) -> Result<UserId, InvalidField> {
        UserId::parse(format!("caravan-{:04}", self.number))
    }
}

fn product(entry: &dictionary::Entry) -> Result<Product, InvalidField> {
    ProductDraft {
        product_id: ProductId::parse(entry.id)?,
        product_class: ProductClass::Insurance,
        name: entry.name.to_owned(),
        description: entry.description.to_owned(),
        issuer: String::new(),
        risk_grade: None,
        status: ProductStatus::Active,
        attributes: Attributes::default(),
        event_time: as_of(),
    }
    .check()
}

fn as_of() -> DateTime<Utc> {
    AS_OF.parse().expect("the constant is RFC 3339")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_dictionary_names_43_attributes_and_22_products_each_once() {
        let attributes: HashSet<&str> = ATTRIBUTES.iter().map(|(_, name)| *name).collect();
        let products: HashSet<&str> = PRODUCTS.iter().map(|product| product.id).collect();

        assert_eq!((attributes.len(), products.len()), (43, 22));
        assert!(PRODUCTS.iter().all(|entry| product(entry).is_ok()));
    }
}
