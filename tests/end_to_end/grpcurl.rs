//! A client that is not ours: grpcurl, which learns everything from reflection.

use std::process::Command;

use crate::world::{World, provided};

/// Runs grpcurl against a server's URL; `None` where grpcurl is not set up.
fn grpcurl(args: &[&str], url: &str, call: &[&str]) -> Option<String> {
    let program = provided("FINRANK_GRPCURL")?;
    let address = url.strip_prefix("http://").unwrap();
    let output = Command::new(program).arg("-plaintext").args(args).arg(address).args(call).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn lists_the_services_of_both_servers() {
    let world = World::shared().await;

    for (url, service) in [
        (&world.feature_store_url, "finrank.feature.v1.FeatureStoreService"),
        (&world.feature_store_url, "feast.serving.ServingService"),
        (&world.feature_store_url, "GrpcFeatureServer"),
        (&world.ranking_url, "finrank.ranking.v1.RankingService"),
    ] {
        let Some(services) = grpcurl(&[], url, &["list"]) else {
            return;
        };

        let services: Vec<&str> = services.lines().collect();
        assert!(services.contains(&service), "{services:?}");
        assert!(services.contains(&"grpc.health.v1.Health"), "{services:?}");
        let ranks = services.contains(&"finrank.ranking.v1.RankingService");
        assert_eq!(ranks, *url == world.ranking_url, "a server tells of what it does not have: {services:?}");
    }
}

#[tokio::test]
async fn describes_an_rpc_with_its_comment() {
    let world = World::shared().await;

    let symbol = "finrank.ranking.v1.RankingService.Recommend";
    let Some(description) = grpcurl(&[], &world.ranking_url, &["describe", symbol]) else {
        return;
    };

    assert!(description.contains("best first"), "{description}");
}

#[tokio::test]
async fn calls_both_services() {
    let world = World::shared().await;
    let user_id = &world.user_ids[0];

    let request = format!(r#"{{"user_id": "{user_id}", "k": 2}}"#);
    let recommend = ["finrank.ranking.v1.RankingService/Recommend"];
    let Some(answer) = grpcurl(&["-d", &request], &world.ranking_url, &recommend) else {
        return;
    };
    let request = format!(r#"{{"user_ids": ["{user_id}"]}}"#);
    let holdings = ["finrank.feature.v1.FeatureStoreService/BatchGetHoldings"];
    let held = grpcurl(&["-d", &request], &world.feature_store_url, &holdings).unwrap();
    let health = grpcurl(&[], &world.ranking_url, &["grpc.health.v1.Health/Check"]).unwrap();

    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["items"].as_array().unwrap().len(), 2);
    assert_eq!(answer["items"][0]["rank"], 1);
    assert!(held.contains(user_id));
    assert!(health.contains("SERVING"));
}
