//! The debug view: which of its fields a request asks for, and what they say.

use finrank_contracts::ranking::v1;
use finrank_model::InvalidField;

use super::{degradation::passed_rung, response::count, selection::pin_report};
use crate::{
    index::Plan,
    pipeline::{Decision, Degradation, Stage, StageReport},
};

/// The fields of the debug view that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DebugFields {
    stages: bool,
    retrieval_plan: bool,
    passed_rungs: bool,
    pins: bool,
}

impl DebugFields {
    /// From the paths of a mask: a field's name each, or `*` for all.
    ///
    /// # Errors
    /// Names the first path that is no field of the view, by its place.
    pub(super) fn parse(paths: &[String]) -> Result<Self, InvalidField> {
        let mut asked = Self::default();
        for (place, path) in paths.iter().enumerate() {
            match path.as_str() {
                "*" => {
                    asked = Self { stages: true, retrieval_plan: true, pins: true, passed_rungs: true };
                }
                "stages" => asked.stages = true,
                "retrieval_plan" => asked.retrieval_plan = true,
                "pins" => asked.pins = true,
                "passed_rungs" => asked.passed_rungs = true,
                _ => {
                    let reason = format!(
                        "is {path:?}; may be stages, retrieval_plan, pins, passed_rungs, or * for all"
                    );
                    return Err(InvalidField::new(format!("debug.paths[{place}]"), reason));
                }
            }
        }
        Ok(asked)
    }

    /// What they say of a decision; `None` when nothing is asked for.
    pub(super) fn of(self, decision: &Decision) -> Option<v1::DebugView> {
        if self == Self::default() {
            return None;
        }
        let stages = self.stages.then(|| decision.stages.iter().map(stage_report).collect());
        let plan = decision.plan.as_ref().filter(|_| self.retrieval_plan);
        let degradation = decision.degradation.as_ref().filter(|_| self.passed_rungs);
        let pins = self.pins.then(|| decision.business.pins.iter().map(pin_report).collect());
        Some(v1::DebugView {
            stages: stages.unwrap_or_default(),
            retrieval_plan: plan.map(retrieval_plan),
            pins: pins.unwrap_or_default(),
            passed_rungs: degradation.map(passed_rungs).unwrap_or_default(),
        })
    }
}

fn passed_rungs(degradation: &Degradation) -> Vec<v1::PassedRung> {
    degradation.passed.iter().copied().map(passed_rung).collect()
}

fn stage_report(report: &StageReport) -> v1::StageReport {
    let stage = match report.stage {
        Stage::Eligibility => v1::PipelineStage::Eligibility,
        Stage::Retrieval => v1::PipelineStage::Retrieval,
        Stage::Scoring => v1::PipelineStage::Scoring,
        Stage::Selection => v1::PipelineStage::Selection,
        Stage::Recheck => v1::PipelineStage::Recheck,
    };
    v1::StageReport {
        stage: stage.into(),
        entered_count: count(report.entered),
        left_count: count(report.left),
        // No stage takes the 292 billion years that do not fit.
        took: report.took.try_into().ok(),
    }
}

fn retrieval_plan(plan: &Plan) -> v1::RetrievalPlan {
    v1::RetrievalPlan {
        method: plan.method.name().to_owned(),
        eligible_count: count(plan.eligible),
        returned_count: count(plan.returned),
        expected_recall: plan.expected_recall,
    }
}
