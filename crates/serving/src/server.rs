//! A gRPC server: bound first, so that a taken port is said at once; health per service, reflection, limits,
//! traces; and a drain at the end.

use std::{
    any::Any,
    convert::Infallible,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::http,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::server::TcpIncoming,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::{
    catch_panic::CatchPanicLayer,
    trace::{DefaultOnResponse, TraceLayer},
};
use tracing::{Level, error, info, warn};

use crate::{Result, ServingError, admission::AdmissionLayer};

/// Where and how to listen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The largest message taken or sent. Services apply it to the server that tonic generates for them.
    pub max_message_bytes: usize,
    /// How long a unary request may take; a client's own, shorter deadline counts too.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Requests worked on at the same time; more are shed with RESOURCE_EXHAUSTED.
    pub max_concurrent_requests: usize,
    /// Streams that one connection may have open. A ranking server opens two for each of its requests, on
    /// one connection to the feature store.
    pub max_concurrent_streams: u32,
    /// How often a silent connection is asked whether it lives.
    #[serde(with = "humantime_serde")]
    pub keepalive: Duration,
    /// How long calls in flight may go on after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// The file with the key by which logs name customers, which is made if there is none; without it they have other
    /// names each time that the server starts.
    pub pseudonym_key: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            max_message_bytes: 16 * 1024 * 1024,
            request_timeout: Duration::from_secs(10),
            max_concurrent_requests: 256,
            max_concurrent_streams: 1_024,
            keepalive: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            pseudonym_key: None,
        }
    }
}

/// A server that is bound but does not serve yet.
pub struct Server {
    config: ServerConfig,
    listener: TcpListener,
    address: SocketAddr,
    routes: RoutesBuilder,
    reporter: HealthReporter,
    names: Vec<&'static str>,
}

/// Says whether a server serves. Clones speak for the same server.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    names: Vec<&'static str>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// [`ServingError::AddressInUse`] when another process does, [`ServingError::Bind`] for any other reason.
    pub async fn bind(config: ServerConfig) -> Result<Self> {
        let listener = TcpListener::bind(config.listen).await.map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => ServingError::AddressInUse(config.listen),
            _ => ServingError::Bind { address: config.listen, source },
        })?;
        let address =
            listener.local_addr().map_err(|source| ServingError::Bind { address: config.listen, source })?;

        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", ServingStatus::NotServing).await;
        let mut routes = Routes::builder();
        routes.add_service(health);
        Ok(Self { config, listener, address, routes, reporter, names: Vec::new() })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a service. It is NOT_SERVING until [`Health::serving`] is called.
    #[must_use]
    pub async fn with<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.reporter.set_service_status(S::NAME, ServingStatus::NotServing).await;
        self.names.push(S::NAME);
        self
    }

    /// The handle that says whether the services added so far serve.
    pub fn health(&self) -> Health {
        Health { reporter: self.reporter.clone(), names: self.names.clone() }
    }

    /// Serves until `shutdown` is cancelled, then drains: health says NOT_SERVING, no connection is taken on,
    /// and calls in flight may go on for `drain_timeout`. Services end their own streams on the same token.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<()> {
        let Self { config, listener, address, mut routes, reporter, names } = self;
        // Older grpcurl knows v1alpha only.
        routes.add_service(reflection(&names).build_v1()?).add_service(reflection(&names).build_v1alpha()?);
        let health = Health { reporter, names };
        let services = health.names.join(", ");
        info!(%address, services, "listening");

        let layers = tower::ServiceBuilder::new()
            .layer(
                TraceLayer::new_for_grpc()
                    .make_span_with(|request: &http::Request<Body>| {
                        tracing::info_span!(target: "rpc", "rpc", path = request.uri().path())
                    })
                    .on_request(())
                    .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                    // A refusal's message may name a customer, and a client's mistake is no failure of ours.
                    .on_failure(()),
            )
            .layer(CatchPanicLayer::custom(panicked))
            .layer(AdmissionLayer::new(config.max_concurrent_requests, config.request_timeout));
        // Without it an answer waits up to 40 ms for the client's delayed acknowledgement of the one before. The builder's
        // own setting does not reach a listener that is given to it.
        let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
        let draining = drain(health.clone(), shutdown.clone());
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(config.max_concurrent_streams)
            .http2_keepalive_interval(Some(config.keepalive))
            .layer(layers)
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(connections, draining);
        let too_late = async {
            shutdown.cancelled().await;
            sleep(config.drain_timeout).await;
        };
        tokio::select! {
            served = serving => served?,
            () = too_late => warn!(%address, timeout = ?config.drain_timeout, "calls in flight were cut off"),
        }
        info!(%address, "stopped");
        Ok(())
    }
}

impl Health {
    /// The services, and the server as a whole, serve.
    pub async fn serving(&self) {
        self.report(ServingStatus::Serving).await;
    }

    /// They do not.
    pub async fn not_serving(&self) {
        self.report(ServingStatus::NotServing).await;
    }

    async fn report(&self, status: ServingStatus) {
        for name in self.names.iter().copied().chain([""]) {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// Tells of the services that this server has, and not of all that there are contracts for; and what the details of its
/// refusals mean.
fn reflection(names: &[&'static str]) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(finrank_contracts::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    let others = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    let names = names.iter().copied().chain(others);
    names.fold(builder, tonic_reflection::server::Builder::with_service_name)
}

/// Resolves when the server is to stop, after saying so.
async fn drain(health: Health, shutdown: CancellationToken) {
    shutdown.cancelled().await;
    health.not_serving().await;
}

/// A panic costs its own request, not its neighbours on the connection.
#[allow(clippy::needless_pass_by_value, reason = "the signature is the layer's")]
fn panicked(panic: Box<dyn Any + Send>) -> http::Response<Body> {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    error!(message, "a request panicked");
    Status::internal("internal error; the server's log says more").into_http()
}
