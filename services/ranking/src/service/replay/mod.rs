//! Replay: decisions made again from what was kept of them, and compared with what was recorded.

mod again;
mod compare;
mod found;

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{self, replay_decisions_response::Step};
use finrank_decisions::read;
use finrank_model::InvalidField;
use finrank_serving::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;
use uuid::Uuid;

pub(super) use self::again::{Again, Replayer};
use super::{RankingService, audit::decision_id};
use crate::Result;

/// Messages that wait for the client.
const AHEAD: usize = 64;

/// What came of each decision.
pub(super) type Replaying = ReceiverStream<Result<v1::ReplayDecisionsResponse, Status>>;

impl RankingService {
    pub(super) async fn replay(
        &self,
        request: v1::ReplayDecisionRequest,
    ) -> Result<v1::ReplayDecisionResponse> {
        let log = self.log()?;
        let kept = read::decision(&log.store, decision_id(&request.decision_id)?).await?;
        let _turn = log.replaying.acquire().await;
        let replay = Replayer::new(log, &self.pseudonyms).replay(&kept).await?;
        Ok(v1::ReplayDecisionResponse { replay: Some(replay) })
    }

    pub(super) fn replay_many(&self, request: v1::ReplayDecisionsRequest) -> Result<Replaying> {
        self.log()?;
        let since = request.since.map(|since| wire::moment("since", Some(since))).transpose()?;
        if request.last < 0 {
            return Err(InvalidField::new("last", format!("is {}, below 0", request.last)).into());
        }
        let last = (request.last > 0).then_some(request.last);
        let (answers, answered) = mpsc::channel(AHEAD);
        let service = self.clone();
        let replaying = async move {
            if let Err(why) = service.replay_all(since, last, &answers).await {
                let _ = answers.send(Err(why.into())).await;
            }
        };
        tokio::spawn(replaying.in_current_span());
        Ok(ReceiverStream::new(answered))
    }

    async fn replay_all(
        &self,
        since: Option<DateTime<Utc>>,
        last: Option<i64>,
        answers: &mpsc::Sender<Result<v1::ReplayDecisionsResponse, Status>>,
    ) -> Result<()> {
        let log = self.log()?;
        let _turn = log.replaying.acquire().await;
        let ids: Vec<Uuid> = read::decision_ids(&log.store, since, last).await?;
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let mut replayer = Replayer::new(log, &self.pseudonyms);
        let tell =
            async |step| answers.send(Ok(v1::ReplayDecisionsResponse { step: Some(step) })).await.is_ok();
        let mut listens = tell(Step::Total(count)).await;
        for decision_id in ids {
            // Whoever hung up does not want to know.
            if !listens {
                return Ok(());
            }
            let kept = read::decision(&log.store, decision_id).await?;
            listens = tell(Step::Replay(replayer.replay(&kept).await?)).await;
        }
        tell(Step::Replayed(count)).await;
        Ok(())
    }
}
