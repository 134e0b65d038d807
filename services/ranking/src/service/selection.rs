//! By which business rules items were chosen, in the words of answers, of the debug view and of the log.

use finrank_contracts::ranking::v1;
use finrank_selection::{Placement, SelectionRules};

use super::response::count;
use crate::pipeline::{Business, PinOutcome, PinReport, Placing};

/// Which selection file.
pub(super) fn version(rules: &SelectionRules) -> v1::SelectionVersion {
    v1::SelectionVersion { version: rules.version().to_owned(), sha256: rules.digest().to_string() }
}

/// As answers tell it.
pub(super) fn report(business: &Business) -> v1::SelectionReport {
    let caps = business.caps.iter();
    v1::SelectionReport {
        selection: Some(version(&business.rules)),
        diversity: business.diversity.get(),
        caps: caps
            .map(|(code, products)| v1::CapCount { code: code.to_string(), products: count(*products) })
            .collect(),
        exploration: exploration(business),
    }
}

/// What came of a pin.
pub(super) fn pin_report(report: &PinReport) -> v1::PinReport {
    let outcome = match report.outcome {
        PinOutcome::Placed => v1::PinOutcome::Placed,
        PinOutcome::NotEligible => v1::PinOutcome::NotEligible,
        PinOutcome::NotInCatalogue => v1::PinOutcome::NotInCatalogue,
        PinOutcome::BeyondK => v1::PinOutcome::BeyondK,
        PinOutcome::Capped => v1::PinOutcome::Capped,
    };
    v1::PinReport {
        code: report.code.to_string(),
        product_id: report.product_id.to_string(),
        place: count(report.place),
        outcome: outcome.into(),
    }
}

/// As the log keeps it.
pub(super) fn recorded(business: &Business) -> v1::RecordedSelection {
    v1::RecordedSelection {
        version: business.rules.version().to_owned(),
        sha256: business.rules.digest().as_bytes().to_vec(),
        searched_count: count(business.searched),
        exploration: exploration(business),
    }
}

/// The same of one item.
pub(super) fn recorded_placing(item: v1::RecordedItem, placing: &Placing) -> v1::RecordedItem {
    let (placement, code) = match &placing.placement {
        Placement::Rank => (v1::Placement::Rank, None),
        Placement::Pin(code) => (v1::Placement::Pin, Some(code)),
        Placement::Exploration(code) => (v1::Placement::Exploration, Some(code)),
    };
    v1::RecordedItem {
        placement: placement.into(),
        placed_by: code.map(ToString::to_string).unwrap_or_default(),
        boosted_by: placing.boosted_by,
        propensity: placing.propensity,
        ..item
    }
}

fn exploration(business: &Business) -> String {
    business.exploration.as_ref().map(ToString::to_string).unwrap_or_default()
}
