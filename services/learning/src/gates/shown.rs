//! What a model is shown of the customers of the questions. As of now, features of events would tell what is hidden: a model
//! whose tower reads features is shown each customer as they were just before they acquired it.

use std::sync::Arc;

use finrank_model::{Bundle, UserRecord, features::Definitions};
use finrank_store::{Store, features::TowerFeatures};

use super::questions::Questions;
use crate::{Knowledge, Result, dataset::Dataset, source};

/// A customer per question; none of whom nothing was known at their moment.
pub(super) struct Shown(Vec<Option<UserRecord>>);

impl Shown {
    /// Reads what a model's tower reads.
    ///
    /// # Errors
    /// When the store does not answer, or what the tower reads is not declared any more.
    pub(super) async fn to(
        bundle: &Bundle,
        store: &Store,
        (dataset, questions): (&Dataset, &Questions),
        definitions: &Definitions,
        known: Knowledge,
    ) -> Result<Self> {
        let Some(set) = bundle.user.transform.feature_set() else {
            return Ok(Self(questions.records(dataset).into_iter().map(Some).collect()));
        };
        let features = TowerFeatures::compile(definitions, Arc::clone(set))?;
        // Of what nobody knows when it was acquired nobody knows what was known before.
        let dated: Vec<_> = questions.iter().filter_map(|question| question.moment(dataset)).collect();
        let mut read = source::just_before(store, known, &features, &dated).await?.into_iter();
        let shown = questions.iter().map(|question| {
            question.moment(dataset)?;
            let record = read.next().flatten()?;
            Some(question.hide(record, dataset))
        });
        Ok(Self(shown.collect()))
    }

    /// Leaves out questions that cannot be asked of every model, and says of how many customers each is shown the record.
    pub(super) fn keep_common(questions: &mut Questions, of_models: Vec<Self>) -> Vec<Vec<UserRecord>> {
        let can_be_asked: Vec<bool> = (0..questions.len())
            .map(|place| of_models.iter().all(|Self(shown)| shown[place].is_some()))
            .collect();
        questions.keep(&can_be_asked);
        let kept = |Self(shown): Self| {
            let asked = shown.into_iter().zip(&can_be_asked).filter(|(_, can_be_asked)| **can_be_asked);
            asked.filter_map(|(record, _)| record).collect()
        };
        of_models.into_iter().map(kept).collect()
    }
}
