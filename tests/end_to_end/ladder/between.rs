//! Somebody between ranking and a real feature store, who passes everything on but one rpc.

use std::{
    convert::Infallible,
    future::{self, poll_fn},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
    transport::{Channel, Endpoint, Server},
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It is answered by UNAVAILABLE.
    Refuses,
    /// It is never answered.
    Hangs,
}

/// Stands between, and changes its mind when told.
#[derive(Clone)]
pub(super) struct Between {
    store: Channel,
    fault: Arc<Mutex<Option<(&'static str, Fault)>>>,
}

impl Between {
    /// Listens in front of a feature store, and says where.
    pub(super) async fn start(feature_store: &str) -> (Self, String) {
        let store = Endpoint::from_shared(feature_store.to_owned()).unwrap().connect_lazy();
        let between = Self { store, fault: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(between.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (between, url)
    }

    /// From now on one rpc has a fault, and no other.
    pub(super) fn set(&self, rpc: &'static str, fault: Fault) {
        *self.fault.lock().unwrap() = Some((rpc, fault));
    }
}

impl NamedService for Between {
    const NAME: &'static str = "finrank.feature.v1.FeatureStoreService";
}

impl Service<http::Request<Body>> for Between {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fault = *self.fault.lock().unwrap();
        let fault = fault.filter(|(rpc, _)| request.uri().path().ends_with(&format!("/{rpc}")));
        let mut store = self.store.clone();
        Box::pin(async move {
            match fault {
                Some((_, Fault::Refuses)) => return Ok(Status::unavailable("a fault").into_http()),
                Some((_, Fault::Hangs)) => future::pending().await,
                None => {}
            }
            let passed_on = async {
                poll_fn(|context| store.poll_ready(context)).await?;
                store.call(request).await
            };
            Ok(passed_on.await.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}
