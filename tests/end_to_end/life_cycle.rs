//! What changes while the servers run: new generations, withdrawn products, SIGTERM, a store that goes away.

use std::{fs, time::Duration};

use finrank_contracts::{
    common::v1::{Customer, Product, ProductClass, ProductStatus},
    feature::v1::{WriteCustomersRequest, WriteProductsRequest},
    ranking::v1::{RecommendRequest, RecommendResponse, ranking_service_client::RankingServiceClient},
};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::world::{Finrank, Server, World, eventually};

async fn recommend_all(world: &World, user_id: &str) -> RecommendResponse {
    let request = RecommendRequest { user_id: user_id.to_owned(), k: 500, ..Default::default() };
    world.ranking().await.recommend(request).await.unwrap().into_inner()
}

async fn health(url: &str, service: &str) -> Option<ServingStatus> {
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.ok()?;
    let request = HealthCheckRequest { service: service.to_owned() };
    Some(HealthClient::new(channel).check(request).await.ok()?.into_inner().status())
}

#[tokio::test]
async fn a_new_model_and_a_withdrawn_product_reach_a_running_ranking_server() {
    let world = World::create().await;
    let user_id = &world.user_ids[0];
    let before = recommend_all(&world, user_id).await;
    let versions = before.versions.clone().unwrap();

    world.finrank().succeed(&["train", "--epochs", "1", "--seed", "99"]);
    world.finrank().succeed(&["refresh", "--feature-store", &world.feature_store_url]);

    eventually("the new model's generation is served", async || {
        let now = recommend_all(&world, user_id).await.versions.unwrap();
        now.model_version != versions.model_version && now.index_generation > versions.index_generation
    })
    .await;

    let withdrawn = &before.items[0];
    let product = Product {
        product_id: withdrawn.product_id.clone(),
        product_class: ProductClass::Loan.into(),
        name: "No longer sold".into(),
        status: ProductStatus::Withdrawn.into(),
        event_time: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
        ..Default::default()
    };
    let stream = tokio_stream::iter([WriteProductsRequest { products: vec![product] }]);
    let written = world.feature_store().await.write_products(stream).await.unwrap().into_inner();
    assert_eq!(written.summary.unwrap().accepted, 1);

    eventually("the withdrawn product is gone", async || {
        let now = recommend_all(&world, user_id).await;
        now.items.iter().all(|item| item.product_id != withdrawn.product_id)
    })
    .await;
}

#[tokio::test]
async fn customers_and_products_written_after_the_refresh_are_served_without_another() {
    let world = World::create().await;
    let before = recommend_all(&world, &world.user_ids[0]).await;
    let event_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
    let customer = Customer { user_id: "zz-late".into(), event_time, ..Default::default() };
    let product = Product {
        product_id: "zz-new".into(),
        // Which the policy lets anybody be offered: nothing is known of the customer.
        product_class: ProductClass::Insurance.into(),
        name: "A new cover".into(),
        event_time,
        ..Default::default()
    };
    let is_offered = async |product_id: &str, user_id: &str| {
        let request = RecommendRequest { user_id: user_id.to_owned(), k: 500, ..Default::default() };
        let answer = world.ranking().await.recommend(request).await.ok()?.into_inner();
        Some(answer.items.iter().any(|item| item.product_id == product_id))
    };

    let mut store = world.feature_store().await;
    let customers = tokio_stream::iter([WriteCustomersRequest { customers: vec![customer] }]);
    store.write_customers(customers).await.unwrap();
    store.write_products(tokio_stream::iter([written(product.clone())])).await.unwrap();
    eventually("the new customer is offered the new product", async || {
        is_offered("zz-new", "zz-late").await == Some(true)
    })
    .await;

    let taken_back = Product { revision: 1, retracted: true, ..product };
    store.write_products(tokio_stream::iter([written(taken_back)])).await.unwrap();
    eventually("the product that was taken back is gone", async || {
        is_offered("zz-new", "zz-late").await == Some(false)
    })
    .await;

    let after = recommend_all(&world, &world.user_ids[0]).await;
    assert_eq!(before.versions, after.versions, "no generation has come");
}

#[tokio::test]
async fn ranking_goes_on_where_it_was_when_the_feature_store_comes_back() {
    let world = World::create().await;
    let finrank = world.finrank();
    let store = Server::start(&finrank, &["serve", "feature-store", "--listen", "127.0.0.1:0"]);
    let store_url = store.url.clone();
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", &store_url];
    let ranking = Server::start(&finrank, &args);
    let mut client = RankingServiceClient::connect(ranking.url.clone()).await.unwrap();
    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 500, ..Default::default() };
    eventually("ranking serves", async || client.recommend(request.clone()).await.is_ok()).await;
    let offered = client.recommend(request.clone()).await.unwrap().into_inner().items[0].clone();

    drop(store);
    let withdrawn = Product {
        product_id: offered.product_id.clone(),
        product_class: offered.product_class,
        name: offered.name.clone(),
        status: ProductStatus::Withdrawn.into(),
        event_time: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
        ..Default::default()
    };
    // By the world's own server, of the same database.
    let stream = tokio_stream::iter([written(withdrawn)]);
    world.feature_store().await.write_products(stream).await.unwrap();
    let listen = store_url.strip_prefix("http://").unwrap();
    let _store = Server::start(&finrank, &["serve", "feature-store", "--listen", listen]);

    eventually("what was withdrawn meanwhile is gone", async || {
        let answer = client.recommend(request.clone()).await;
        answer.is_ok_and(|answer| {
            answer.into_inner().items.iter().all(|item| item.product_id != offered.product_id)
        })
    })
    .await;
}

fn written(product: Product) -> WriteProductsRequest {
    WriteProductsRequest { products: vec![product] }
}

#[tokio::test]
async fn ranking_is_not_serving_until_there_are_embeddings_and_says_to_retry() {
    let world = World::shared().await;
    let finrank = world.finrank();
    // Nothing listens on port 1, so this server never sees a feature store.
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", "http://127.0.0.1:1"];
    let ranking = Server::start(&finrank, &args);

    let status = health(&ranking.url, "finrank.ranking.v1.RankingService").await;
    let mut client = RankingServiceClient::connect(ranking.url.clone()).await.unwrap();
    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 1, ..Default::default() };
    let refusal = client.recommend(request).await.unwrap_err();

    assert_eq!(status, Some(ServingStatus::NotServing));
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
}

#[tokio::test]
async fn both_servers_say_that_they_serve_once_they_do() {
    let world = World::shared().await;

    for (url, service) in [
        (&world.feature_store_url, "finrank.feature.v1.FeatureStoreService"),
        (&world.ranking_url, "finrank.ranking.v1.RankingService"),
    ] {
        assert_eq!(health(url, service).await, Some(ServingStatus::Serving), "{service}");
        assert_eq!(health(url, "").await, Some(ServingStatus::Serving), "{service}, the server as a whole");
    }
}

#[tokio::test]
async fn both_servers_in_one_process_find_each_other_on_free_ports() {
    let world = World::shared().await;
    let settings = world.state.path().join("free_ports.toml");
    let free = "server.listen = \"127.0.0.1:0\"\n";
    fs::write(&settings, format!("[feature_store]\n{free}[ranking]\n{free}")).unwrap();
    let mut both = Server::start(&world.finrank(), &["serve", "--config", settings.to_str().unwrap(), "all"]);
    let mut ranking = RankingServiceClient::connect(both.next_url()).await.unwrap();

    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 1, ..Default::default() };
    eventually("ranking serves", async || ranking.recommend(request.clone()).await.is_ok()).await;
}

#[tokio::test]
async fn ranking_says_unavailable_when_the_feature_store_goes_away_and_recovers() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let store = Server::start(&finrank, &["serve", "feature-store", "--listen", "127.0.0.1:0"]);
    let store_url = store.url.clone();
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", &store_url];
    let ranking = Server::start(&finrank, &args);
    let mut client = RankingServiceClient::connect(ranking.url.clone()).await.unwrap();
    let request = RecommendRequest { user_id: world.user_ids[0].clone(), k: 1, ..Default::default() };
    eventually("ranking serves", async || client.recommend(request.clone()).await.is_ok()).await;

    drop(store);
    let refusal = client.recommend(request.clone()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");

    let listen = store_url.strip_prefix("http://").unwrap();
    let _store = Server::start(&finrank, &["serve", "feature-store", "--listen", listen]);
    eventually("ranking serves again", async || client.recommend(request.clone()).await.is_ok()).await;
}

#[tokio::test]
async fn a_deadline_that_cannot_be_kept_is_answered_as_exceeded() {
    let world = World::shared().await;
    let mut request = tonic::Request::new(RecommendRequest {
        user_id: world.user_ids[0].clone(),
        k: 1,
        ..Default::default()
    });
    request.set_timeout(Duration::from_nanos(1));

    let refusal = world.ranking().await.recommend(request).await.unwrap_err();

    // Whichever of the two sees it first: tonic's client says CANCELLED, the server DEADLINE_EXCEEDED.
    assert!(matches!(refusal.code(), Code::DeadlineExceeded | Code::Cancelled), "{refusal:?}");
}

#[tokio::test]
async fn a_second_server_on_the_same_port_says_so() {
    let world = World::shared().await;
    let listen = world.feature_store_url.strip_prefix("http://").unwrap();

    let stderr = world.finrank().fail(&["serve", "feature-store", "--listen", listen]);

    assert!(stderr.contains(listen), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
}

#[tokio::test]
async fn postgres_down_is_said_with_its_address() {
    let state = tempfile::tempdir().unwrap();
    let finrank = Finrank {
        state: state.path().to_owned(),
        database_url: "postgres://finrank:secret@127.0.0.1:1/finrank".into(),
    };

    let stderr = finrank.fail(&["serve", "feature-store", "--listen", "127.0.0.1:0"]);

    assert!(stderr.contains("127.0.0.1:1"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}
