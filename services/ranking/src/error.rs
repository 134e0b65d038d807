//! What can go wrong in ranking, and the one place that words it for gRPC.

use std::{path::PathBuf, time::Duration};

use finrank_decisions::DecisionLogError;
use finrank_model::{InvalidField, InvalidFile, ModelVersion, ProductId, UserId};
use finrank_serving::{ServingError, status};
use thiserror::Error;
use tonic::{Code, Status};

use crate::index::IndexError;

/// When to try again what only a moment stands in the way of.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What ranking answers with.
pub type Result<T, E = RankingError> = std::result::Result<T, E>;

/// Why ranking cannot do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RankingError {
    /// Fields of a request do not hold what they must.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<InvalidField>),
    /// No such customer.
    #[error("there is no customer {0}")]
    UserNotFound(UserId),
    /// A customer without an embedding.
    #[error("customer {0} was written after the last refresh: run a refresh to compute the embedding")]
    UserNotMaterialised(UserId),
    /// No such product in the catalogue.
    #[error("there is no product {product_id} in the catalogue")]
    ProductNotFound {
        /// The product.
        product_id: ProductId,
        /// Where the request names it.
        field: String,
    },
    /// Nothing to rank yet.
    #[error(
        "there is no catalogue yet: nothing was refreshed (`finrank refresh`), the feature store has not sent it, or its model's \
         bundle is missing"
    )]
    NoCatalogue,
    /// The feature store no longer has this catalogue's model, and the next catalogue is not built yet.
    #[error(
        "the feature store no longer serves model {model_version}, and the next catalogue is not built yet"
    )]
    CatalogueOutdated {
        /// The catalogue's model.
        model_version: ModelVersion,
    },
    /// A vector and the catalogue cannot meet.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The feature store could not answer.
    #[error("the feature store answered {}: {}", .0.code(), .0.message())]
    FeatureStore(#[source] Status),
    /// The feature store answered something that breaks the contract.
    #[error("the feature store answered with {0}")]
    BadAnswer(String),
    /// The feature store does not declare what the policy asks it for.
    #[error(
        "the policy asks for feature service {service} for the purpose {purpose}, which the feature store refuses: \
         {refusal}"
    )]
    FactsNotDeclared {
        /// The feature service.
        service: String,
        /// The purpose.
        purpose: String,
        /// What the feature store says.
        refusal: String,
    },
    /// No place in the queue of the decision log came free.
    #[error("the decision log cannot be written, and nothing is decided that is not kept")]
    DecisionLogFull,
    /// No decisions are kept.
    #[error("this server keeps no decisions: ranking.decision_log.mode is off")]
    NoDecisionLog,
    /// The decision log.
    #[error(transparent)]
    DecisionLog(#[from] DecisionLogError),
    /// The policy's file is of no use.
    #[error(transparent)]
    Policy(FileError),
    /// The selection file is of no use.
    #[error(transparent)]
    Selection(FileError),
    /// The reason table's file is of no use.
    #[error(transparent)]
    Reasons(FileError),
    /// The feature store's URL is none.
    #[error("feature_store = {0:?} is not a URL such as http://127.0.0.1:50051")]
    FeatureStoreUrl(String),
    /// The server cannot be set up.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// A thread died.
    #[error("a worker thread failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Why a file that the settings name is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold together.
    #[error("{name} does not hold together:\n{source}")]
    Invalid {
        /// The file.
        name: String,
        /// Everything that is wrong with it.
        source: InvalidFile,
    },
}

impl From<InvalidField> for RankingError {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid(vec![invalid])
    }
}

impl From<RankingError> for Status {
    fn from(error: RankingError) -> Self {
        let message = error.to_string();
        match &error {
            RankingError::Invalid(fields) => status::invalid_fields(fields),
            RankingError::UserNotFound(_) => status::not_found("USER_NOT_FOUND", message, "user_id"),
            RankingError::UserNotMaterialised(_) => {
                status::failed_precondition("USER_NOT_MATERIALISED", message)
            }
            RankingError::ProductNotFound { field, .. } => {
                status::not_found("PRODUCT_NOT_FOUND", message, field)
            }
            RankingError::NoCatalogue => status::unavailable("NO_CATALOGUE", message, RETRY_AFTER),
            RankingError::CatalogueOutdated { .. } => {
                status::unavailable("CATALOGUE_OUTDATED", message, RETRY_AFTER)
            }
            RankingError::Index(IndexError::OtherSpace { .. }) => {
                status::failed_precondition("EMBEDDING_SPACE_MISMATCH", message)
            }
            RankingError::DecisionLogFull | RankingError::DecisionLog(DecisionLogError::Closed) => {
                let message = "the decision log cannot be written, and nothing is decided that is not kept";
                status::unavailable("DECISION_LOG_UNAVAILABLE", message, RETRY_AFTER)
            }
            RankingError::NoDecisionLog => status::failed_precondition("DECISION_LOG_OFF", message),
            RankingError::DecisionLog(DecisionLogError::NotFound(_)) => {
                status::not_found("DECISION_NOT_FOUND", message, "decision_id")
            }
            RankingError::DecisionLog(DecisionLogError::NotOffered { .. }) => {
                status::not_found("ITEM_NOT_OFFERED", message, "product_id")
            }
            RankingError::DecisionLog(DecisionLogError::InputsErased(_)) => {
                status::failed_precondition("INPUTS_ERASED", message)
            }
            RankingError::DecisionLog(DecisionLogError::InvalidOutcome(invalid)) => {
                status::invalid_field(invalid)
            }
            RankingError::DecisionLog(DecisionLogError::NoSuchPart { first, end, .. }) => {
                let field = if first > end { "first" } else { "last" };
                status::invalid_field(&InvalidField::new(field, message))
            }
            RankingError::DecisionLog(DecisionLogError::NotSignedYet(_)) => {
                status::failed_precondition("DECISION_NOT_SIGNED_YET", message)
            }
            RankingError::FactsNotDeclared { .. } => {
                status::failed_precondition("ELIGIBILITY_FACTS_NOT_DECLARED", message)
            }
            RankingError::Policy(FileError::Invalid { source: InvalidFile::Problems(problems), .. })
            | RankingError::Selection(FileError::Invalid {
                source: InvalidFile::Problems(problems), ..
            }) => status::invalid_fields(problems),
            RankingError::Policy(FileError::Invalid { .. }) => {
                status::invalid_field(&InvalidField::new("policy", message))
            }
            RankingError::Policy(FileError::Unreadable { .. }) => {
                status::failed_precondition("POLICY_UNUSABLE", message)
            }
            RankingError::Selection(FileError::Invalid { .. }) => {
                status::invalid_field(&InvalidField::new("selection", message))
            }
            RankingError::Selection(FileError::Unreadable { .. }) => {
                status::failed_precondition("SELECTION_UNUSABLE", message)
            }
            RankingError::FeatureStore(answer) => feature_store_failed(&error, answer),
            RankingError::Index(_)
            | RankingError::DecisionLog(_)
            | RankingError::BadAnswer(_)
            | RankingError::Reasons(_)
            | RankingError::FeatureStoreUrl(_)
            | RankingError::Serving(_)
            | RankingError::Thread(_) => status::internal(&error),
        }
    }
}

/// What a client of ours can act on of what the feature store said: to come back later, or that time is up.
fn feature_store_failed(error: &RankingError, answer: &Status) -> Status {
    match answer.code() {
        Code::Unavailable | Code::ResourceExhausted => {
            let message = "the feature store cannot be reached, and without it no customer is known";
            status::unavailable("FEATURE_STORE_UNAVAILABLE", message, RETRY_AFTER)
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            Status::deadline_exceeded("the feature store did not answer in time")
        }
        _ => status::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use finrank_model::EmbeddingSpace;
    use tonic_types::StatusExt;

    use super::*;

    fn refusal(error: RankingError) -> (Code, Option<String>, String) {
        let status = Status::from(error);
        let reason = status.get_details_error_info().map(|info| info.reason);
        (status.code(), reason, status.message().to_owned())
    }

    fn user() -> UserId {
        UserId::parse("u-7").unwrap()
    }

    #[test]
    fn a_refusal_says_what_to_do_in_a_code_a_reason_and_words() {
        let space = |raw| EmbeddingSpace::parse(raw).unwrap();
        let elsewhere = IndexError::OtherSpace { query: space("mine"), index: space("theirs") };
        let outdated = RankingError::CatalogueOutdated { model_version: ModelVersion::parse("m-1").unwrap() };
        let product_id = ProductId::parse("p-9").unwrap();
        let unknown_product =
            RankingError::ProductNotFound { product_id, field: "product_ids[2]".to_owned() };
        let cases = [
            (InvalidField::new("k", "is 0").into(), Code::InvalidArgument, "INVALID_FIELD", "k"),
            (RankingError::UserNotFound(user()), Code::NotFound, "USER_NOT_FOUND", "u-7"),
            (
                RankingError::UserNotMaterialised(user()),
                Code::FailedPrecondition,
                "USER_NOT_MATERIALISED",
                "refresh",
            ),
            (unknown_product, Code::NotFound, "PRODUCT_NOT_FOUND", "p-9"),
            (RankingError::NoCatalogue, Code::Unavailable, "NO_CATALOGUE", "no catalogue yet"),
            (outdated, Code::Unavailable, "CATALOGUE_OUTDATED", "m-1"),
            (elsewhere.into(), Code::FailedPrecondition, "EMBEDDING_SPACE_MISMATCH", "mine"),
        ];

        for (error, code, reason, word) in cases {
            let (found_code, found_reason, message) = refusal(error);

            assert_eq!((found_code, found_reason.as_deref()), (code, Some(reason)));
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_product_that_is_not_found_is_named_by_its_place_in_the_request() {
        let product_id = ProductId::parse("p-9").unwrap();

        let status =
            Status::from(RankingError::ProductNotFound { product_id, field: "product_ids[2]".to_owned() });

        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "product_ids[2]");
    }

    #[test]
    fn what_the_feature_store_answers_becomes_what_our_client_can_act_on() {
        let answered = |code| refusal(RankingError::FeatureStore(Status::new(code, "secret"))).0;

        assert_eq!(answered(Code::Unavailable), Code::Unavailable);
        assert_eq!(answered(Code::ResourceExhausted), Code::Unavailable);
        assert_eq!(answered(Code::DeadlineExceeded), Code::DeadlineExceeded);
        assert_eq!(answered(Code::Internal), Code::Internal);
    }

    #[test]
    fn what_is_broken_inside_is_not_told_outside() {
        let (code, _, message) = refusal(RankingError::BadAnswer("a secret".to_owned()));

        assert_eq!(code, Code::Internal);
        assert!(!message.contains("secret"), "{message}");
    }
}
