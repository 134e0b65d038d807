//! Requests in an open loop and in a closed one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use tokio::{runtime::Handle, sync::Mutex, task::spawn_blocking, time::timeout};

use crate::Result;

/// Clients of the closed loop.
const CLIENTS: usize = 8;
/// How long before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// When a request is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Customers a second that the open loop asks for: what every server here can keep up with.
const OPEN_LOOP_KEYS: usize = 500;
/// Requests a second of the open loop at most.
const OPEN_LOOP_REQUESTS: usize = 100;

/// Makes one request and reads its answer.
pub(crate) type Call =
    Arc<dyn Fn() -> BoxFuture<'static, std::result::Result<(), tonic::Status>> + Send + Sync>;

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Requests a second that were begun in the open loop.
    pub(crate) offered: usize,
    /// Milliseconds of the open loop.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Requests a second of the closed loop.
    pub(crate) closed: f64,
}

/// Measures both loops, each for `span`; one request is for `keys` customers.
pub(crate) async fn measure(call: &Call, keys: usize, span: Duration) -> Result<Measured> {
    closed_loop(call, WARM_UP).await?;
    let offered = (OPEN_LOOP_KEYS / keys).min(OPEN_LOOP_REQUESTS);
    let times = open_loop(call, offered, span).await?;
    let milliseconds = |quantile: f64| {
        let place = (times.len() as f64 * quantile).ceil() as usize;
        times[place.clamp(1, times.len()) - 1].as_secs_f64() * 1000.0
    };
    Ok(Measured {
        offered,
        p50: milliseconds(0.5),
        p99: milliseconds(0.99),
        closed: closed_loop(call, span).await?,
    })
}

/// How long each request took, from the moment at which it was to begin; in ascending order.
async fn open_loop(call: &Call, per_second: usize, span: Duration) -> Result<Vec<Duration>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let count = per_second * span.as_secs() as usize;
    let (call, taken, runtime) = (call.clone(), times.clone(), Handle::current());
    // On a thread of its own: tokio's timer is right to a millisecond only.
    let begun = spawn_blocking(move || {
        let begin = Instant::now();
        let requests = (0..count).map(|number| {
            let moment = begin + Duration::from_secs_f64(number as f64 / per_second as f64);
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            let (call, times) = (call.clone(), taken.clone());
            runtime.spawn(async move {
                let late = |_| tonic::Status::deadline_exceeded("not answered in the bench's time");
                timeout(TIMEOUT, call()).await.map_err(late)??;
                times.lock().await.push(moment.elapsed());
                Ok::<_, tonic::Status>(())
            })
        });
        requests.collect::<Vec<_>>()
    });
    for request in join_all(begun.await?).await {
        request??;
    }
    let mut times = times.lock().await.clone();
    times.sort_unstable();
    Ok(times)
}

/// Requests a second.
async fn closed_loop(call: &Call, span: Duration) -> Result<f64> {
    let answered = AtomicU64::new(0);
    let begin = Instant::now();
    let client = async || {
        while begin.elapsed() < span {
            call().await?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, tonic::Status>(())
    };
    for ended in join_all((0..CLIENTS).map(|_| client())).await {
        ended?;
    }
    Ok(answered.into_inner() as f64 / begin.elapsed().as_secs_f64())
}
