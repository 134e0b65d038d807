//! Which requests are taken on, and for how long: a server takes on so many at once and sheds the rest, gives
//! each unary request a limit, and holds every request to its caller's own deadline, streams to their end. What
//! an orchestrator asks (health) and what a person asks (reflection) is always taken on.
//!
//! tonic's own limits hold for a connection or for everything alike, and its deadlines until an answer begins,
//! which is why this stands here.

use std::{
    collections::HashMap,
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

/// Sheds what is too much and limits the time of unary requests.
#[derive(Clone)]
pub(crate) struct AdmissionLayer {
    /// Whether an rpc of the contracts streams in either direction, by its path. What is not there, such as health and
    /// reflection, is none of ours.
    streaming: Arc<HashMap<String, bool>>,
    permits: Arc<Semaphore>,
    limit: Duration,
}

impl AdmissionLayer {
    /// Takes on `at_once` requests at a time, and gives up a unary one after `limit`.
    pub(crate) fn new(at_once: usize, limit: Duration) -> Self {
        Self {
            streaming: Arc::new(declared_rpcs()),
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
        let Some(&streaming) = self.rules.streaming.get(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        // Held until the answer begins: a unary request's whole work, and a stream's opening.
        let Ok(permit) = self.rules.permits.clone().try_acquire_owned() else {
            return Box::pin(async { Ok(status::overloaded(RETRY_AFTER).into_http()) });
        };
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

/// The rpcs, by path, and whether they stream, read from the contracts themselves.
fn declared_rpcs() -> HashMap<String, bool> {
    let descriptors =
        FileDescriptorSet::decode(finrank_contracts::DESCRIPTORS).expect("built from our own protos");
    let mut rpcs = HashMap::new();
    for file in &descriptors.file {
        for service in &file.service {
            let service_name = match file.package() {
                "" => service.name().to_owned(),
                package => format!("{package}.{}", service.name()),
            };
            rpcs.extend(service.method.iter().map(|rpc| {
                let path = format!("/{service_name}/{}", rpc.name());
                (path, rpc.client_streaming() || rpc.server_streaming())
            }));
        }
    }
    rpcs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_rpc_of_the_contracts_and_which_stream() {
        let rpcs = declared_rpcs();

        let service = "/finrank.feature.v1.FeatureStoreService";
        assert_eq!(rpcs.get(&format!("{service}/WatchProductEmbeddings")), Some(&true));
        assert_eq!(rpcs.get(&format!("{service}/WriteEvents")), Some(&true));
        assert_eq!(rpcs.get(&format!("{service}/BatchGetEmbeddings")), Some(&false));
        assert_eq!(rpcs.get("/feast.serving.ServingService/GetOnlineFeatures"), Some(&false));
        assert_eq!(rpcs.get("/GrpcFeatureServer/Push"), Some(&false));
        assert_eq!(rpcs.get("/grpc.health.v1.Health/Check"), None);
    }
}
