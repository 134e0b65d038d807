//! Which requests are taken on, and for how long: a server takes on so many at once and sheds the rest, gives
//! each unary request a limit, and holds every request to its caller's own deadline, streams to their end. What
//! an orchestrator asks (health) and what a person asks (reflection) is always taken on.
//!
//! tonic's own limits hold for a connection or for everything alike, and its deadlines until an answer begins,
//! which is why this stands here.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{body::Body, codegen::http};
use tower::{Layer, Service};

use crate::{
    deadline::{TIMEOUT_HEADER, Until, parse_timeout},
    status,
};

/// When a client that was shed may come again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How much earlier than the caller's deadline ours is, at least and at most: at least twice the resolution of tokio's
/// clock.
const MOMENT: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(10));
/// A year is any time, and a clock can add it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Paths of our own services; health and reflection have others.
const OURS: &str = "/finrank.";

/// Sheds what is too much and limits the time of unary requests.
#[derive(Clone)]
pub(crate) struct AdmissionLayer {
    streaming: Arc<HashSet<String>>,
    permits: Arc<Semaphore>,
    limit: Duration,
}

impl AdmissionLayer {
    /// Takes on `at_once` requests at a time, and gives up a unary one after `limit`.
    pub(crate) fn new(at_once: usize, limit: Duration) -> Self {
        Self {
            streaming: Arc::new(streaming_paths()),
            permits: Arc::new(Semaphore::new(at_once)),
            limit: limit.min(LONGEST),
        }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission { inner, rules: self.clone() }
    }
}

/// The service that [`AdmissionLayer`] makes.
#[derive(Clone)]
pub(crate) struct Admission<S> {
    inner: S,
    rules: AdmissionLayer,
}

impl<S> Service<http::Request<Body>> for Admission<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !path.starts_with(OURS) {
            return Box::pin(self.inner.call(request));
        }
        // Held until the answer begins: a unary request's whole work, and a stream's opening.
        let Ok(permit) = self.rules.permits.clone().try_acquire_owned() else {
            return Box::pin(async { Ok(status::overloaded(RETRY_AFTER).into_http()) });
        };
        let streaming = self.rules.streaming.contains(path);
        let limit = match allowed_by_caller(&request) {
            caller if streaming => caller,
            caller => Some(caller.map_or(self.rules.limit, |caller| caller.min(self.rules.limit))),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _permit = permit;
            let Some(limit) = limit else {
                return answer.await;
            };
            let deadline = Instant::now() + limit;
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) if streaming => {
                    Ok(answer.map(|body| Body::new(Until::new(body, deadline, limit))))
                }
                Ok(answer) => answer,
                Err(_) => Ok(status::deadline_exceeded(limit).into_http()),
            }
        })
    }
}

/// A moment less than the caller allows: when that has passed, tonic answers CANCELLED, which tells nobody why.
fn allowed_by_caller(request: &http::Request<Body>) -> Option<Duration> {
    let raw = request.headers().get(TIMEOUT_HEADER)?.to_str().ok()?;
    let allowed = parse_timeout(raw)?;
    let (least, most) = MOMENT;
    Some(allowed.saturating_sub((allowed / 20).clamp(least, most)).min(LONGEST))
}

/// Paths of the rpcs that stream in either direction, read from the contracts themselves.
fn streaming_paths() -> HashSet<String> {
    let descriptors =
        FileDescriptorSet::decode(finrank_contracts::DESCRIPTORS).expect("built from our own protos");
    let mut paths = HashSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            let streaming =
                service.method.iter().filter(|rpc| rpc.client_streaming() || rpc.server_streaming());
            paths.extend(
                streaming.map(|rpc| format!("/{}.{}/{}", file.package(), service.name(), rpc.name())),
            );
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_rpcs_stream() {
        let streaming = streaming_paths();

        let service = "/finrank.feature.v1.FeatureStoreService";
        assert!(streaming.contains(&format!("{service}/WatchProductEmbeddings")));
        assert!(streaming.contains(&format!("{service}/WriteEvents")));
        assert!(!streaming.contains(&format!("{service}/BatchGetEmbeddings")));
    }
}
