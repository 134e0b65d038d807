//! What is tried beside the model that is served: the treatment of an experiment, which answers a share of customers from a
//! catalogue of its own, and the shadow, which is shown to nobody.

mod follow;
mod told;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use finrank_model::{Arm, Experiment, ModelVersion, UserId};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::follow::TrafficFollower;
use crate::{Generation, catalogue::CurrentCatalogue, popularity::KnownPopularity};

/// What is tried now, as far as this server knows.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    trial: ArcSwapOption<Trial>,
    shadow: ArcSwapOption<Shadow>,
}

/// A model that ranks what was decided once more.
#[derive(Clone, Debug)]
struct Shadow {
    /// What was served when it was set.
    control: ModelVersion,
    beside: Arc<Beside>,
}

/// An experiment in force, with what its treatment answers from.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// What was served when it was set.
    control: ModelVersion,
    experiment: Experiment,
    treatment: Arc<Beside>,
}

/// A catalogue beside the one that is served, followed for as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct Beside {
    version: ModelVersion,
    pub(crate) current: Arc<CurrentCatalogue>,
    pub(crate) popularity: KnownPopularity,
    following: AbortOnDropHandle<()>,
}

/// In which arm a customer is, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) experiment: Experiment,
    /// The version that is served.
    pub(crate) control: ModelVersion,
    pub(crate) arm: Arm,
    /// [`Arm::Control`] in the place of a treatment that cannot answer.
    pub(crate) answered_by: Arm,
}

impl Traffic {
    /// The experiment beside a generation that is served. A promotion ends it, which this server may hear of later than of the
    /// generation.
    pub(crate) fn trial(&self, served: &Generation) -> Option<Arc<Trial>> {
        self.trial.load_full().filter(|trial| trial.control == served.model_version)
    }

    /// What the shadow ranks from beside a version that is served, once there is a catalogue.
    pub(crate) fn shadow(&self, served: &ModelVersion) -> Option<Arc<Beside>> {
        let shadow = self.shadow.load_full().filter(|shadow| shadow.control == *served)?;
        shadow.beside.current.get().map(|_| Arc::clone(&shadow.beside))
    }
}

impl Trial {
    /// In which arm a customer is. Control answers while there is no catalogue of the treatment.
    pub(crate) fn assign(&self, user_id: &UserId) -> Assignment {
        let arm = self.experiment.arm_of(user_id);
        Assignment {
            experiment: self.experiment.clone(),
            control: self.control.clone(),
            arm,
            answered_by: if self.treatment.current.get().is_some() { arm } else { Arm::Control },
        }
    }

    /// What the treatment answers from.
    pub(crate) fn treatment(&self) -> &Beside {
        &self.treatment
    }
}

impl Beside {
    /// Of which model it is.
    pub(crate) fn version(&self) -> &ModelVersion {
        &self.version
    }
}

impl Assignment {
    /// The same customer, answered by the version that is served.
    pub(crate) fn in_place(self) -> Self {
        Self { answered_by: Arm::Control, ..self }
    }

    /// The model version of the customer's arm.
    pub(crate) fn version(&self) -> &ModelVersion {
        match self.arm {
            Arm::Control => &self.control,
            Arm::Treatment => &self.experiment.treatment,
        }
    }
}

#[cfg(test)]
mod tests {
    use finrank_model::{ExperimentName, Share};

    use super::*;
    use crate::fixtures::{catalogue, generation};

    /// Half of the customers are answered by m2 in the place of m1.
    fn trial() -> Trial {
        let beside = Beside {
            version: generation(2).model_version,
            current: Arc::default(),
            popularity: KnownPopularity::default(),
            following: AbortOnDropHandle::new(tokio::spawn(std::future::pending())),
        };
        let experiment = Experiment {
            name: ExperimentName::parse("spring").unwrap(),
            treatment: generation(2).model_version,
            share: Share::HALF,
        };
        Trial { control: generation(1).model_version, experiment, treatment: Arc::new(beside) }
    }

    fn arms(trial: &Trial) -> Vec<(Arm, Arm)> {
        let of = |customer: u32| trial.assign(&UserId::parse(format!("u{customer}")).unwrap());
        (0..20).map(of).map(|assigned| (assigned.arm, assigned.answered_by)).collect()
    }

    #[tokio::test]
    async fn control_answers_in_the_place_of_a_treatment_that_has_no_catalogue_yet() {
        let trial = trial();

        let before = arms(&trial);
        trial.treatment.current.publish(catalogue(&generation(2), &[]));
        let after = arms(&trial);

        assert!(before.iter().all(|(_, answered_by)| *answered_by == Arm::Control));
        assert!(after.iter().all(|(arm, answered_by)| arm == answered_by));
        let assigned = |arms: &[(Arm, Arm)]| arms.iter().map(|(arm, _)| *arm).collect::<Vec<_>>();
        assert_eq!(assigned(&before), assigned(&after));
        assert!(assigned(&after).contains(&Arm::Control) && assigned(&after).contains(&Arm::Treatment));
    }

    #[tokio::test]
    async fn an_experiment_counts_beside_its_own_control_alone() {
        let traffic = Traffic::default();
        let nothing = traffic.trial(&generation(1)).is_some();

        traffic.trial.store(Some(Arc::new(trial())));

        assert!(!nothing);
        assert!(traffic.trial(&generation(1)).is_some());
        assert!(traffic.trial(&generation(3)).is_none(), "another version was promoted meanwhile");
    }
}
