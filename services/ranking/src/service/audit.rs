//! What is asked of the log of decisions: one of them, its proof, and whether all is as it was written.

use finrank_contracts::ranking::v1::{self, verify_decision_log_response::Step};
use finrank_decisions::{
    chain::Link,
    proof, read,
    verify::{Fault, Verification, verify},
};
use finrank_model::{InvalidField, Sha256Digest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;
use uuid::Uuid;

use super::{RankingService, record::Log};
use crate::{RankingError, Result};

/// Messages that wait for the client.
const AHEAD: usize = 16;

/// Progress, and the summary.
pub(super) type Verifying = ReceiverStream<Result<v1::VerifyDecisionLogResponse, Status>>;

impl RankingService {
    pub(super) fn log(&self) -> Result<&Log> {
        self.log.as_ref().ok_or(RankingError::NoDecisionLog)
    }

    pub(super) async fn kept_decision(
        &self,
        request: v1::GetDecisionRequest,
    ) -> Result<v1::GetDecisionResponse> {
        let decision_id = decision_id(&request.decision_id)?;
        let kept = read::decision(&self.log()?.store, decision_id).await?;
        Ok(v1::GetDecisionResponse {
            sequence: kept.link.sequence,
            sha256: kept.link.sha256.as_bytes().to_vec(),
            record: Some(kept.record),
            inputs_erased: kept.inputs.is_none(),
            inputs: kept.inputs.filter(|_| request.include_inputs),
        })
    }

    pub(super) async fn prove(&self, request: v1::ProveDecisionRequest) -> Result<v1::InclusionProof> {
        let decision_id = decision_id(&request.decision_id)?;
        let log = self.log()?;
        Ok(proof::prove(&log.store, &log.trusted, decision_id).await?)
    }

    pub(super) fn verify_log(&self, request: &v1::VerifyDecisionLogRequest) -> Result<Verifying> {
        let log = self.log()?.clone();
        let expected = expected(request)?;
        let (answers, answered) = mpsc::channel(AHEAD);
        let told = answers.clone();
        let progress = move |verified| {
            // Who is slow to read misses some of it.
            let _ = told.try_send(Ok(step(Step::Verified(verified))));
        };
        let verifying = async move {
            let turn = log.verifying.acquire().await;
            let found = verify(&log.store, &log.trusted, expected, progress).await;
            drop(turn);
            match found {
                Ok(found) => Ok(step(Step::Summary(summary(&found)))),
                Err(error) => Err(RankingError::from(error).into()),
            }
        };
        let verifying = async move {
            tokio::select! {
                // Whoever hung up does not want to know, and holds nobody up.
                () = answers.closed() => {}
                last = verifying => {
                    let _ = answers.send(last).await;
                }
            }
        };
        tokio::spawn(verifying.in_current_span());
        Ok(ReceiverStream::new(answered))
    }
}

fn expected(request: &v1::VerifyDecisionLogRequest) -> Result<Option<Link>> {
    if request.expected_sequence == 0 && request.expected_sha256.is_empty() {
        return Ok(None);
    }
    if request.expected_sequence < 1 {
        return Err(InvalidField::new("expected_sequence", "is none of a log").into());
    }
    let sha256: [u8; 32] = request
        .expected_sha256
        .as_slice()
        .try_into()
        .map_err(|_| InvalidField::new("expected_sha256", "has not 32 bytes"))?;
    Ok(Some(Link { sequence: request.expected_sequence, sha256: Sha256Digest::from_bytes(sha256) }))
}

pub(super) fn decision_id(raw: &str) -> Result<Uuid> {
    Uuid::try_parse(raw)
        .map_err(|_| InvalidField::new("decision_id", format!("is {raw:?}, not a UUID")).into())
}

fn step(step: Step) -> v1::VerifyDecisionLogResponse {
    v1::VerifyDecisionLogResponse { step: Some(step) }
}

fn summary(found: &Verification) -> v1::LogVerification {
    v1::LogVerification {
        verified: found.verified.sequence,
        sha256: found.verified.sha256.as_bytes().to_vec(),
        covered: found.covered,
        checkpoints: found.checkpoints.try_into().unwrap_or(i64::MAX),
        inputs_erased: found.inputs_erased.try_into().unwrap_or(i64::MAX),
        fault: found.fault.as_ref().map(fault),
    }
}

fn fault(fault: &Fault) -> v1::LogFault {
    v1::LogFault {
        sequence: fault.sequence,
        code: fault.kind.code().to_owned(),
        message: format!("decision {} {}", fault.sequence, fault.kind.in_words()),
    }
}
