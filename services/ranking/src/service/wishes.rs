//! What a request wishes of the products, parsed, and in the words of the log.

use std::ops::RangeInclusive;

use finrank_contracts::ranking::v1;
use finrank_model::{InvalidField, ProductClass};
use finrank_serving::wire;

use super::request::{entries, product_ids};
use crate::pipeline::{Diversity, Filters};

/// How many entries each filter may have.
const ENTRIES: RangeInclusive<usize> = 0..=1000;

/// Which products to choose from.
///
/// # Errors
/// Everything that is wrong with the filters.
pub(super) fn filters(filters: Option<&v1::ProductFilters>) -> Result<Filters, Vec<InvalidField>> {
    let Some(filters) = filters else { return Ok(Filters::default()) };
    let mut faults = Vec::new();
    let mut classes = Vec::new();
    for (place, &class) in filters.product_classes.iter().enumerate() {
        match class_of(place, class) {
            Ok(class) if classes.contains(&class) => {}
            Ok(class) => classes.push(class),
            Err(fault) => faults.push(fault),
        }
    }
    faults.extend(entries("filters.issuers", filters.issuers.len(), &ENTRIES).err());
    if let Some(place) = filters.issuers.iter().position(String::is_empty) {
        faults.push(InvalidField::new(format!("filters.issuers[{place}]"), "is empty"));
    }
    let product_ids = product_ids("filters.product_ids", &filters.product_ids, ENTRIES);
    let product_ids = product_ids.unwrap_or_else(|fault| {
        faults.push(fault);
        Vec::new()
    });
    if faults.is_empty() {
        Ok(Filters { classes, issuers: filters.issuers.clone(), product_ids })
    } else {
        Err(faults)
    }
}

fn class_of(place: usize, number: i32) -> Result<ProductClass, InvalidField> {
    wire::product_class_from_wire(number)
        .map_err(|fault| InvalidField::new(format!("filters.product_classes[{place}]"), fault.reason))
}

/// How much unlikeness counts, if the request says so.
///
/// # Errors
/// When it is not 0 to 1.
pub(super) fn diversity(selection: Option<&v1::SelectionWishes>) -> Result<Option<Diversity>, InvalidField> {
    let Some(diversity) = selection.and_then(|selection| selection.diversity) else { return Ok(None) };
    let wished = Diversity::new(diversity);
    wished
        .map(Some)
        .ok_or_else(|| InvalidField::new("selection.diversity", format!("is {diversity}, not 0 to 1")))
}

/// Filters as the log keeps them; `None` when everything passes.
pub(super) fn recorded(filters: &Filters) -> Option<v1::ProductFilters> {
    (!filters.is_empty()).then(|| v1::ProductFilters {
        product_classes: filters
            .classes
            .iter()
            .map(|&class| wire::product_class_to_wire(class).into())
            .collect(),
        issuers: filters.issuers.clone(),
        product_ids: filters.product_ids.iter().map(ToString::to_string).collect(),
    })
}
