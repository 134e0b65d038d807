//! The server's dress on a real socket, worn by a service whose requests are slow, panic or large as told.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use finrank_contracts::feast::serving::{
    GetFeastServingInfoRequest, GetFeastServingInfoResponse, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
    get_online_features_request::Kind,
    serving_service_client::ServingServiceClient,
    serving_service_server::{ServingService, ServingServiceServer},
};
use finrank_serving::{Health, Server, ServerConfig, ServingError};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_types::StatusExt;

const SERVICE: &str = "feast.serving.ServingService";

/// Of the contracts' services the one with the fewest rpcs. Does what the feature service is called: `sleep` for half a
/// second, `panic`, or answer at once.
struct Obedient;

#[tonic::async_trait]
impl ServingService for Obedient {
    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        match request.into_inner().kind {
            Some(Kind::FeatureService(told)) if told == "sleep" => sleep(Duration::from_millis(500)).await,
            Some(Kind::FeatureService(told)) if told == "panic" => panic!("as told"),
            _ => {}
        }
        Ok(Response::new(GetOnlineFeaturesResponse::default()))
    }

    async fn get_feast_serving_info(
        &self,
        _: Request<GetFeastServingInfoRequest>,
    ) -> Result<Response<GetFeastServingInfoResponse>, Status> {
        Err(Status::unimplemented("not told to"))
    }
}

/// A server that runs, and what it takes to talk to it.
struct Running {
    channel: Channel,
    url: String,
    health: Health,
    stop: CancellationToken,
    server: JoinHandle<finrank_serving::Result<()>>,
}

impl Running {
    async fn start(config: ServerConfig) -> Self {
        let service = ServingServiceServer::new(Obedient).max_decoding_message_size(config.max_message_bytes);
        let server = Server::bind(config).await.unwrap().with(service).await;
        let url = format!("http://{}", server.address());
        let (health, stop) = (server.health(), CancellationToken::new());
        let server = tokio::spawn(server.serve(stop.clone()));
        let channel = Endpoint::from_shared(url.clone()).unwrap().connect().await.unwrap();
        Self { channel, url, health, stop, server }
    }

    async fn tell(&self, what: &str) -> Result<(), Status> {
        tell(self.channel.clone(), what, None).await
    }

    async fn status_of(&self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel.clone()).check(request).await.unwrap();
        match answer.into_inner().status {
            1 => ServingStatus::Serving,
            2 => ServingStatus::NotServing,
            other => panic!("unexpected status {other}"),
        }
    }
}

async fn tell(channel: Channel, what: &str, timeout: Option<Duration>) -> Result<(), Status> {
    let kind = Some(Kind::FeatureService(what.to_owned()));
    let mut request = Request::new(GetOnlineFeaturesRequest { kind, ..Default::default() });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    ServingServiceClient::new(channel).get_online_features(request).await.map(|_| ())
}

#[tokio::test]
async fn is_not_serving_until_it_says_so_for_the_service_and_as_a_whole() {
    let running = Running::start(ServerConfig::default()).await;

    assert_eq!(running.status_of(SERVICE).await, ServingStatus::NotServing);
    assert_eq!(running.status_of("").await, ServingStatus::NotServing);

    running.health.serving().await;
    assert_eq!(running.status_of(SERVICE).await, ServingStatus::Serving);
    assert_eq!(running.status_of("").await, ServingStatus::Serving);
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_servers_limit_is_given_up() {
    let config = ServerConfig { request_timeout: Duration::from_millis(50), ..ServerConfig::default() };
    let running = Running::start(config).await;

    let refusal = running.tell("sleep").await.unwrap_err();

    assert_eq!(refusal.code(), Code::DeadlineExceeded, "{refusal:?}");
    running.tell("anyone").await.unwrap();
}

#[tokio::test]
async fn a_clients_own_deadline_counts() {
    let running = Running::start(ServerConfig::default()).await;

    let refusal = tell(running.channel.clone(), "sleep", Some(Duration::from_millis(50))).await.unwrap_err();

    assert_eq!(refusal.code(), Code::DeadlineExceeded, "{refusal:?}");
}

#[tokio::test]
async fn what_is_too_much_is_shed_with_a_hint_and_health_still_answers() {
    let running =
        Running::start(ServerConfig { max_concurrent_requests: 1, ..ServerConfig::default() }).await;
    let busy = tokio::spawn(tell(running.channel.clone(), "sleep", None));
    sleep(Duration::from_millis(150)).await;

    let refusal = running.tell("anyone").await.unwrap_err();

    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal:?}");
    assert!(refusal.get_details_retry_info().unwrap().retry_delay.is_some());
    running.status_of(SERVICE).await;
    busy.await.unwrap().unwrap();
    running.tell("anyone").await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_its_own_request_only() {
    let running = Running::start(ServerConfig::default()).await;

    let refusal = running.tell("panic").await.unwrap_err();

    assert_eq!(refusal.code(), Code::Internal, "{refusal:?}");
    assert!(!refusal.message().contains("as told"), "{refusal:?}");
    running.tell("anyone").await.unwrap();
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let running = Running::start(ServerConfig { max_message_bytes: 1_000, ..ServerConfig::default() }).await;

    let refusal = running.tell(&"x".repeat(2_000)).await.unwrap_err();

    assert!(matches!(refusal.code(), Code::OutOfRange | Code::ResourceExhausted), "{refusal:?}");
    assert!(refusal.message().contains("1000"), "{refusal:?}");
}

#[tokio::test]
async fn stopping_lets_a_call_in_flight_finish_and_takes_no_new_connection() {
    let running = Running::start(ServerConfig::default()).await;
    let in_flight = tokio::spawn(tell(running.channel.clone(), "sleep", None));
    sleep(Duration::from_millis(150)).await;

    running.stop.cancel();

    in_flight.await.unwrap().unwrap();
    running.server.await.unwrap().unwrap();
    assert!(Endpoint::from_shared(running.url).unwrap().connect().await.is_err());
}

#[tokio::test]
async fn stopping_waits_for_a_call_no_longer_than_the_drain_timeout() {
    let config = ServerConfig { drain_timeout: Duration::from_millis(50), ..ServerConfig::default() };
    let running = Running::start(config).await;
    let in_flight = tokio::spawn(tell(running.channel.clone(), "sleep", None));
    sleep(Duration::from_millis(150)).await;

    running.stop.cancel();

    running.server.await.unwrap().unwrap();
    assert!(!in_flight.is_finished());
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let running = Running::start(ServerConfig::default()).await;
    let listen = running.url.strip_prefix("http://").unwrap().parse().unwrap();

    let taken = Server::bind(ServerConfig { listen, ..ServerConfig::default() }).await;

    let error = taken.err().unwrap();
    assert!(matches!(error, ServingError::AddressInUse(address) if address == listen), "{error}");
}

#[tokio::test]
async fn reflection_speaks_v1_and_v1alpha() {
    use tonic_reflection::pb::{v1, v1alpha};

    let running = Running::start(ServerConfig::default()).await;

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(running.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains(SERVICE));

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(running.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains(SERVICE));
}
