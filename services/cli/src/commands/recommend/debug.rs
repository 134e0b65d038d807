//! How an answer came about, as printed for whoever debugs it.

use std::fmt;

use finrank_contracts::ranking::v1::{
    DebugView, PassedRung, PinReport, PipelineStage, RetrievalPlan, StageReport,
};
use serde::Serialize;

use super::rung_name;
use crate::output::{spoken, table};

/// What the stages did, and how candidates were searched for.
#[derive(Serialize)]
pub(super) struct Debug {
    stages: Vec<Stage>,
    /// Nobody searches for who objects to profiling.
    retrieval_plan: Option<Plan>,
    /// Why the answer is not ranked by something better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_rungs: Vec<Passed>,
    /// What came of the pins in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pins: Vec<Pin>,
}

#[derive(Serialize)]
struct Stage {
    stage: String,
    entered: u32,
    left: u32,
    microseconds: f64,
}

#[derive(Serialize)]
struct Plan {
    method: String,
    eligible: u32,
    returned: u32,
    expected_recall: f64,
}

#[derive(Serialize)]
struct Passed {
    rung: String,
    why: String,
}

#[derive(Serialize)]
struct Pin {
    code: String,
    product_id: String,
    place: u32,
    outcome: String,
}

impl From<DebugView> for Debug {
    fn from(view: DebugView) -> Self {
        Self {
            stages: view.stages.into_iter().map(Stage::from).collect(),
            retrieval_plan: view.retrieval_plan.map(Plan::from),
            passed_rungs: view.passed_rungs.into_iter().map(Passed::from).collect(),
            pins: view.pins.into_iter().map(Pin::from).collect(),
        }
    }
}

impl From<PassedRung> for Passed {
    fn from(passed: PassedRung) -> Self {
        Self { rung: rung_name(passed.rung()), why: passed.why }
    }
}

impl From<PinReport> for Pin {
    fn from(report: PinReport) -> Self {
        let outcome = spoken(report.outcome().as_str_name(), "PIN_OUTCOME_");
        Self { code: report.code, product_id: report.product_id, place: report.place, outcome }
    }
}

impl From<StageReport> for Stage {
    fn from(report: StageReport) -> Self {
        let took = report.took.unwrap_or_default();
        Self {
            stage: stage_name(report.stage()),
            entered: report.entered_count,
            left: report.left_count,
            microseconds: took.seconds as f64 * 1e6 + f64::from(took.nanos) / 1e3,
        }
    }
}

/// `PIPELINE_STAGE_SCORING` as "scoring".
fn stage_name(stage: PipelineStage) -> String {
    spoken(stage.as_str_name(), "PIPELINE_STAGE_")
}

impl From<RetrievalPlan> for Plan {
    fn from(plan: RetrievalPlan) -> Self {
        Self {
            method: plan.method,
            eligible: plan.eligible_count,
            returned: plan.returned_count,
            expected_recall: plan.expected_recall,
        }
    }
}

impl fmt::Display for Debug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.stages.iter().map(|stage| {
            [
                stage.stage.clone(),
                stage.entered.to_string(),
                stage.left.to_string(),
                format!("{:.1}", stage.microseconds),
            ]
        });
        write!(f, "{}", table(["stage", "entered", "left", "µs"], 1, rows))?;
        if let Some(plan) = &self.retrieval_plan {
            let Plan { method, eligible, returned, expected_recall } = plan;
            write!(
                f,
                "\nsearched by {method}: {returned} of {eligible} eligible, expected recall {expected_recall:.3}"
            )?;
        }
        for Passed { rung, why } in &self.passed_rungs {
            write!(f, "\nnot ranked by {rung}: {why}")?;
        }
        for Pin { code, product_id, place, outcome } in &self.pins {
            write!(f, "\npin {code}: {product_id} in place {place}: {outcome}")?;
        }
        Ok(())
    }
}
