//! Definitions together with what is compiled of them, so that the one is never used with the other's.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_model::{
    InvalidField,
    features::{Definitions, ExpiredPolicy, FeatureRef},
};
use finrank_store::features::FeaturePlan;
use moka::sync::Cache;
use tokio::sync::OnceCell;

/// How many features the compiled plans of one set of definitions may have together: some megabytes of SQL.
const PLANNED_FEATURES: u64 = 20_000;

/// What a file declares, and the plans that requests were answered by.
pub(crate) struct Declared {
    pub(crate) definitions: Arc<Definitions>,
    /// The file, word for word.
    pub(super) text: String,
    /// Since when they are in force; not known before Postgres has recorded it.
    pub(super) since: OnceCell<DateTime<Utc>>,
    plans: Cache<Selection, Arc<FeaturePlan>>,
}

/// Which features, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selection {
    pub(crate) features: Vec<FeatureRef>,
    pub(crate) purpose: String,
    /// What overrides the views' own policies.
    pub(crate) expired: Option<ExpiredPolicy>,
}

impl Declared {
    pub(super) fn new(definitions: Definitions, text: String) -> Self {
        let weight = |selection: &Selection, _: &Arc<FeaturePlan>| {
            u32::try_from(selection.features.len()).unwrap_or(u32::MAX)
        };
        let plans = Cache::builder().max_capacity(PLANNED_FEATURES).weigher(weight).build();
        Self { definitions: Arc::new(definitions), text, since: OnceCell::new(), plans }
    }

    /// The plan of a selection, compiled by the first request that asks for it.
    ///
    /// # Errors
    /// Names what cannot be asked for.
    pub(crate) fn plan(&self, selection: Selection) -> Result<Arc<FeaturePlan>, InvalidField> {
        if let Some(plan) = self.plans.get(&selection) {
            return Ok(plan);
        }
        let Selection { features, purpose, expired } = &selection;
        let plan = Arc::new(FeaturePlan::compile(&self.definitions, features, purpose, *expired)?);
        self.plans.insert(selection, plan.clone());
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BUILT_IN_DEFINITIONS;

    fn declared() -> Declared {
        Declared::new(Definitions::parse(BUILT_IN_DEFINITIONS).unwrap(), BUILT_IN_DEFINITIONS.to_owned())
    }

    fn selection(expired: Option<ExpiredPolicy>) -> Selection {
        let features = vec![FeatureRef::new("customer_profile", "annual_income")];
        Selection { features, purpose: "marketing".to_owned(), expired }
    }

    #[test]
    fn a_selection_is_compiled_once_and_another_policy_is_another_selection() {
        let declared = declared();

        let first = declared.plan(selection(None)).unwrap();
        let second = declared.plan(selection(None)).unwrap();
        let other = declared.plan(selection(Some(ExpiredPolicy::Null))).unwrap();

        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &other));
    }
}
