//! Features from the command line: their file, their values, and training sets.

use std::fs;

use arrow_array::{
    Array as _, RecordBatch,
    cast::AsArray as _,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sqlx::{Connection as _, PgConnection};

use crate::world::{Server, World};

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
    let server = ["--feature-store", &world.feature_store_url];
    let served = finrank.succeed(&[&["features", "list"], &server[..]].concat());
    let served_view =
        finrank.succeed(&[&["features", "describe", "customer_activity"], &server[..]].concat());
    let differs = finrank.succeed(&["features", "diff", changed.to_str().unwrap()]);
    let refused = finrank.fail(&["features", "validate", broken.to_str().unwrap()]);

    assert!(listed.contains("customer_profile") && listed.contains("product_demand"), "{listed}");
    assert!(described.contains("count of viewed within 7days"), "{described}");
    assert!(served.contains("newest statement") && served.contains("product_demand"), "{served}");
    let (declared, fresh): (Vec<&str>, Vec<&str>) =
        served_view.lines().partition(|line| !line.starts_with("newest statement of "));
    assert_eq!(declared, described.lines().collect::<Vec<_>>(), "the server has the same file");
    assert_eq!(fresh.len(), 1, "{served_view}");
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

#[tokio::test]
async fn a_parquet_set_holds_what_the_csv_set_holds_in_columns_of_their_types() {
    let world = World::shared().await;
    let file = |name: &str| world.state.path().join(name);
    let (rows, csv, parquet) = (file("typed-labels.csv"), file("typed.csv"), file("typed.parquet"));
    let mut labels = "label,entity_id,as_of\n".to_owned();
    for (place, user) in world.user_ids.iter().chain([&"nobody".to_owned()]).enumerate() {
        labels.push_str(&format!("{},{user},2025-12-31\n", place % 2));
    }
    fs::write(&rows, &labels).unwrap();
    let get = ["features", "get", &world.user_ids[0], "--feature-store", &world.feature_store_url, "--json"];
    let wanted = ["--features", "customer_profile:annual_income", "--purpose", "marketing"];
    let now: serde_json::Value =
        serde_json::from_str(&world.finrank().succeed(&[&get[..], &wanted].concat())).unwrap();
    // Of every type that the built-in views have, and one that is denied.
    let features = "customer_profile:annual_income,customer_profile:age,customer_profile:occupation,customer_profile:owns_home,\
                    customer_activity:viewed_7d,customer_activity:last_applied,customer_spending:amount_365d";
    for out in [&csv, &parquet] {
        let (rows, out) = (rows.to_str().unwrap(), out.to_str().unwrap());
        let known_at = now["known_at"].as_str().unwrap();
        world.finrank().succeed(&[
            "features",
            "history",
            "--rows",
            rows,
            "--out",
            out,
            "--feature-store",
            &world.feature_store_url,
            "--features",
            features,
            "--purpose",
            "marketing",
            "--known-at",
            known_at,
            "--statuses",
        ]);
    }

    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&parquet).unwrap()).unwrap();
    let about = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    let typed = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| as_text(batch, row)));
    let mut text = csv::Reader::from_path(&csv).unwrap();

    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, text.headers().unwrap().iter().collect::<Vec<_>>());
    let text: Vec<Vec<String>> =
        text.records().map(|record| record.unwrap().iter().map(as_moment).collect()).collect();
    assert_eq!(typed.collect::<Vec<_>>(), text);
    assert_eq!(text.len(), world.user_ids.len() + 1);
    assert!(text[0].contains(&"PRESENT".to_owned()), "{:?}", text[0]);
    let of = |key: &str| about.iter().find(|about| about.key == key).unwrap().value.clone().unwrap();
    assert_eq!(of("finrank.definitions_sha256"), now["definitions_sha256"].as_str().unwrap());
    assert_eq!(of("finrank.known_at"), now["known_at"].as_str().unwrap());
    let spent = schema.field_with_name("customer_spending:amount_365d").unwrap();
    assert_eq!(spent.metadata()["currency"], "EUR");
}

#[tokio::test]
async fn verifies_what_was_served_and_reads_a_file_of_views_anew() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let built_in = finrank_feature_store::BUILT_IN_DEFINITIONS;
    let (views, settings) =
        (world.state.path().join("views.toml"), world.state.path().join("every-row.toml"));
    fs::write(&views, built_in).unwrap();
    let features = format!("definitions = {:?}\nsample = {{ one_in = 1 }}\n", views.to_str().unwrap());
    fs::write(&settings, format!("[feature_store.features]\n{features}")).unwrap();
    let serve = ["serve", "feature-store", "--listen", "127.0.0.1:0", "--config", settings.to_str().unwrap()];
    let server = Server::start(&finrank, &serve);
    let run = |arguments: &[&str]| {
        finrank.run(&[&["features"], arguments, &["--feature-store", &server.url]].concat())
    };

    let (user, service) = (&world.user_ids[1], "offer_ranking");
    assert!(run(&["get", user, "--service", service, "--purpose", "marketing"]).status.success());
    let verified = run(&["verify", "--json"]);
    let unchanged = run(&["reload"]);
    fs::write(&views, built_in.replace("owner = \"core-banking\"", "owner = \"\"")).unwrap();
    let broken = run(&["reload"]);
    // A connection of its own: the world's may belong to a test that has ended.
    let mut connection = PgConnection::connect(world.database.store.url()).await.unwrap();
    sqlx::query("update served_samples set served = '\\x00' where id = $1")
        .bind(user)
        .execute(&mut connection)
        .await
        .unwrap();
    let tampered = run(&["verify"]);

    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified.status.success() && report["checked"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(report["different"], 0, "{report}");
    assert!(String::from_utf8_lossy(&unchanged.stdout).starts_with("nothing changes"), "{unchanged:?}");
    let refused = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(
        !broken.status.success() && refused.contains("view[customer_spending].owner is empty"),
        "{refused}"
    );
    let (told, failed) =
        (String::from_utf8_lossy(&tampered.stdout), String::from_utf8_lossy(&tampered.stderr));
    assert!(told.contains(&format!("customer {user} at ")), "{told}");
    assert!(!tampered.status.success() && failed.contains("are not what was served"), "{failed}");
}

/// A row's values as the CSV set writes them.
fn as_text(batch: &RecordBatch, row: usize) -> Vec<String> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        _ if column.is_null(row) => String::new(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            as_moment(&chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339())
        }
        other => panic!("{other}"),
    });
    columns.collect()
}

/// A moment in one form, whatever form it has; all else as it is.
fn as_moment(text: &str) -> String {
    match finrank_model::parse_moment("moment", text) {
        Ok(moment) if text.contains('-') => moment.to_rfc3339(),
        _ => text.to_owned(),
    }
}
