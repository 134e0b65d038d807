//! VerifyServedFeatures: holds a sample of what was served online to what history says of the same moments.
//!
//! A row is computed again by the way of GetFeaturesAsOf: its own definitions, compiled anew, and the one statement
//! that answers everything. Nothing of the online path, caches above all, is asked.

use std::{collections::HashMap, error::Error};

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::{self, verify_served_features_response::Step};
use finrank_model::features::FeatureRef;
use finrank_serving::wire;
use finrank_store::{
    Store,
    features::{Asked, FeaturePlan},
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{FeatureStoreService, feature_wire};
use crate::{
    FeatureStoreError, Result,
    features::Registry,
    served::{self, Kept, KeptRequest},
};

/// Samples that are read, and computed again, at once: all that is held in memory.
const PAGE_ROWS: i64 = 1_000;
/// Steps that wait for the client.
const BUFFERED_STEPS: usize = 64;

/// Progress and differences, then the summary.
pub(crate) type Steps = ReceiverStream<Result<v1::VerifyServedFeaturesResponse, Status>>;

/// Starts to verify.
pub(super) async fn verify(
    service: &FeatureStoreService,
    request: v1::VerifyServedFeaturesRequest,
) -> Result<Steps> {
    let since = request.since.map(|since| wire::moment("since", Some(since))).transpose()?;
    service.sampler.flush().await;
    let kept = served::count(&service.background, since).await?;
    let total = if request.limit == 0 { kept } else { kept.min(request.limit) };
    let (steps, told) = mpsc::channel(BUFFERED_STEPS);
    let verification = Verification {
        store: service.background.clone(),
        registry: service.registry.clone(),
        since,
        total,
        steps,
        summary: v1::VerificationSummary::default(),
    };
    tokio::spawn(verification.run(service.stop.clone()));
    Ok(ReceiverStream::new(told))
}

/// A verification under way.
struct Verification {
    store: Store,
    registry: Registry,
    since: Option<DateTime<Utc>>,
    /// Rows to check.
    total: u64,
    steps: mpsc::Sender<Result<v1::VerifyServedFeaturesResponse, Status>>,
    summary: v1::VerificationSummary,
}

/// A row, and what history says of it.
struct Recomputed {
    kept: Kept,
    /// Or why it cannot be computed again.
    row: Result<v1::FeatureRow, String>,
}

impl Verification {
    /// Ends early when its client has gone or the server stops.
    async fn run(mut self, stop: CancellationToken) {
        let client = self.steps.clone();
        let verified = tokio::select! {
            verified = self.all() => verified,
            () = client.closed() => return,
            () = stop.cancelled() => return,
        };
        let last = match verified {
            Ok(()) => Ok(step(Step::Summary(self.summary))),
            Err(error) => Err(error.into()),
        };
        let _ = client.send(last).await;
    }

    async fn all(&mut self) -> Result<()> {
        let mut before = None;
        while self.summary.checked < self.total {
            let left = i64::try_from(self.total - self.summary.checked).unwrap_or(PAGE_ROWS);
            let page = served::page(&self.store, self.since, before, left.min(PAGE_ROWS)).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.sample_id);
            let mut by_request: HashMap<KeptRequest, Vec<Kept>> = HashMap::new();
            for kept in page {
                by_request.entry(kept.asked.clone()).or_default().push(kept);
            }
            for (request, rows) in by_request {
                let recomputed = self.recompute(&request, rows).await?;
                self.compare(&request, recomputed).await?;
            }
            let (checked, total) = (self.summary.checked, self.total);
            self.tell(Step::Progress(v1::VerificationProgress { checked, total })).await;
        }
        Ok(())
    }

    /// Computes rows of one request again.
    async fn recompute(&self, request: &KeptRequest, rows: Vec<Kept>) -> Result<Vec<Recomputed>> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let declared = match self.registry.at(first.known_at, Some(request.definitions)).await {
            Err(error @ FeatureStoreError::NoDefinitions { .. }) => return Ok(not_computed(rows, &error)),
            found => found?,
        };
        let features: Result<Vec<FeatureRef>, _> =
            request.features.iter().map(|raw| FeatureRef::parse(raw)).collect();
        let plan = features.and_then(|features| {
            FeaturePlan::compile(&declared.definitions, &features, &request.purpose, request.expired)
        });
        // A value that would be refused now was served then: a difference, and told as one.
        let plan = match plan {
            Ok(plan) => plan.flagging_what_it_would_refuse(),
            Err(invalid) => return Ok(not_computed(rows, &invalid)),
        };
        let asked: Vec<Asked> = rows
            .iter()
            .map(|kept| Asked { id: kept.id.clone(), as_of: kept.known_at, known_at: kept.known_at })
            .collect();
        let values = plan.read(&self.store, &asked).await?;
        let recomputed = feature_wire::rows(asked, &values);
        Ok(rows.into_iter().zip(recomputed).map(|(kept, row)| Recomputed { kept, row: Ok(row) }).collect())
    }

    /// Counts rows, and tells the differences of those that are still kept.
    async fn compare(&mut self, request: &KeptRequest, rows: Vec<Recomputed>) -> Result<()> {
        self.summary.checked += rows.len() as u64;
        let different: Vec<(i64, Vec<v1::ServedDifference>)> = rows
            .into_iter()
            .map(|row| (row.kept.sample_id, differences(request, row)))
            .filter(|(_, differences)| !differences.is_empty())
            .collect();
        let sample_ids: Vec<i64> = different.iter().map(|(sample_id, _)| *sample_id).collect();
        // Somebody who was erased meanwhile is no difference.
        let kept = if sample_ids.is_empty() {
            Vec::new()
        } else {
            served::still_kept(&self.store, &sample_ids).await?
        };
        for (sample_id, differences) in different {
            if kept.contains(&sample_id) {
                self.summary.different += 1;
                for difference in differences {
                    self.tell(Step::Difference(difference)).await;
                }
            }
        }
        self.summary.equal = self.summary.checked - self.summary.different;
        Ok(())
    }

    async fn tell(&self, next: Step) {
        // A client that has gone ends the verification from outside.
        let _ = self.steps.send(Ok(step(next))).await;
    }
}

fn not_computed(rows: Vec<Kept>, reason: &dyn Error) -> Vec<Recomputed> {
    rows.into_iter().map(|kept| Recomputed { kept, row: Err(reason.to_string()) }).collect()
}

fn step(step: Step) -> v1::VerifyServedFeaturesResponse {
    v1::VerifyServedFeaturesResponse { step: Some(step) }
}

/// Every value that differs in a byte; as numbers, 0 and −0 would be equal.
fn differences(request: &KeptRequest, row: Recomputed) -> Vec<v1::ServedDifference> {
    let kept = row.kept;
    let whole = |reason: &str| v1::ServedDifference {
        entity: match request.entity.as_str() {
            "product" => v1::EntityKind::Product.into(),
            _ => v1::EntityKind::User.into(),
        },
        entity_id: kept.id.clone(),
        feature: String::new(),
        known_at: Some(wire::timestamp(kept.known_at)),
        definitions_sha256: request.definitions.to_string(),
        purpose: request.purpose.clone(),
        served: None,
        recomputed: None,
        reason: reason.to_owned(),
    };
    let recomputed = match row.row {
        Ok(recomputed) if recomputed.encode_to_vec() == kept.served => return Vec::new(),
        Ok(recomputed) => recomputed,
        Err(reason) => return vec![whole(&format!("cannot be computed again: {reason}"))],
    };
    let Ok(served) = v1::FeatureRow::decode(&*kept.served) else {
        return vec![whole("what was kept cannot be read any more")];
    };
    let values = request.features.iter().enumerate().filter_map(|(place, feature)| {
        let (served, recomputed) = (served.values.get(place), recomputed.values.get(place));
        let differs =
            served.map(v1::FeatureValue::encode_to_vec) != recomputed.map(v1::FeatureValue::encode_to_vec);
        differs.then(|| v1::ServedDifference {
            feature: feature.clone(),
            served: served.cloned(),
            recomputed: recomputed.cloned(),
            ..whole("")
        })
    });
    let values: Vec<v1::ServedDifference> = values.collect();
    if values.is_empty() { vec![whole("differs in something other than its values")] } else { values }
}
