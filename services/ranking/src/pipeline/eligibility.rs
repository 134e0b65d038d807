//! Eligibility: what may be offered, decided before retrieval, so that what may not be takes no places.

use std::fmt::Debug;

use finrank_model::{ProductClass, ProductId};
use tracing::{debug, debug_span};

use super::filters::{ExcludedFilter, HeldFilter, ScenarioFilter, WithdrawnFilter};
use crate::{catalogue::Catalogue, index::RowSet};

/// Where products will be shown, which decides their classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Every class.
    #[default]
    All,
    /// Credit cards and loans.
    Credit,
    /// Wealth products.
    Wealth,
    /// Insurance.
    Insurance,
}

impl Scenario {
    /// The classes that it covers.
    pub fn classes(self) -> &'static [ProductClass] {
        match self {
            Self::All => &ProductClass::ALL,
            Self::Credit => &[ProductClass::CreditCard, ProductClass::Loan],
            Self::Wealth => &[ProductClass::Wealth],
            Self::Insurance => &[ProductClass::Insurance],
        }
    }
}

/// What the rules look at beside the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Where the products will be shown.
    pub scenario: Scenario,
    /// What the customer holds.
    pub held: Vec<ProductId>,
    /// What is not to be offered this time, whatever the reason.
    pub excluded: Vec<ProductId>,
}

/// One rule about what may be offered.
pub trait Filter: Debug + Send + Sync {
    /// Its name in the log.
    fn rule(&self) -> &'static str;

    /// Takes out of `rows` what the rule forbids.
    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet);
}

/// All rules together.
#[derive(Debug)]
pub struct Eligibility(Vec<Box<dyn Filter>>);

impl Default for Eligibility {
    fn default() -> Self {
        Self(vec![
            Box::new(WithdrawnFilter),
            Box::new(ScenarioFilter),
            Box::new(HeldFilter),
            Box::new(ExcludedFilter),
        ])
    }
}

impl Eligibility {
    /// What of a catalogue may be offered on some terms.
    pub fn of(&self, catalogue: &Catalogue, terms: &Terms) -> Eligible {
        let _stage = debug_span!("eligibility", products = catalogue.len()).entered();
        let mut rows = RowSet::full(catalogue.len());
        let mut count = rows.len();
        for filter in &self.0 {
            filter.apply(catalogue, terms, &mut rows);
            let left = rows.len();
            debug!(rule = filter.rule(), removed = count - left, left, "filtered");
            count = left;
        }
        Eligible { rows, count }
    }
}

/// The products that passed every rule. Only [`Eligibility::of`] makes one, and retrieval asks for one.
#[derive(Clone, Debug)]
pub struct Eligible {
    rows: RowSet,
    count: usize,
}

impl Eligible {
    /// Which they are.
    pub fn rows(&self) -> &RowSet {
        &self.rows
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}
