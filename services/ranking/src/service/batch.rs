//! BatchRecommend: recommendations for many, in the order asked. While the customers of one message are decided for, those
//! of the next are looked up; nothing else is taken in before the client has taken what was answered, so that memory
//! stays bounded however long the stream is.

use std::{num::NonZero, pin::Pin, sync::Arc, thread::available_parallelism, time::Duration};

use finrank_contracts::ranking::v1::{self, batch_recommend_response::Outcome};
use finrank_model::UserId;
use finrank_policy::CompiledPolicy;
use futures::{Stream, StreamExt, stream};
use tokio::{
    sync::{
        mpsc::{self, error::SendTimeoutError},
        oneshot,
    },
    task::spawn_blocking,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tonic_types::StatusExt;
use tracing::{Instrument, Span};

use super::{
    RankingService,
    ladder::Waiting,
    recommend::{Asked, AskedCustomer},
    request::{BatchRecommend, Wanted},
};
use crate::{RankingError, Result, catalogue::Catalogue, deadline::Deadline};

/// Messages that are looked up ahead.
const LOOKED_UP_AHEAD: usize = 1;
/// Answers that wait for the client.
const ANSWERS_AHEAD: usize = 100;
/// How long a client may take nothing: what is known of those who were looked up grows old meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// Customers that a thread decides for at a time: some milliseconds' work.
const AT_A_TIME: usize = 25;

/// The answers, one customer each, and at the end why there are no more, if there should be.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::BatchRecommendResponse, Status>> + Send>>;

/// Customers of one message, looked up.
struct LookedUp {
    user_ids: Vec<UserId>,
    wanted: Wanted,
    asked: Asked,
}

/// Answers every message in turn, until one cannot be, the client hangs up, or there are no more.
pub(super) fn recommend(
    service: RankingService,
    mut messages: Streaming<v1::BatchRecommendRequest>,
    deadline: Deadline,
) -> Answers {
    let (looked_up, mut deciding) = mpsc::channel(LOOKED_UP_AHEAD);
    let (answers, answered) = mpsc::channel(ANSWERS_AHEAD);
    let lookups = service.clone();
    let looking_up = async move {
        loop {
            let next = match messages.message().await {
                Ok(Some(message)) => look_up(&lookups, &message, deadline).await.map_err(Status::from),
                Ok(None) => return,
                Err(status) => Err(status),
            };
            let is_last = next.is_err();
            if looked_up.send(next).await.is_err() || is_last {
                return;
            }
        }
    };
    let (ending, ended) = oneshot::channel();
    let answering = async move {
        while let Some(next) = deciding.recv().await {
            let outcome = match next {
                Ok(looked_up) => decide(&service, looked_up, &answers).await,
                Err(status) => Err(status),
            };
            if let Err(status) = outcome {
                // Not by the channel, which may be full. Whoever hung up does not want to know.
                let _ = ending.send(status);
                return;
            }
        }
    };
    tokio::spawn(looking_up.in_current_span());
    tokio::spawn(answering.in_current_span());
    let why = stream::once(ended).filter_map(async |why| why.ok().map(Err));
    Box::pin(ReceiverStream::new(answered).chain(why))
}

async fn look_up(
    service: &RankingService,
    message: &v1::BatchRecommendRequest,
    deadline: Deadline,
) -> Result<LookedUp> {
    let BatchRecommend { user_ids, wanted } = BatchRecommend::parse(message)?;
    let asked = service.ask_about(&user_ids, &wanted.explain, Waiting::Batch, deadline).await?;
    Ok(LookedUp { user_ids, wanted, asked })
}

/// Decides for all customers of a message, on as many threads as there are cores, and answers in their order.
async fn decide(
    service: &RankingService,
    looked_up: LookedUp,
    answers: &mpsc::Sender<Result<v1::BatchRecommendResponse, Status>>,
) -> Result<(), Status> {
    // In turn, if there are many streams: parts of several would wait for places in the log's queue that the others hold.
    let _turn = service.batches.acquire().await;
    let LookedUp { user_ids, wanted, asked } = looked_up;
    let (catalogues, compiling, policy) = (asked.catalogues(), service.clone(), asked.policy);
    let compiled = spawn_blocking(move || {
        let of = |catalogue: Arc<Catalogue>| (compiling.policies.compiled(&policy, &catalogue), catalogue);
        catalogues.into_iter().map(of).collect()
    });
    let policies = compiled.await.map_err(RankingError::from)?;
    let deciding = Deciding { service: service.clone(), policies, wanted: Arc::new(wanted) };
    let threads = available_parallelism().map_or(1, NonZero::get);
    // Every part finds places in the log's queue, whatever the others hold.
    let at_a_time = AT_A_TIME.min(service.places() / threads).max(1);
    let mut waiting = user_ids.into_iter().zip(asked.customers);
    let parts = std::iter::from_fn(move || {
        let part: Vec<_> = waiting.by_ref().take(at_a_time).collect();
        (!part.is_empty()).then_some(part)
    });
    let mut decided = stream::iter(parts.map(|part| deciding.clone().part(part))).buffered(threads);
    while let Some(part) = decided.next().await {
        for answer in part? {
            match answers.send_timeout(Ok(answer), PATIENCE).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return Ok(()),
                Err(SendTimeoutError::Timeout(_)) => {
                    return Err(Status::aborted(
                        "the client took no answer for 30 s, and what was looked up is old",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// By what customers are decided for.
#[derive(Clone)]
struct Deciding {
    service: RankingService,
    /// Over each catalogue that answers.
    policies: Arc<[(Arc<CompiledPolicy>, Arc<Catalogue>)]>,
    wanted: Arc<Wanted>,
}

impl Deciding {
    fn policy_for(&self, customer: &AskedCustomer) -> Result<Arc<CompiledPolicy>> {
        let of = |(_, catalogue): &&(_, Arc<Catalogue>)| Arc::ptr_eq(catalogue, &customer.catalogue);
        self.policies.iter().find(of).map(|(policy, _)| Arc::clone(policy)).ok_or(RankingError::NoCatalogue)
    }

    /// The answers for some customers, once their decisions are kept.
    async fn part(
        self,
        customers: Vec<(UserId, Result<AskedCustomer>)>,
    ) -> Result<Vec<v1::BatchRecommendResponse>> {
        let mut placed = Vec::with_capacity(customers.len());
        for (user_id, customer) in customers {
            let customer = match customer {
                Ok(customer) => Ok((customer, self.service.place().await?)),
                Err(error) => Err(error),
            };
            placed.push((user_id, customer));
        }
        let span = Span::current();
        let decided = spawn_blocking(move || {
            let _request = span.enter();
            let decide = |(customer, place): (AskedCustomer, _)| {
                let policy = self.policy_for(&customer)?;
                self.service.decide_for(policy, customer, &self.wanted, place)
            };
            let decided = placed.into_iter().map(|(user_id, customer)| (user_id, customer.and_then(decide)));
            decided.collect::<Vec<_>>()
        });
        let mut answers = Vec::new();
        for (user_id, decided) in decided.await? {
            let outcome = match decided {
                Ok(decided) => Outcome::Recommendation(decided.kept().await?),
                Err(error) => Outcome::Refusal(refusal(&user_id, error)),
            };
            answers.push(v1::BatchRecommendResponse { outcome: Some(outcome) });
        }
        Ok(answers)
    }
}

fn refusal(user_id: &UserId, error: RankingError) -> v1::CustomerRefusal {
    let status = Status::from(error);
    v1::CustomerRefusal {
        user_id: user_id.to_string(),
        code: status.code().into(),
        reason: status.get_details_error_info().map(|info| info.reason).unwrap_or_default(),
        message: status.message().to_owned(),
    }
}
