//! What can go wrong in the feature store, and the one place that words it for gRPC.

use std::{io, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::FeatureDenial;
use finrank_model::{
    InvalidEmbedding, InvalidField, InvalidFile, ModelError, ModelVersion, ProductId, UserId,
    features::UnusableFeatures,
};
use finrank_serving::{ServingError, status};
use finrank_store::{StoreError, bulk::BulkError, is_connection_lost};
use sqlx::migrate::MigrateError;
use thiserror::Error;
use tonic::Status;

use crate::refresh::RunId;

/// When to try again what only a moment stands in the way of.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What Postgres says of a statement that it has ended, at `statement_timeout` for one.
const QUERY_CANCELED: &str = "57014";
/// What the migration of the clock that goes back says to writers.
const CLOCK_WENT_BACK: &str = "FR001";

/// What the feature store answers with.
pub type Result<T, E = FeatureStoreError> = std::result::Result<T, E>;

/// Why the feature store cannot do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeatureStoreError {
    /// A request's field does not hold what it must.
    #[error(transparent)]
    InvalidField(#[from] InvalidField),
    /// No such model version is registered, or none at all.
    #[error("{}", match version {
        Some(version) => format!("model version {version} is not registered"),
        None => "no model version is registered yet: train one first".to_owned(),
    })]
    ModelVersionNotFound {
        /// The one asked for; absent when the newest one was.
        version: Option<ModelVersion>,
    },
    /// Nothing is held on such a customer.
    #[error("nothing is held on customer {user_id}")]
    CustomerNotFound {
        /// The one asked for.
        user_id: UserId,
    },
    /// There was no such product yet, and attributes alone are none.
    #[error("there is no product {product_id} at {moment}; write it first")]
    ProductNotFound {
        /// The one asked for.
        product_id: ProductId,
        /// The moment asked for.
        moment: DateTime<Utc>,
    },
    /// No such refresh run, or one whose generation was dropped since.
    #[error("there is no refresh run {run_id}")]
    RunNotFound {
        /// The one asked for.
        run_id: RunId,
    },
    /// Another model version's refresh has to end first.
    #[error("refresh run {run_id} of model version {version} is under way; start again when it has ended")]
    RefreshUnderWay {
        /// The run under way.
        run_id: RunId,
        /// Its model version.
        version: ModelVersion,
    },
    /// Each export holds a connection for as long as its client reads.
    #[error("{at_once} exports are under way and none has ended in a while; try again")]
    ExportsUnderWay {
        /// How many may be.
        at_once: u32,
    },
    /// A worker is just beginning or ending.
    #[error("a refresh is just beginning or ending; try again")]
    RefreshChanging,
    /// The worker was told to stop.
    #[error("the server was stopped; ask again, a refresh goes on from its whole partitions")]
    Stopped,
    /// The model version has not been refreshed to the end.
    #[error("model version {version} has no whole refresh; {}", match whole.as_slice() {
        [] => "no model version has".to_owned(),
        whole => format!("these have: {}", whole.join(", ")),
    })]
    NotWhole {
        /// The one asked for.
        version: ModelVersion,
        /// Those that can be asked for, newest first.
        whole: Vec<String>,
    },
    /// A worker is at a run that was completed, failed or cancelled meanwhile.
    #[error("refresh run {run_id} was ended meanwhile")]
    RunEnded {
        /// The run.
        run_id: RunId,
    },
    /// What has ended cannot be cancelled.
    #[error("refresh run {run_id} has ended and cannot be cancelled")]
    RunComplete {
        /// The run.
        run_id: RunId,
    },
    /// A part was to be computed of a model version that has no whole refresh.
    #[error(
        "model version {version} has no whole refresh that a part could be added to: refresh all of it first"
    )]
    NothingToAddTo {
        /// The model version.
        version: ModelVersion,
    },
    /// Nothing has been refreshed to the end.
    #[error("no refresh is whole yet: start one first")]
    NoGeneration,
    /// No such view is declared.
    #[error("there is no view {view:?}")]
    ViewNotFound {
        /// The one asked for.
        view: String,
    },
    /// The purpose does not allow what is asked for, and the contract has no word for a denied value.
    #[error("{purpose:?} does not allow {}", in_words(denials))]
    Denied {
        /// What was asked for.
        purpose: String,
        /// What it does not allow.
        denials: Vec<FeatureDenial>,
    },
    /// The file of feature definitions cannot be read.
    #[error("cannot read the feature definitions in {}: {source}", path.display())]
    NoDefinitionsFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The feature definitions do not hold together.
    #[error("{file}:\n{source}")]
    Definitions {
        /// The file, or where else they stand.
        file: String,
        /// Everything that is wrong.
        source: InvalidFile,
    },
    /// The promotion policy cannot be read.
    #[error("the promotion policy in {} cannot be used: {reason}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        reason: String,
    },
    /// No feature definitions were in force, or none has the digest.
    #[error("{}", match digest {
        Some(digest) => format!("there are no feature definitions with the digest {digest}"),
        None => format!("no feature definitions were in force at {moment}"),
    })]
    NoDefinitions {
        /// The one asked for.
        digest: Option<String>,
        /// The moment asked for.
        moment: DateTime<Utc>,
    },
    /// Postgres has not been asked yet which statements can be read.
    #[error("features are not ready to be served; try again")]
    NoHorizon,
    /// A bundle that cannot be used.
    #[error("the model's bundle cannot be used: {0}")]
    Bundle(#[source] ModelError),
    /// The definitions do not give what the model was trained on.
    #[error("model version {version} reads features that cannot be given any more: {source}")]
    FeaturesUnusable {
        /// The model version.
        version: ModelVersion,
        /// Each feature, and what is wrong with it.
        source: UnusableFeatures,
    },
    /// A tower computed something that is no embedding.
    #[error("the tower failed: {0}")]
    Encode(#[source] ModelError),
    /// A stored vector that is no embedding of its model.
    #[error("a stored vector {0}")]
    StoredVector(#[source] InvalidEmbedding),
    /// A stored row that does not hold what every writer checks.
    #[error("a stored row is not valid: {0}")]
    StoredRow(#[source] InvalidField),
    /// What `finrank_store` says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Postgres refused a statement, or cannot be reached.
    #[error("Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// Postgres refused a bulk write, or cannot be reached.
    #[error("Postgres: {0}")]
    Bulk(#[from] BulkError),
    /// A bulk write did not get through.
    #[error("Postgres: {0}")]
    Copy(#[source] io::Error),
    /// The server cannot be set up.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// A thread died.
    #[error("a worker thread failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl FeatureStoreError {
    /// Whether it is the way to Postgres that failed, and not what was asked of it.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Store(StoreError::Unreachable { .. }) => true,
            Self::Store(StoreError::Migrate(MigrateError::Execute(error)))
            | Self::Store(StoreError::Query(error))
            | Self::Database(error) => is_out_of_reach(error),
            Self::Store(StoreError::Bulk(error)) | Self::Bulk(error) => error.is_closed(),
            _ => false,
        }
    }

    /// Whether Postgres refused a statement, and says so by this code.
    fn is_refused_by(&self, code: &str) -> bool {
        let (Self::Store(StoreError::Query(error)) | Self::Database(error)) = self else { return false };
        let refused = error.as_database_error().and_then(|refusal| refusal.code().map(String::from));
        refused.is_some_and(|refused| refused == code)
    }
}

impl From<postgres::Error> for FeatureStoreError {
    fn from(error: postgres::Error) -> Self {
        Self::Bulk(error.into())
    }
}

impl From<FeatureStoreError> for Status {
    fn from(error: FeatureStoreError) -> Self {
        let message = error.to_string();
        match &error {
            FeatureStoreError::InvalidField(invalid) => status::invalid_field(invalid),
            FeatureStoreError::ModelVersionNotFound { .. } => {
                status::not_found("MODEL_VERSION_NOT_FOUND", message, "model_version")
            }
            FeatureStoreError::CustomerNotFound { .. } => {
                status::not_found("USER_NOT_FOUND", message, "user_id")
            }
            FeatureStoreError::ProductNotFound { .. } => {
                status::not_found("PRODUCT_NOT_FOUND", message, "product_id")
            }
            FeatureStoreError::Denied { denials, .. } => {
                let denied = denials.iter().map(|denial| (denial.feature.clone(), allowed(denial)));
                status::permission_denied("PURPOSE_NOT_ALLOWED", message, denied)
            }
            FeatureStoreError::ViewNotFound { .. } => {
                status::not_found("FEATURE_VIEW_NOT_FOUND", message, "view")
            }
            FeatureStoreError::RunNotFound { .. } => {
                status::not_found("REFRESH_RUN_NOT_FOUND", message, "run_id")
            }
            FeatureStoreError::RefreshUnderWay { .. } => {
                status::failed_precondition("REFRESH_UNDER_WAY", message)
            }
            FeatureStoreError::Store(StoreError::InvalidField(invalid)) => status::invalid_field(invalid),
            FeatureStoreError::Store(StoreError::UnknownModel { .. }) => {
                status::not_found("MODEL_VERSION_NOT_FOUND", message, "model_version")
            }
            FeatureStoreError::Store(StoreError::PromotionRefused { .. }) => {
                status::failed_precondition("PROMOTION_REFUSED", message)
            }
            FeatureStoreError::Store(StoreError::RollbackRefused { .. }) => {
                status::failed_precondition("ROLLBACK_REFUSED", message)
            }
            FeatureStoreError::Store(StoreError::TrafficRefused { .. }) => {
                status::failed_precondition("TRAFFIC_REFUSED", message)
            }
            FeatureStoreError::Policy { .. } => status::failed_precondition("POLICY_UNUSABLE", message),
            FeatureStoreError::NotWhole { .. } => {
                status::failed_precondition("MODEL_VERSION_NOT_WHOLE", message)
            }
            FeatureStoreError::RunComplete { .. } => status::failed_precondition("REFRESH_COMPLETE", message),
            FeatureStoreError::NothingToAddTo { .. } => status::failed_precondition("NO_GENERATION", message),
            FeatureStoreError::NoGeneration => status::failed_precondition("NO_GENERATION", message),
            FeatureStoreError::Definitions { .. } | FeatureStoreError::NoDefinitionsFile { .. } => {
                status::failed_precondition("FEATURE_DEFINITIONS_UNUSABLE", message)
            }
            FeatureStoreError::FeaturesUnusable { .. } => {
                status::failed_precondition("MODEL_FEATURES_UNUSABLE", message)
            }
            FeatureStoreError::Bundle(_) => status::failed_precondition("BUNDLE_UNUSABLE", message),
            FeatureStoreError::Store(StoreError::FeatureExpired { .. }) => {
                status::failed_precondition("FEATURE_EXPIRED", message)
            }
            FeatureStoreError::NoDefinitions { digest, .. } => {
                let field = if digest.is_some() { "definitions_sha256" } else { "moment" };
                status::not_found("FEATURE_DEFINITIONS_NOT_FOUND", message, field)
            }
            FeatureStoreError::NoHorizon => status::unavailable("FEATURES_NOT_READY", message, RETRY_AFTER),
            FeatureStoreError::RefreshChanging => {
                status::unavailable("REFRESH_CHANGING", message, RETRY_AFTER)
            }
            FeatureStoreError::ExportsUnderWay { .. } => {
                status::unavailable("EXPORTS_UNDER_WAY", message, RETRY_AFTER)
            }
            FeatureStoreError::Stopped => status::unavailable("STOPPED", message, RETRY_AFTER),
            _ if error.is_refused_by(CLOCK_WENT_BACK) => {
                let message = "the clock of Postgres went back; nothing is written until it has caught up";
                status::unavailable("CLOCK_WENT_BACK", message, RETRY_AFTER)
            }
            _ if error.is_refused_by(QUERY_CANCELED) => {
                status::unavailable("POSTGRES_TOO_SLOW", "Postgres did not answer in time", RETRY_AFTER)
            }
            _ if error.is_out_of_reach() => {
                status::unavailable("POSTGRES_UNAVAILABLE", "Postgres cannot be reached", RETRY_AFTER)
            }
            _ => status::internal(&error),
        }
    }
}

/// What is denied, and why.
fn in_words(denials: &[FeatureDenial]) -> String {
    let denied = denials.iter().map(|denial| format!("{}, which {}", denial.feature, allowed(denial)));
    denied.collect::<Vec<_>>().join("; ")
}

/// What a denied feature may be asked for.
fn allowed(denial: &FeatureDenial) -> String {
    let reason = if denial.protected { "is protected and" } else { "is" };
    match denial.allowed_purposes.as_slice() {
        [] => format!("{reason} served for no purpose"),
        purposes => format!("{reason} served for {} only", purposes.join(", ")),
    }
}

fn is_out_of_reach(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, PoolClosed, PoolTimedOut};
    match error {
        PoolTimedOut | PoolClosed => true,
        // It takes no more connections.
        Database(refusal) if refusal.code().is_some_and(|code| code == "53300") => true,
        error => is_connection_lost(error),
    }
}
