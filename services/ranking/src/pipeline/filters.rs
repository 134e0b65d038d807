//! What is left out whoever the customer is, one type each.

use std::collections::HashSet;

use finrank_model::ProductClass;

use super::{
    eligibility::{Filter, Terms},
    wishes::Filters,
};
use crate::{
    catalogue::Catalogue,
    index::{Row, RowSet},
};

/// What is no longer sold is not offered.
#[derive(Debug)]
pub(super) struct WithdrawnFilter;

impl Filter for WithdrawnFilter {
    fn rule(&self) -> &'static str {
        "WITHDRAWN"
    }

    fn apply(&self, catalogue: &Catalogue, _terms: &Terms, rows: &mut RowSet) {
        rows.keep(catalogue.sellable());
    }
}

/// A scenario shows its product classes only.
#[derive(Debug)]
pub(super) struct ScenarioFilter;

impl Filter for ScenarioFilter {
    fn rule(&self) -> &'static str {
        "SCENARIO"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        rows.keep(&of_classes(catalogue, terms.scenario.classes()));
    }
}

fn of_classes(catalogue: &Catalogue, classes: &[ProductClass]) -> RowSet {
    let mut covered = RowSet::empty(catalogue.len());
    for &class in classes {
        covered.add(catalogue.of_class(class));
    }
    covered
}

/// What a request excludes is not offered; an id that is not in the catalogue excludes nothing.
#[derive(Debug)]
pub(super) struct ExcludedFilter;

impl Filter for ExcludedFilter {
    fn rule(&self) -> &'static str {
        "REQUEST"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        for row in terms.excluded.iter().filter_map(|product_id| catalogue.row(product_id)) {
            rows.remove(row);
        }
    }
}

/// What a request's filters do not let pass is not offered. Found by what the catalogue knows of classes and ids; the last
/// look asks each product by itself ([`Filters::pass`]).
#[derive(Debug)]
pub(super) struct WishedFilter;

impl Filter for WishedFilter {
    fn rule(&self) -> &'static str {
        "FILTERS"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        let Filters { classes, issuers, product_ids } = &terms.filters;
        if !classes.is_empty() {
            rows.keep(&of_classes(catalogue, classes));
        }
        if !product_ids.is_empty() {
            let named = product_ids.iter().filter_map(|product_id| catalogue.row(product_id));
            rows.keep(&RowSet::of(catalogue.len(), named));
        }
        if !issuers.is_empty() {
            let issuers: HashSet<&str> = issuers.iter().map(String::as_str).collect();
            let issued = (0..catalogue.len())
                .map(Row)
                .filter(|&row| issuers.contains(catalogue.product(row).issuer.as_str()));
            rows.keep(&RowSet::of(catalogue.len(), issued));
        }
    }
}
