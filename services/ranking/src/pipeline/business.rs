//! What the selection file's rules made of a request: told with the decision.

use std::sync::Arc;

use finrank_model::ProductId;
use finrank_selection::{Diversity, InForce, SelectionCode, SelectionRules};

use super::{Ask, eligibility::Eligible, selector::Selected};
use crate::{
    catalogue::Catalogue,
    index::{Row, RowSet},
};

/// By which business rules a decision was chosen.
#[derive(Clone, Debug)]
pub struct Business {
    /// The file in force.
    pub rules: Arc<SelectionRules>,
    /// How much unlikeness was to count.
    pub diversity: Diversity,
    /// How many candidates the first search was for; 0 where nobody searched.
    pub searched: usize,
    /// The exploration rule that was in force.
    pub exploration: Option<SelectionCode>,
    /// What came of each pin in force, in the order of their places.
    pub pins: Vec<PinReport>,
    /// How many eligible products each cap left no room for, if it left too few.
    pub caps: Vec<(SelectionCode, usize)>,
}

/// What came of a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinReport {
    /// The pin's code.
    pub code: SelectionCode,
    /// The product.
    pub product_id: ProductId,
    /// The place that it asks for.
    pub place: usize,
    /// What came of it.
    pub outcome: PinOutcome,
}

/// What can come of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinOutcome {
    /// The product stands there, or further up where there were too few others.
    Placed,
    /// It may not be offered to the customer, or the request leaves it out.
    NotEligible,
    /// There is no such product.
    NotInCatalogue,
    /// Fewer were asked for.
    BeyondK,
    /// A cap left no room.
    Capped,
}

impl Business {
    pub(super) fn new(
        catalogue: &Catalogue,
        ask: &Ask,
        rules: &InForce<'_>,
        eligible: &Eligible,
        selected: &Selected,
        searched: usize,
    ) -> Self {
        let pins = rules.pins.iter().map(|pin| {
            let (place, product_id) = (pin.says.place, pin.says.product_id.clone());
            let outcome = match catalogue.row(&product_id) {
                _ if place > ask.k => PinOutcome::BeyondK,
                None => PinOutcome::NotInCatalogue,
                Some(row) if !eligible.rows().contains(row) => PinOutcome::NotEligible,
                Some(_) if selected.capped_pins.contains(&pin.code) => PinOutcome::Capped,
                Some(_) => PinOutcome::Placed,
            };
            PinReport { code: pin.code.clone(), product_id, place, outcome }
        });
        Self {
            rules: Arc::clone(&ask.selection),
            diversity: rules.diversity,
            searched,
            exploration: rules.exploration.map(|rule| rule.code.clone()),
            pins: pins.collect(),
            caps: caps(catalogue, ask, rules, eligible, selected),
        }
    }
}

/// The eligible products that pins name and that ask for a place.
pub(super) fn pinned(catalogue: &Catalogue, rules: &InForce<'_>, eligible: &Eligible, k: usize) -> Vec<Row> {
    let asking = rules.pins.iter().filter(|pin| pin.says.place <= k);
    let rows = asking.filter_map(|pin| catalogue.row(&pin.says.product_id));
    rows.filter(|&row| eligible.rows().contains(row)).collect()
}

/// What caps leave of the eligible products beside those that were chosen, and beyond some that were chosen from; `None` if
/// that is nothing.
pub(super) fn beyond(
    catalogue: &Catalogue,
    rules: &InForce<'_>,
    eligible: &Eligible,
    candidates: &[Row],
    selected: &Selected,
) -> Option<RowSet> {
    if rules.caps.is_empty() || candidates.len() >= eligible.count() {
        return None;
    }
    let room = rules.room_beside(selected.by_rank.iter().map(|&row| catalogue.product(row).unscored()));
    let known = RowSet::of(catalogue.len(), candidates.iter().copied());
    let rows = (0..catalogue.len()).map(Row).filter(|&row| {
        eligible.rows().contains(row)
            && !known.contains(row)
            && room.refused_by(&catalogue.product(row).unscored()).is_none()
    });
    let rows = RowSet::of(catalogue.len(), rows);
    (!rows.is_empty()).then_some(rows)
}

/// Why there are fewer than were asked for, though more are eligible.
fn caps(
    catalogue: &Catalogue,
    ask: &Ask,
    rules: &InForce<'_>,
    eligible: &Eligible,
    selected: &Selected,
) -> Vec<(SelectionCode, usize)> {
    if rules.caps.is_empty() || selected.items.len() >= ask.k.min(eligible.count()) {
        return Vec::new();
    }
    let room = rules.room_beside(selected.by_rank.iter().map(|&row| catalogue.product(row).unscored()));
    let chosen = RowSet::of(catalogue.len(), selected.by_rank.iter().copied());
    let mut counts: Vec<(SelectionCode, usize)> =
        rules.caps.iter().map(|cap| (cap.code.clone(), 0)).collect();
    let left = (0..catalogue.len()).map(Row);
    for row in left.filter(|&row| eligible.rows().contains(row) && !chosen.contains(row)) {
        let refused_by = room.refused_by(&catalogue.product(row).unscored());
        if let Some((_, count)) = counts.iter_mut().find(|(code, _)| Some(code) == refused_by) {
            *count += 1;
        }
    }
    counts.retain(|(_, count)| *count > 0);
    counts
}
