//! The rules about what may be offered, one type each.

use finrank_model::ProductId;

use super::eligibility::{Filter, Terms};
use crate::{catalogue::Catalogue, index::RowSet};

/// What is no longer sold is not offered.
#[derive(Debug)]
pub(super) struct WithdrawnFilter;

impl Filter for WithdrawnFilter {
    fn rule(&self) -> &'static str {
        "withdrawn"
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
        "scenario"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        let mut covered = RowSet::empty(catalogue.len());
        for &class in terms.scenario.classes() {
            covered.add(catalogue.of_class(class));
        }
        rows.keep(&covered);
    }
}

/// What a customer holds is not offered again.
#[derive(Debug)]
pub(super) struct HeldFilter;

impl Filter for HeldFilter {
    fn rule(&self) -> &'static str {
        "held"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        remove(&terms.held, catalogue, rows);
    }
}

/// What a request excludes is not offered; an id that is not in the catalogue excludes nothing.
#[derive(Debug)]
pub(super) struct ExcludedFilter;

impl Filter for ExcludedFilter {
    fn rule(&self) -> &'static str {
        "excluded"
    }

    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet) {
        remove(&terms.excluded, catalogue, rows);
    }
}

fn remove(product_ids: &[ProductId], catalogue: &Catalogue, rows: &mut RowSet) {
    for row in product_ids.iter().filter_map(|product_id| catalogue.row(product_id)) {
        rows.remove(row);
    }
}
