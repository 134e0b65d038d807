//! How the shadow compares with what was served, in the contract's words.

use finrank_contracts::ranking::v1;
use finrank_decisions::shadow::{self, Comparison, Fit, Sides};
use finrank_serving::wire;

use super::RankingService;
use crate::Result;

impl RankingService {
    pub(super) async fn compare_shadow(
        &self,
        request: v1::MeasureShadowRequest,
    ) -> Result<v1::MeasureShadowResponse> {
        let since = request.since.map(|since| wire::moment("since", Some(since))).transpose()?;
        let compared = shadow::compared(&self.log()?.store, since).await?;
        Ok(v1::MeasureShadowResponse { comparisons: compared.into_iter().map(comparison).collect() })
    }
}

fn comparison((sides, compared): (Sides, Comparison)) -> v1::ShadowComparison {
    let fit = |fit: Option<Fit>| fit.map(|Fit { log_loss, auc }| v1::ShadowFit { log_loss, auc });
    v1::ShadowComparison {
        shadow_version: sides.shadow.into(),
        served_version: sides.served.into(),
        decisions: compared.decisions,
        overlap: compared.overlap(),
        shown: compared.shown(),
        mean_absolute_difference: compared.mean_absolute_difference(),
        seen: compared.seen(),
        taken: compared.taken(),
        served: fit(compared.fit_of_served()),
        shadow: fit(compared.fit_of_shadow()),
    }
}
