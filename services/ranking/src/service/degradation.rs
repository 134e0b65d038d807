//! The rung of an answer in the contract's words: for the answer, the log's record, and the debug view.

use finrank_contracts::ranking::v1;

use crate::pipeline::{Degradation, Passed, Reason, Rung};

/// Among whom products are popular: nobody is told apart.
const EVERYONE: &str = "all";

/// On which rung an answer stands, and why.
pub(super) fn degradation(degradation: &Degradation) -> v1::Degradation {
    let age = match degradation.rung {
        Rung::Stale { age } => age.try_into().ok(),
        Rung::Fallback | Rung::Empty => None,
    };
    let segment = match degradation.rung {
        Rung::Fallback => EVERYONE.to_owned(),
        Rung::Stale { .. } | Rung::Empty => String::new(),
    };
    v1::Degradation {
        rung: rung(degradation.rung).into(),
        reason: reason(degradation.reason).into(),
        age,
        segment,
    }
}

fn rung(rung: Rung) -> v1::DegradationRung {
    match rung {
        Rung::Stale { .. } => v1::DegradationRung::Stale,
        Rung::Fallback => v1::DegradationRung::Fallback,
        Rung::Empty => v1::DegradationRung::Empty,
    }
}

fn reason(reason: Reason) -> v1::DegradationReason {
    match reason {
        Reason::NewCustomer => v1::DegradationReason::NewCustomer,
        Reason::EmbeddingUnavailable => v1::DegradationReason::EmbeddingUnavailable,
        Reason::EmbeddingLate => v1::DegradationReason::EmbeddingLate,
        Reason::ModelOutdated => v1::DegradationReason::ModelOutdated,
        Reason::CatalogueEmpty => v1::DegradationReason::CatalogueEmpty,
    }
}

/// A rung above it, and why it was passed over.
pub(super) fn passed_rung(passed: Passed) -> v1::PassedRung {
    let (rung, why) = match passed {
        Passed::StaleNotAllowed => (v1::DegradationRung::Stale, "NOT_ALLOWED"),
        Passed::StaleOfNewCustomer => (v1::DegradationRung::Stale, "NEW_CUSTOMER"),
        Passed::StaleNotKept => (v1::DegradationRung::Stale, "NONE_KEPT"),
        Passed::FallbackNotAllowed => (v1::DegradationRung::Fallback, "NOT_ALLOWED"),
        Passed::FallbackUnknown => (v1::DegradationRung::Fallback, "POPULARITY_UNKNOWN"),
    };
    v1::PassedRung { rung: rung.into(), why: why.to_owned() }
}
