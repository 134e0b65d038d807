//! What is left out whoever the customer is, one type each.

use super::eligibility::{Filter, Terms};
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
        let mut covered = RowSet::empty(catalogue.len());
        for &class in terms.scenario.classes() {
            covered.add(catalogue.of_class(class));
        }
        rows.keep(&covered);
    }
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

/// What a request's filters do not let pass is not offered.
#[derive(Debug)]
pub(super) struct WishedFilter;

impl Filter for WishedFilter {
    fn rule(&self) -> &'static str {
        "FILTERS"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        if terms.filters.is_empty() {
            return;
        }
        let wished = (0..catalogue.len()).map(Row).filter(|&row| terms.filters.pass(catalogue.product(row)));
        rows.keep(&RowSet::of(catalogue.len(), wished));
    }
}
