//! Why products are offered, as printed for whoever asks.

use std::fmt;

use finrank_contracts::ranking::v1::{ExplanationReport, ExplanationView, ExplanationWishes, Reason};
use serde::Serialize;

/// What to ask the ranking service for; the purpose is the one of its settings.
pub(super) fn wishes() -> ExplanationWishes {
    ExplanationWishes { view: ExplanationView::Reasons.into(), purpose: String::new() }
}

/// Something that speaks for a product, or what is told where nothing can be.
#[derive(Serialize)]
pub(crate) struct Why {
    code: String,
    pub(crate) text_en: String,
    text_zh: String,
    /// To the logit; 0 of what is no reason.
    contribution: f64,
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Self {
        let Reason { code, text_en, text_zh, contribution } = reason;
        Self { code, text_en, text_zh, contribution }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:+.2})", self.text_en, self.code, self.contribution)
    }
}

/// What is told of an answer that is not explained.
pub(crate) fn notice(report: Option<ExplanationReport>) -> Option<Why> {
    report.and_then(|report| report.notice).map(Why::from)
}
