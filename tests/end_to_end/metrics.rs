//! What Prometheus fetches.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use finrank_contracts::feature::v1::{
    BatchGetEmbeddingsRequest, EntityKind, feature_store_service_client::FeatureStoreServiceClient,
};

use crate::world::{Server, World, eventually};

#[tokio::test]
async fn say_how_often_a_reading_was_answered_from_memory() {
    let world = World::shared().await;
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = world.state.path().join("metrics.toml");
    fs::write(&config, format!("metrics.listen = \"{metrics}\"")).unwrap();
    let config = config.to_str().unwrap();
    let server = Server::start(
        &world.finrank(),
        &["serve", "feature-store", "--config", config, "--listen", "127.0.0.1:0"],
    );
    let mut client = FeatureStoreServiceClient::connect(server.url.clone()).await.unwrap();
    let request = BatchGetEmbeddingsRequest {
        entity: EntityKind::User.into(),
        ids: vec![world.user_ids[0].clone()],
        model_version: String::new(),
    };

    eventually("a reading is answered from memory", async || {
        client.batch_get_embeddings(request.clone()).await.unwrap();
        let fetched = fetch(metrics);
        let counted = |result: &str| {
            let line =
                format!(r#"finrank_cache_reads_total{{cache="customer_embeddings",result="{result}"}} "#);
            fetched.lines().find_map(|counter| counter.strip_prefix(&line)?.parse::<u64>().ok())
        };
        counted("miss") >= Some(1) && counted("hit") >= Some(1)
    })
    .await;
}

#[tokio::test]
async fn say_how_far_live_embeddings_are_behind_the_clock() {
    let world = World::shared().await;
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = format!("metrics.listen = \"{metrics}\"");
    let config = world.state.path().join("live-metrics.toml");
    fs::write(&config, listen).unwrap();
    let _server = Server::start(
        &world.finrank(),
        &["serve", "feature-store", "--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0"],
    );

    eventually("it is said how far the version that is served is behind the clock", async || {
        let told = fetch(metrics);
        let of_version = |line: &str| {
            let (_, seconds) =
                line.strip_prefix("finrank_live_lag_seconds{model_version=\"")?.split_once("\"} ")?;
            seconds.parse::<f64>().ok()
        };
        told.lines().filter_map(of_version).count() == 1
    })
    .await;
}

fn fetch(address: SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: finrank\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}
