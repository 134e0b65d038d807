//! Eligibility: what may be offered, decided before retrieval, so that what may not be takes no places.

use std::{fmt::Debug, sync::Arc};

use chrono::{DateTime, Utc};
use finrank_model::{ProductId, UserId};
use finrank_policy::{Case, CompiledPolicy, Facts, Holding, ProductSet};
pub use finrank_selection::Scenario;
use tracing::{debug, debug_span};

use super::{
    filters::{ExcludedFilter, ScenarioFilter, WishedFilter, WithdrawnFilter},
    wishes::{Diversity, Filters},
};
use crate::{
    catalogue::Catalogue,
    index::{Row, RowSet},
};

/// What a request asks for, whoever the customer is.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Where the products will be shown.
    pub scenario: Scenario,
    /// What is not to be offered this time, whatever the reason.
    pub excluded: Vec<ProductId>,
    /// Which products to choose from.
    pub filters: Filters,
    /// How unlike they should be, if that is said.
    pub diversity: Option<Diversity>,
}

/// Whom something may be offered to, and by which policy that is decided.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Who it is.
    pub user_id: UserId,
    /// What is known.
    pub facts: Facts,
    /// What is held.
    pub held: Vec<ProductId>,
    /// By which policy, compiled for the catalogue.
    pub policy: Arc<CompiledPolicy>,
    /// For which moment.
    pub moment: DateTime<Utc>,
}

impl Customer {
    /// What is held, as rules see it.
    pub fn holdings<'a>(&'a self, catalogue: &'a Catalogue) -> Vec<Holding<'a>> {
        let holding = |product_id| {
            let row = catalogue.row(product_id);
            Holding { product_id, product: row.map(|row| (row.0, catalogue.product(row).offered())) }
        };
        self.held.iter().map(holding).collect()
    }

    /// The customer and one product, for the plain reading.
    pub fn case<'a>(&'a self, catalogue: &'a Catalogue, holdings: &'a [Holding<'a>], row: Row) -> Case<'a> {
        Case {
            policy: self.policy.policy(),
            facts: &self.facts,
            holdings,
            product: catalogue.product(row).offered(),
            moment: self.moment,
        }
    }
}

/// One thing that leaves products out, whoever the customer is.
pub trait Filter: Debug + Send + Sync {
    /// Its name in the log and in answers.
    fn rule(&self) -> &'static str;

    /// Takes out of `rows` what the rule forbids.
    fn apply(&self, catalogue: &Catalogue, terms: &Terms, rows: &mut RowSet);
}

/// What is left out whoever the customer is, and then what the policy says.
#[derive(Debug)]
pub struct Eligibility(Vec<Box<dyn Filter>>);

impl Default for Eligibility {
    fn default() -> Self {
        Self(vec![
            Box::new(WithdrawnFilter),
            Box::new(ScenarioFilter),
            Box::new(ExcludedFilter),
            Box::new(WishedFilter),
        ])
    }
}

impl Eligibility {
    /// What of a catalogue may be offered on some terms, whoever the customer is.
    pub fn of(&self, catalogue: &Catalogue, terms: &Terms) -> Eligible {
        let _stage = debug_span!("eligibility", products = catalogue.len()).entered();
        let mut rows = RowSet::full(catalogue.len());
        let mut count = rows.len();
        let mut exclusions = Vec::with_capacity(self.0.len());
        for filter in &self.0 {
            filter.apply(catalogue, terms, &mut rows);
            let left = rows.len();
            debug!(rule = filter.rule(), removed = count - left, left, "filtered");
            exclusions.push((filter.rule().to_owned(), count - left));
            count = left;
        }
        Eligible { rows, count, human_review: 0, exclusions }
    }

    /// What leaves a product out on some terms, whoever the customer is: each by itself.
    pub fn leaves_out(&self, catalogue: &Catalogue, terms: &Terms, row: Row) -> Vec<&'static str> {
        let against = self.0.iter().filter(|filter| {
            let mut rows = RowSet::of(catalogue.len(), [row]);
            filter.apply(catalogue, terms, &mut rows);
            rows.is_empty()
        });
        against.map(|filter| filter.rule()).collect()
    }

    /// What of a catalogue a customer may be offered on some terms.
    pub fn of_customer(&self, catalogue: &Catalogue, terms: &Terms, customer: &Customer) -> Eligible {
        let mut eligible = self.of(catalogue, terms);
        let holdings = customer.holdings(catalogue);
        let admission = customer.policy.admit(&customer.facts, &holdings, customer.moment);
        let mut review = row_set(&admission.human_review);
        review.keep(&eligible.rows);
        eligible.rows.keep(&row_set(&admission.eligible));
        eligible.human_review = review.len();
        eligible.count = eligible.rows.len();
        let codes = customer.policy.policy().rules().iter().map(|rule| rule.code.to_string());
        eligible.exclusions.extend(codes.zip(admission.against));
        debug!(left = eligible.count, human_review = eligible.human_review, "policy applied");
        eligible
    }
}

fn row_set(set: &ProductSet) -> RowSet {
    RowSet::from_bits(set.universe(), set.bytes())
}

/// The products that nothing stands against. Only [`Eligibility`] makes one, and retrieval asks for one.
#[derive(Clone, Debug)]
pub struct Eligible {
    rows: RowSet,
    count: usize,
    human_review: usize,
    exclusions: Vec<(String, usize)>,
}

impl Eligible {
    /// Which they are.
    pub fn rows(&self) -> &RowSet {
        &self.rows
    }

    /// Those of them that are among some rows.
    #[must_use]
    pub(super) fn among(&self, some: &RowSet) -> Self {
        let mut among = self.clone();
        among.rows.keep(some);
        among.count = among.rows.len();
        among
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many others only a person may decide on.
    pub fn human_review(&self) -> usize {
        self.human_review
    }

    /// What stands against how many products: of the terms, in the order in which they leave products out, how many
    /// more each does; of the policy's rules, each by itself, over the whole catalogue.
    pub fn exclusions(&self) -> &[(String, usize)] {
        &self.exclusions
    }
}
