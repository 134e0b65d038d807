//! Asks now and then what is tried, and keeps a catalogue for it as long as it is. A feature store that is away changes nothing.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use finrank_model::{Experiment, ModelVersion};
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use tracing::{error, info, warn};

use super::{
    Beside, Shadow, Traffic, Trial,
    told::{InForce, in_force},
};
use crate::{TrafficConfig, catalogue::CurrentCatalogue, subscription::Subscription};

/// Where approximate indexes of the treatment's catalogue are kept, in the directory of those that are served.
const TREATMENT: &str = "treatment";
/// And those of the shadow's.
const SHADOW: &str = "shadow";
/// Before the feature store is asked again whether anything is tried, while nothing can be served anyway.
const WAIT_AT_START: Duration = Duration::from_millis(200);

/// Keeps what is known of traffic up to date.
pub(crate) struct TrafficFollower {
    pub(crate) traffic: Arc<Traffic>,
    /// That of the version that is served; others are followed as it is.
    pub(crate) subscription: Subscription,
    pub(crate) config: TrafficConfig,
}

#[derive(Debug, Error)]
enum Unknown {
    #[error("the feature store answered {}: {}", .0.code(), .0.message())]
    Refused(#[from] Status),
    #[error("what the feature store says is in traffic cannot be used: {0}")]
    Unusable(#[from] finrank_model::InvalidField),
}

impl Unknown {
    /// Whether there is nobody who could say.
    fn is_away(&self) -> bool {
        let away = |code| {
            matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
        };
        matches!(self, Self::Refused(status) if away(status.code()))
    }
}

impl TrafficFollower {
    /// Returns once the feature store has said what is tried, or that it does not say.
    pub(crate) async fn until_known(&self) {
        while let Err(unknown) = self.ask().await {
            if !unknown.is_away() {
                return;
            }
            sleep(WAIT_AT_START).await;
        }
    }

    /// Follows for ever.
    pub(crate) async fn follow(self) -> Infallible {
        let mut said = None;
        loop {
            sleep(self.config.interval).await;
            match self.ask().await {
                Ok(()) => said = None,
                Err(unknown) => {
                    let why = unknown.to_string();
                    if said.as_ref() != Some(&why) {
                        warn!(%unknown, "what is tried beside the served model stays as it is");
                        said = Some(why);
                    }
                }
            }
        }
    }

    async fn ask(&self) -> Result<(), Unknown> {
        self.take(in_force(self.subscription.feature_store.traffic().await?)?);
        Ok(())
    }

    /// Puts into force what is in force.
    fn take(&self, in_force: Option<InForce>) {
        let (trial, shadow) = match in_force {
            Some(InForce { control, experiment, shadow }) => (
                experiment.map(|experiment| (control.clone(), experiment)),
                shadow.map(|shadow| (control, shadow)),
            ),
            None => (None, None),
        };
        self.take_trial(trial);
        self.take_shadow(shadow);
    }

    fn take_trial(&self, told: Option<(ModelVersion, Experiment)>) {
        let before = self.traffic.trial.load_full();
        let now = told.map(|(control, experiment)| {
            let kept = before.as_ref().map(|before| &before.treatment);
            let treatment = self.kept_or_begun(kept, &experiment.treatment, TREATMENT);
            Trial { control, experiment, treatment }
        });
        match (&before, &now) {
            (None, None) => return,
            (Some(before), Some(now)) if before.is(now) => return,
            (_, Some(Trial { control, experiment, .. })) => info!(
                name = %experiment.name,
                %control,
                treatment = %experiment.treatment,
                share = experiment.share.get(),
                "an experiment is in force"
            ),
            (Some(_), None) => info!("no experiment is in force any more"),
        }
        self.traffic.trial.store(now.map(Arc::new));
    }

    fn take_shadow(&self, told: Option<(ModelVersion, ModelVersion)>) {
        let before = self.traffic.shadow.load_full();
        let now = told.map(|(control, version)| {
            let kept = before.as_ref().map(|before| &before.beside);
            Shadow { control, beside: self.kept_or_begun(kept, &version, SHADOW) }
        });
        match (&before, &now) {
            (None, None) => return,
            (Some(before), Some(now)) if before.is(now) => return,
            (_, Some(Shadow { control, beside })) => {
                info!(%control, shadow = %beside.version, "a shadow is in force");
            }
            (Some(_), None) => info!("no shadow is in force any more"),
        }
        self.traffic.shadow.store(now.map(Arc::new));
    }

    /// The catalogue of before if it is of this version, or another one, followed from now on.
    fn kept_or_begun(
        &self,
        kept: Option<&Arc<Beside>>,
        version: &ModelVersion,
        indexes: &str,
    ) -> Arc<Beside> {
        let kept = kept.filter(|beside| beside.version == *version && beside.is_followed());
        kept.cloned().unwrap_or_else(|| Arc::new(self.beside(version, indexes)))
    }

    /// A catalogue of another version, followed from now on.
    fn beside(&self, version: &ModelVersion, indexes: &str) -> Beside {
        let current = Arc::new(CurrentCatalogue::default());
        let mut index = self.subscription.index.clone();
        index.config.directory =
            index.config.directory.as_deref().map(|directory: &Path| directory.join(indexes));
        let subscription = Subscription {
            version: Some(version.clone()),
            current: Arc::clone(&current),
            index,
            health: None,
            ..self.subscription.clone()
        };
        let following = tokio::spawn(async move {
            subscription.follow().await;
        });
        Beside {
            version: version.clone(),
            current,
            popularity: Default::default(),
            following: AbortOnDropHandle::new(following),
        }
    }
}

impl Trial {
    /// Whether both are the same, followed by the same task.
    fn is(&self, other: &Self) -> bool {
        self.control == other.control
            && self.experiment == other.experiment
            && Arc::ptr_eq(&self.treatment, &other.treatment)
    }
}

impl Shadow {
    fn is(&self, other: &Self) -> bool {
        self.control == other.control && Arc::ptr_eq(&self.beside, &other.beside)
    }
}

impl Beside {
    /// Whether it is still kept up to date.
    fn is_followed(&self) -> bool {
        let ended = self.following.is_finished();
        if ended {
            error!(version = %self.version, "nobody follows a catalogue any more; it is followed anew");
        }
        !ended
    }
}
