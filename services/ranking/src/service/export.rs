//! ExportDecisionLog: a part of the log, to be verified by somebody without access to it.

use finrank_contracts::ranking::v1::{ExportDecisionLogRequest, ExportDecisionLogResponse};
use finrank_decisions::export::{Range, export};
use futures::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use super::RankingService;
use crate::{RankingError, Result};

/// Messages that wait for the client.
const AHEAD: usize = 64;

/// The messages of the file.
pub(super) type Exporting = BoxStream<'static, Result<ExportDecisionLogResponse, Status>>;

impl RankingService {
    pub(super) fn export_log(&self, request: &ExportDecisionLogRequest) -> Result<Exporting> {
        let log = self.log()?.clone();
        let bound = |bound: i64| (bound != 0).then_some(bound);
        let range = Range::new(bound(request.first), bound(request.last))?;
        let (parts, sent) = mpsc::channel(AHEAD);
        let exporting = async move {
            let _turn = log.verifying.acquire().await;
            if let Err(error) = export(&log.store, &log.trusted, range, &parts).await {
                let _ = parts.send(Err(error)).await;
            }
        };
        tokio::spawn(exporting.in_current_span());
        let answers = ReceiverStream::new(sent).map(|part| match part {
            Ok(part) => Ok(ExportDecisionLogResponse { part: Some(part) }),
            Err(error) => Err(RankingError::from(error).into()),
        });
        Ok(answers.boxed())
    }
}
