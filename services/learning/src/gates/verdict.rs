//! How a measure becomes a verdict, and how that is told: what was measured, what is allowed, and by how much it is off.

use finrank_store::models::{GateResult, Verdict};

/// A gate whose measure may not be above a bound.
pub(super) fn at_most(gate: &str, what: &str, measured: f64, bound: f64) -> GateResult {
    let (verdict, explanation) = if measured <= bound {
        (Verdict::Pass, format!("{what} is {measured:.4}, at most {bound} is allowed"))
    } else {
        (Verdict::Fail, format!("{what} is {measured:.4}, {:.4} above the {bound} allowed", measured - bound))
    };
    let (measured, bound) = (Some(measured), Some(bound));
    GateResult { gate: gate.to_owned(), verdict, measured, bound, explanation, waivable: true }
}

/// A gate whose measure may not be below a bound.
pub(super) fn at_least(gate: &str, what: &str, measured: f64, bound: f64) -> GateResult {
    let (verdict, explanation) = if measured >= bound {
        (Verdict::Pass, format!("{what} is {measured:.4}, at least {bound} is asked for"))
    } else {
        (
            Verdict::Fail,
            format!("{what} is {measured:.4}, {:.4} below the {bound} asked for", bound - measured),
        )
    };
    let (measured, bound) = (Some(measured), Some(bound));
    GateResult { gate: gate.to_owned(), verdict, measured, bound, explanation, waivable: true }
}

/// A gate of which too little is known to say.
pub(super) fn insufficient(gate: &str, explanation: String) -> GateResult {
    let verdict = Verdict::Insufficient;
    GateResult { gate: gate.to_owned(), verdict, measured: None, bound: None, explanation, waivable: true }
}

/// A gate with nothing to measure.
pub(super) fn not_applicable(gate: &str, explanation: &str) -> GateResult {
    GateResult { verdict: Verdict::NotApplicable, ..insufficient(gate, explanation.to_owned()) }
}
