//! Arms: which catalogue answers which customers of a request. Without an experiment all are answered from the one that is
//! served.

use std::sync::Arc;

use finrank_contracts::ranking::v1;
use finrank_model::{Arm, UserId};

use super::{RankingService, Users};
use crate::{
    RankingError, Result,
    catalogue::CurrentCatalogue,
    deadline::Deadline,
    popularity::KnownPopularity,
    traffic::{Assignment, Trial},
};

/// The customers of a request, each in an arm if there is an experiment.
#[derive(Debug)]
pub(super) struct Arms {
    trial: Option<Arc<Trial>>,
    /// In the order asked.
    assigned: Vec<Option<Assignment>>,
}

/// What an arm's customers are answered from.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) current: &'a CurrentCatalogue,
    pub(super) popularity: &'a KnownPopularity,
}

impl Arms {
    pub(super) fn of(trial: Option<Arc<Trial>>, user_ids: &[UserId]) -> Self {
        let assigned = user_ids.iter().map(|user_id| trial.as_ref().map(|trial| trial.assign(user_id)));
        Self { assigned: assigned.collect(), trial }
    }

    /// What the customers of an arm are answered from; there is no treatment without an experiment.
    pub(super) fn side<'a>(&'a self, service: &'a RankingService, arm: Arm) -> Side<'a> {
        match (arm, &self.trial) {
            (Arm::Treatment, Some(trial)) => {
                let beside = trial.treatment();
                Side { current: &beside.current, popularity: &beside.popularity }
            }
            _ => Side { current: &service.current, popularity: &service.popularity },
        }
    }

    /// Of things in the order asked, those of the customers whom an arm answers.
    pub(super) fn answered_by<'a, T>(&self, arm: Arm, things: &'a [T]) -> impl Iterator<Item = &'a T> {
        self.answering().zip(things).filter(move |(answering, _)| *answering == arm).map(|(_, thing)| thing)
    }

    /// What was made for the customers whom either arm answers, in the order asked, with their assignments.
    pub(super) fn merged<T>(
        self,
        control: impl IntoIterator<Item = T>,
        treatment: impl IntoIterator<Item = T>,
    ) -> impl Iterator<Item = (Option<Assignment>, T)> {
        let (mut control, mut treatment) = (control.into_iter(), treatment.into_iter());
        self.assigned.into_iter().filter_map(move |assigned| {
            let next = match answering(assigned.as_ref()) {
                Arm::Control => control.next(),
                Arm::Treatment => treatment.next(),
            };
            next.map(|next| (assigned, next))
        })
    }

    /// Who answers each, in the order asked.
    pub(super) fn answering(&self) -> impl Iterator<Item = Arm> {
        self.assigned.iter().map(|assigned| answering(assigned.as_ref()))
    }

    /// Control answers everybody.
    fn all_in_place(&mut self) {
        for assigned in &mut self.assigned {
            *assigned = assigned.take().map(Assignment::in_place);
        }
    }
}

fn answering(assigned: Option<&Assignment>) -> Arm {
    assigned.map_or(Arm::Control, |assigned| assigned.answered_by)
}

impl RankingService {
    /// Customers' embeddings from the catalogue that answers them, both arms at once; nobody is asked about nobody. A treatment
    /// whose embeddings the feature store has no more is answered by control.
    pub(super) async fn users_by_arm(
        &self,
        arms: &mut Arms,
        user_ids: &[UserId],
        deadline: Deadline,
    ) -> [Option<Result<Users>>; 2] {
        let ask = async |arms: &Arms, arm| {
            let asked: Vec<UserId> = arms.answered_by(arm, user_ids).cloned().collect();
            match asked.as_slice() {
                [] => None,
                asked => Some(self.users(arms.side(self, arm).current, asked, deadline).await),
            }
        };
        let (control, treatment) = tokio::join!(ask(arms, Arm::Control), ask(arms, Arm::Treatment));
        match treatment {
            Some(Err(RankingError::CatalogueOutdated { .. })) => {
                arms.all_in_place();
                [ask(arms, Arm::Control).await, None]
            }
            treatment => [control, treatment],
        }
    }
}

/// In which arm a customer is, for the answer and for the log.
pub(super) fn experiment_arm(assigned: &Assignment) -> v1::ExperimentArm {
    let arm = match assigned.arm {
        Arm::Control => v1::Arm::Control,
        Arm::Treatment => v1::Arm::Treatment,
    };
    v1::ExperimentArm {
        name: assigned.experiment.name.to_string(),
        arm: arm.into(),
        model_version: assigned.version().to_string(),
        control_in_place: assigned.arm != assigned.answered_by,
    }
}

/// Counts a decision for its arm.
pub(super) fn count(assigned: &Assignment) {
    let (arm, answered_by) = (assigned.arm.as_str(), assigned.answered_by.as_str());
    metrics::counter!("finrank_ranking_arm_decisions_total", "arm" => arm, "answered_by" => answered_by)
        .increment(1);
}
