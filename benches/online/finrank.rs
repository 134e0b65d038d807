//! finrank's side: customers with 50 attributes, a generation of their embeddings, and a server.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Product, ProductClass, attribute_value::Kind},
    feast::server::grpc_feature_server_client::GrpcFeatureServerClient,
    feature::v1::{
        BatchGetEmbeddingsRequest, EntityKind, RefreshScope, WriteCustomersRequest, WriteProductsRequest,
    },
};
use finrank_serving::wire;
use finrank_store::Store;
use futures::stream;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Result, freshness,
    load::Call,
    model,
    server::Served,
    shape::{self, FEATURES_PER_VIEW, VIEWS, feature, user_id},
};

/// Customers of one written message.
const MESSAGE_ROWS: u32 = 1000;

/// Writes customers, and refreshes their embeddings.
pub(crate) async fn fill(store: &Store, models: &Path, users: u32) -> Result<()> {
    eprintln!("writing {users} customers");
    let served = Served::start(store, models, None, |_| {}).await?;
    let random = &mut ChaCha8Rng::seed_from_u64(0);
    let numbers: Vec<u32> = (0..users).collect();
    for numbers in numbers.chunks(MESSAGE_ROWS as usize) {
        let customers = numbers.iter().map(|number| customer(*number, random)).collect();
        served.client().write_customers(stream::iter([WriteCustomersRequest { customers }])).await?;
    }
    let products = vec![product()];
    served.client().write_products(stream::iter([WriteProductsRequest { products }])).await?;
    model::register(store, models).await?;
    let run_id = served.start_refresh(RefreshScope::Full, None).await?;
    served.until_complete(run_id).await?;
    served.stop().await?;
    sqlx::raw_sql("vacuum (analyze)").execute(store.pool()).await?;
    Ok(())
}

/// A server of the filled database.
pub(crate) struct Finrank(Served);

impl Finrank {
    /// Serves, with or without a cache, whatever Feast's clients ask without a purpose.
    pub(crate) async fn start(store: &Store, models: &Path, cache: bool) -> Result<Self> {
        let definitions = shape::definitions();
        let served = Served::start(store, models, Some(&definitions), |config| {
            config.feast.purpose = Some("marketing".to_owned());
            if !cache {
                config.cache.max_bytes = 0;
            }
        });
        Ok(Self(served.await?))
    }

    /// Reads everyone twice: of what is read while the horizon moves nothing is kept.
    pub(crate) async fn read_all(&self, users: u32) -> Result<()> {
        let mut features = GrpcFeatureServerClient::new(self.0.channel.clone());
        let mut client = self.0.client();
        let numbers: Vec<u32> = (0..users).collect();
        for numbers in numbers.chunks(100).chain(numbers.chunks(100)) {
            let ids: Vec<String> = numbers.iter().map(|number| user_id(*number)).collect();
            features.get_online_features(shape::request_of(ids.clone())).await?;
            let entity = EntityKind::User.into();
            client
                .batch_get_embeddings(BatchGetEmbeddingsRequest { entity, ids, model_version: String::new() })
                .await?;
        }
        Ok(())
    }

    /// Asks for features by Feast's contract.
    pub(crate) fn features(&self, users: u32, keys: usize) -> Call {
        features(&GrpcFeatureServerClient::new(self.0.channel.clone()), users, keys)
    }

    /// Asks for embeddings.
    pub(crate) fn embeddings(&self, users: u32, keys: usize) -> Call {
        let client = self.0.client();
        Arc::new(move || {
            let mut client = client.clone();
            Box::pin(async move {
                let request = BatchGetEmbeddingsRequest {
                    entity: EntityKind::User.into(),
                    ids: shape::draw(users, keys),
                    model_version: String::new(),
                };
                let answer = client.batch_get_embeddings(request).await?.into_inner();
                assert!(answer.results.iter().all(|result| result.embedding.is_some()));
                Ok(())
            })
        })
    }

    /// How long it takes until what is pushed is read in an embedding.
    pub(crate) async fn lags(&self, users: u32, span: Duration) -> Result<Vec<Duration>> {
        freshness::measure(&self.0.channel, users, span).await
    }

    /// Asks for nothing.
    pub(crate) fn health(&self) -> Call {
        let client = HealthClient::new(self.0.channel.clone());
        Arc::new(move || {
            let mut client = client.clone();
            Box::pin(async move { client.check(HealthCheckRequest::default()).await.map(drop) })
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.0.stop().await
    }
}

/// Asks whoever answers Feast's contract for features.
pub(crate) fn features(
    client: &GrpcFeatureServerClient<tonic::transport::Channel>,
    users: u32,
    keys: usize,
) -> Call {
    let client = client.clone();
    Arc::new(move || {
        let mut client = client.clone();
        Box::pin(async move {
            let answer = client.get_online_features(shape::request(users, keys)).await?.into_inner();
            assert_eq!(
                answer.results.len(),
                VIEWS * FEATURES_PER_VIEW + 1,
                "a column for each feature and the ids"
            );
            assert!(answer.results.iter().all(|column| column.values.len() == keys));
            Ok(())
        })
    })
}

fn customer(number: u32, random: &mut ChaCha8Rng) -> Customer {
    let places = (0..VIEWS).flat_map(|view| (0..FEATURES_PER_VIEW).map(move |place| feature(view, place)));
    let attributes = places.map(|name| {
        let kind = Some(Kind::Number(random.random()));
        (name, AttributeValue { kind })
    });
    Customer {
        user_id: user_id(number),
        attributes: attributes.collect(),
        event_time: Some(wire::timestamp(Utc::now())),
        ..Customer::default()
    }
}

fn product() -> Product {
    Product {
        product_id: "loan".to_owned(),
        product_class: ProductClass::Loan.into(),
        name: "A loan".to_owned(),
        event_time: Some(wire::timestamp(Utc::now())),
        ..Product::default()
    }
}
