//! Feature rows: what a plan gave for an entity at a moment, and until when.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_model::features::Entity;
use finrank_store::features::{Asked, FeaturePlan, FeatureValue, LastingRow, PlanKey, Value};

use super::{
    News,
    news::Changed,
    shelf::{Shelf, Thing},
};

/// Rows of customers and of products.
pub(crate) struct RowShelf {
    customers: Shelf<KeptRow>,
    products: Shelf<KeptRow>,
}

#[derive(Clone)]
struct KeptRow {
    plan: PlanKey,
    /// The moment that it was read for.
    at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    values: Arc<[FeatureValue]>,
}

impl RowShelf {
    pub(super) fn new(max_bytes: u64) -> Self {
        let half = max_bytes / 2;
        Self {
            customers: Shelf::new("customer_features", half),
            products: Shelf::new("product_features", half),
        }
    }

    /// An entity's values at a moment. A row that was read for a later moment may know more than was known then.
    pub(crate) fn get(
        &self,
        plan: &FeaturePlan,
        id: &str,
        moment: DateTime<Utc>,
    ) -> Option<Arc<[FeatureValue]>> {
        let right = |row: &KeptRow| {
            row.plan == plan.key() && row.at <= moment && row.until.is_none_or(|until| moment < until)
        };
        self.of(plan.entity()).get(id, right).map(|row| row.values)
    }

    /// Keeps what was read, at the moment that the horizon is at.
    pub(crate) fn put(&self, plan: &FeaturePlan, asked: &[Asked], rows: &[LastingRow]) {
        for (Asked { id, as_of, .. }, LastingRow { values, until }) in asked.iter().zip(rows) {
            let row = KeptRow { plan: plan.key(), at: *as_of, until: *until, values: values.clone() };
            self.of(plan.entity()).put(id, &row);
        }
    }

    pub(super) fn forget(&self, news: &News) {
        for (shelf, changed) in [(&self.customers, &news.customers), (&self.products, &news.products)] {
            match changed {
                _ if news.somebody_was_erased => shelf.forget_all(),
                Changed::Many => shelf.forget_all(),
                Changed::These(ids) => shelf.forget(ids),
            }
        }
    }

    fn of(&self, entity: Entity) -> &Shelf<KeptRow> {
        match entity {
            Entity::Customer => &self.customers,
            Entity::Product => &self.products,
        }
    }
}

impl Thing for KeptRow {
    fn replaces(&self, other: &Self) -> bool {
        self.plan == other.plan
    }

    fn bytes(&self) -> usize {
        let texts = self.values.iter().map(|value| match &value.value {
            Some(Value::Text(text)) => text.len(),
            Some(Value::Money { currency_code, .. }) => currency_code.len(),
            _ => 0,
        });
        size_of::<Self>() + size_of_val(&*self.values) + texts.sum::<usize>()
    }
}
