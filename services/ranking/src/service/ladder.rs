//! The ladder: by what to rank a customer whose embedding cannot be had. It only ever changes what ranks. Facts and holdings,
//! which allow, have no rungs: without them nothing is offered.

use std::{sync::Arc, time::Duration};

use finrank_model::{ModelVersion, UserId};
use finrank_policy::Policy;
use tonic::{Code, Status};

use super::{RankingService, eligibility::KnownCustomer};
use crate::{
    DegradationConfig, RankingError, Result,
    catalogue::Catalogue,
    deadline::Deadline,
    feature_store::UserEmbedding,
    last_known::LastKnown,
    pipeline::{Basis, Degradation, Passed, Reason, Rung},
    popularity::{KnownPopularity, Popularity},
};

/// Of what is left of a request's deadline: the embedding's share. The other half is enough to do without.
const EMBEDDING_SHARE: f64 = 0.5;
/// That of facts and holdings: a refusal for want of them should reach who asks before they hang up.
const KNOWING_SHARE: f64 = 0.9;
/// That of popularity, and then that of what towers have read, both asked for once embedding, facts and holdings have taken
/// theirs.
const AFTERWARDS_SHARE: f64 = 0.5;

/// Which rungs there are, and what they stand on.
#[derive(Debug)]
pub(crate) struct Ladder {
    config: DegradationConfig,
    last_known: LastKnown,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Somebody in front of a page: a ranking that is second best now is better than the best one later.
    Page,
    /// A batch, which can be run again: only what is missing of a customer alone degrades their answer.
    Batch,
}

/// Why there is no embedding of a customer, as far as an answer can do without one.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    NewCustomer(UserId),
    FeatureStore(Status),
    ModelOutdated(ModelVersion),
}

/// By what a customer is ranked, as far as that can be told before it is known how popular products are.
#[derive(Debug)]
pub(super) enum Footing {
    Profile(UserEmbedding),
    /// The customer objects to profiling.
    Popularity,
    Stale(UserEmbedding, Degradation),
    /// What most people hold, or else what `missing` leads to.
    Fallback {
        missing: Missing,
        passed: Vec<Passed>,
    },
    Empty(Degradation),
}

impl Ladder {
    pub(crate) fn new(config: DegradationConfig) -> Self {
        Self { last_known: LastKnown::new(&config), config }
    }

    /// Until when the lookup of embeddings may take.
    pub(super) fn for_embeddings(&self, waiting: Waiting, deadline: Deadline) -> Deadline {
        match waiting {
            Waiting::Page => deadline.share(EMBEDDING_SHARE, self.config.embedding_wait),
            Waiting::Batch => deadline,
        }
    }

    /// Until when those of facts and holdings may.
    pub(super) fn for_knowing(waiting: Waiting, deadline: Deadline) -> Deadline {
        match waiting {
            Waiting::Page => deadline.share(KNOWING_SHARE, Duration::MAX),
            Waiting::Batch => deadline,
        }
    }

    /// Until when that of what towers have read may.
    pub(super) fn for_why(waiting: Waiting, deadline: Deadline) -> Deadline {
        match waiting {
            Waiting::Page => deadline.share(AFTERWARDS_SHARE, Duration::MAX),
            Waiting::Batch => deadline,
        }
    }

    /// By what to rank a customer.
    ///
    /// # Errors
    /// When there is no such customer, or something is amiss that no rung is for.
    pub(super) fn footing(
        &self,
        known: &KnownCustomer,
        policy: &Policy,
        catalogue: &Catalogue,
        embedding: Result<UserEmbedding, NoEmbedding>,
    ) -> Result<Footing> {
        let user_id = &known.user_id;
        let is_of_nobody = match &embedding {
            Ok(_) => false,
            Err(NoEmbedding::Refused(error)) => matches!(**error, RankingError::UserNotFound(_)),
            Err(NoEmbedding::Missing(_)) => known.is_of_nobody(),
        };
        if is_of_nobody {
            self.last_known.forget(user_id);
            return Err(RankingError::UserNotFound(user_id.clone()));
        }
        if catalogue.is_empty() {
            let (rung, reason) = (Rung::Empty, Reason::CatalogueEmpty);
            return Ok(Footing::Empty(Degradation { rung, reason, passed: Vec::new() }));
        }
        if !policy.may_profile(&known.facts) {
            self.last_known.forget(user_id);
            return Ok(Footing::Popularity);
        }
        match embedding {
            Ok(user) => {
                self.last_known.keep(user_id, &user, catalogue.generation());
                Ok(Footing::Profile(user))
            }
            Err(NoEmbedding::Refused(error)) => Err(*error),
            Err(NoEmbedding::Missing(missing)) => Ok(self.without(missing, user_id, catalogue)),
        }
    }

    fn without(&self, missing: Missing, user_id: &UserId, catalogue: &Catalogue) -> Footing {
        let passed = if let Missing::NewCustomer(_) = missing {
            // Perhaps somebody was erased, and this is somebody else of the same id.
            self.last_known.forget(user_id);
            Passed::StaleOfNewCustomer
        } else if !self.last_known.is_allowed() {
            Passed::StaleNotAllowed
        } else if let Some((user, age)) = self.last_known.of(user_id, catalogue.generation()) {
            let (rung, reason) = (Rung::Stale { age }, missing.reason());
            return Footing::Stale(user, Degradation { rung, reason, passed: Vec::new() });
        } else {
            Passed::StaleNotKept
        };
        Footing::Fallback { missing, passed: vec![passed] }
    }

    /// Whether anybody needs to know how popular products are.
    pub(super) fn asks_for_popularity(&self, footing: &Footing) -> bool {
        match footing {
            Footing::Popularity => true,
            Footing::Fallback { .. } => self.config.popular,
            Footing::Profile(_) | Footing::Stale(..) | Footing::Empty(_) => false,
        }
    }

    /// By what the pipeline ranks, and what to say of it.
    ///
    /// # Errors
    /// When no rung is left that the settings allow.
    pub(super) fn basis(
        &self,
        footing: Footing,
        popularity: Option<&Arc<Popularity>>,
    ) -> Result<(Basis, Option<Degradation>)> {
        let profile = |user: UserEmbedding| Basis::Profile { user: user.embedding, generation: user.run_id };
        Ok(match footing {
            Footing::Profile(user) => (profile(user), None),
            Footing::Popularity => (Basis::Popularity(popularity.cloned()), None),
            Footing::Stale(user, degradation) => (profile(user), Some(degradation)),
            Footing::Empty(degradation) => (Basis::Nothing, Some(degradation)),
            Footing::Fallback { missing, mut passed } => {
                let reason = missing.reason();
                let (basis, rung) = match popularity.filter(|_| self.config.popular) {
                    Some(popularity) => (Basis::Popularity(Some(Arc::clone(popularity))), Rung::Fallback),
                    None if self.config.empty => {
                        let known = [Passed::FallbackNotAllowed, Passed::FallbackUnknown];
                        passed.push(known[usize::from(self.config.popular)]);
                        (Basis::Nothing, Rung::Empty)
                    }
                    None => return Err(missing.into()),
                };
                (basis, Some(Degradation { rung, reason, passed }))
            }
        })
    }
}

impl RankingService {
    /// How popular products are, for who objects to profiling, and for whom nothing better is known.
    pub(super) async fn popularity(
        &self,
        known: &KnownPopularity,
        catalogue: &Arc<Catalogue>,
        policy: &Policy,
        deadline: Deadline,
    ) -> Option<Arc<Popularity>> {
        let deadline = deadline.share(AFTERWARDS_SHARE, Duration::MAX);
        let contents = self.log.as_ref().map(|log| &log.contents);
        known.of(catalogue, policy.profiling()?, &self.feature_store, contents, deadline).await
    }
}

impl Footing {
    /// Whether the model scores.
    pub(super) fn is_by_the_model(&self) -> bool {
        matches!(self, Self::Profile(_) | Self::Stale(..))
    }
}

/// Why there is no embedding of a customer.
#[derive(Debug)]
pub(super) enum NoEmbedding {
    /// An answer can do without one.
    Missing(Missing),
    /// Something is amiss that no rung is for.
    Refused(Box<RankingError>),
}

impl From<RankingError> for NoEmbedding {
    fn from(error: RankingError) -> Self {
        match error {
            RankingError::UserNotMaterialised(user_id) => Self::Missing(Missing::NewCustomer(user_id)),
            RankingError::CatalogueOutdated { model_version } => {
                Self::Missing(Missing::ModelOutdated(model_version))
            }
            RankingError::FeatureStore(status) if may_pass(status.code()) => {
                Self::Missing(Missing::FeatureStore(status))
            }
            error => Self::Refused(error.into()),
        }
    }
}

/// What a feature store answers that is down, overloaded, slow or broken. Any other answer says that it and this server
/// misunderstand each other, which nothing should cover up.
fn may_pass(code: Code) -> bool {
    is_late(code)
        || matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::Internal | Code::Unknown)
}

/// Tonic's client says CANCELLED where the server would say DEADLINE_EXCEEDED.
fn is_late(code: Code) -> bool {
    matches!(code, Code::DeadlineExceeded | Code::Cancelled)
}

impl Missing {
    fn reason(&self) -> Reason {
        match self {
            Self::NewCustomer(_) => Reason::NewCustomer,
            Self::FeatureStore(status) if is_late(status.code()) => Reason::EmbeddingLate,
            Self::FeatureStore(_) => Reason::EmbeddingUnavailable,
            Self::ModelOutdated(_) => Reason::ModelOutdated,
        }
    }
}

impl From<Missing> for RankingError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::NewCustomer(user_id) => Self::UserNotMaterialised(user_id),
            Missing::FeatureStore(status) => Self::FeatureStore(status),
            Missing::ModelOutdated(model_version) => Self::CatalogueOutdated { model_version },
        }
    }
}
