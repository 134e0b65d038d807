//! Features from the command line: their file, their values, and training sets.

use std::fs;

use crate::world::World;

#[tokio::test]
async fn lists_describes_and_compares_what_is_declared() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let changed = world.state.path().join("changed.toml");
    let built_in = finrank_feature_store::BUILT_IN_DEFINITIONS;
    fs::write(&changed, built_in.replace("window = \"7days\"", "window = \"8days\"")).unwrap();
    let broken = world.state.path().join("broken.toml");
    fs::write(&broken, built_in.replace("owner = \"core-banking\"", "owner = \"\"")).unwrap();

    let listed = finrank.succeed(&["features", "list"]);
    let described = finrank.succeed(&["features", "describe", "customer_activity"]);
    let differs = finrank.succeed(&["features", "diff", changed.to_str().unwrap()]);
    let refused = finrank.fail(&["features", "validate", broken.to_str().unwrap()]);

    assert!(listed.contains("customer_profile") && listed.contains("product_demand"), "{listed}");
    assert!(described.contains("number of events (viewed) of the last 7days"), "{described}");
    assert!(differs.starts_with("feature customer_activity:viewed_7d is made in another way"), "{differs}");
    assert_eq!(differs.lines().count(), 1, "{differs}");
    assert!(refused.contains("view[customer_spending].owner is empty"), "{refused}");
}

#[tokio::test]
async fn gets_features_now_and_again_as_they_were_served() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let (user, store) = (&world.user_ids[0], &world.feature_store_url);
    let get = |further: &[&str]| {
        let fixed = ["features", "get", user, "--feature-store", store, "--json", "--features"];
        let features = "customer_spending:acquired_365d,customer_profile:age";
        let arguments = [&fixed[..], &[features, "--purpose", "marketing"], further].concat();
        serde_json::from_str::<serde_json::Value>(&finrank.succeed(&arguments)).unwrap()
    };

    let now = get(&[]);
    let again = get(&["--as-of", now["known_at"].as_str().unwrap()]);

    assert_eq!(now["values"][0]["status"], "PRESENT", "{now}");
    assert!(now["values"][0]["value"].is_u64(), "{now}");
    assert_eq!(now["values"][1]["status"], "DENIED", "{now}");
    assert_eq!(now["denials"][0]["allowed_purposes"][0], "fairness_monitoring", "{now}");
    assert_eq!(again, now);
}

#[tokio::test]
async fn makes_a_training_set_that_carries_the_labels() {
    let world = World::shared().await;
    let rows = world.state.path().join("labels.csv");
    let out = world.state.path().join("set.csv");
    let mut labels = "label,entity_id,as_of\n".to_owned();
    for (place, user) in world.user_ids.iter().cycle().take(2_500).enumerate() {
        labels.push_str(&format!("{},{user},2025-12-31\n", place % 2));
    }
    fs::write(&rows, &labels).unwrap();
    let make = |further: &[&str]| {
        let (rows, out, store) = (rows.to_str().unwrap(), out.to_str().unwrap(), &world.feature_store_url);
        let fixed = ["features", "history", "--rows", rows, "--out", out, "--feature-store", store];
        let wanted = ["--features", "customer_spending:acquired_365d", "--purpose", "marketing"];
        world.finrank().run(&[&fixed[..], &wanted, further].concat())
    };

    let strict = make(&[]);
    let nothing_known = fs::read_to_string(&out).unwrap();
    let get = ["features", "get", &world.user_ids[0], "--feature-store", &world.feature_store_url, "--json"];
    let wanted = ["--features", "customer_spending:acquired_365d", "--purpose", "marketing"];
    let now: serde_json::Value =
        serde_json::from_str(&world.finrank().succeed(&[&get[..], &wanted].concat())).unwrap();
    let pinned = make(&["--known-at", now["known_at"].as_str().unwrap(), "--statuses"]);
    assert!(strict.status.success() && pinned.status.success(), "{pinned:?}");
    let all_known = fs::read_to_string(&out).unwrap();

    let mut lines = nothing_known.lines();
    assert_eq!(lines.next().unwrap(), "label,entity_id,as_of,customer_spending:acquired_365d");
    assert_eq!(lines.clone().count(), 2_500);
    let carried = lines.zip(labels.lines().skip(1)).all(|(line, label)| line == format!("{label},"));
    assert!(carried, "what was imported today was not known then");
    let present = all_known.lines().filter(|line| line.contains(",PRESENT,")).count();
    assert!(present > 2_000, "pinned to now, it is: {present}");

    fs::write(&rows, "entity_id,as_of\nu,2025-12-31\nu,yesterday\n").unwrap();
    let refused = String::from_utf8(make(&[]).stderr).unwrap();
    assert!(refused.contains("labels.csv line 3"), "{refused}");
    assert!(fs::read_to_string(&out).unwrap().lines().count() == 2_501, "the set before stays");
}
