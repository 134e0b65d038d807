//! A client of Feast's, generated here from the protos in Feast's own wheel, against the real server.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::world::{World, provided};

/// Runs one of `tests/feast/` with what the wheel's unpacked folder, or another, provides to import.
fn python(tools: &Path, imports: &Path, script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/feast").join(script);
    let output = Command::new(tools.join("venv/bin/python"))
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", imports)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_client_generated_from_feasts_own_protos_reads_and_writes() {
    let Some(tools) = provided("FINRANK_FEAST") else {
        return;
    };
    let world = World::shared().await;
    let user_id = &world.user_ids[0];
    let generated = tempfile::tempdir().unwrap();
    let out = generated.path();

    python(&tools, &tools.join("wheel"), "generate.py", &[out.to_str().unwrap()]);
    let address = world.feature_store_url.strip_prefix("http://").unwrap();
    let answers: Value =
        serde_json::from_str(&python(&tools, out, "client.py", &[address, user_id])).unwrap();

    assert_eq!(answers["info"], concat!("finrank/", env!("CARGO_PKG_VERSION")));
    let read = &answers["read"];
    let ids = |column: &Value| -> Vec<Value> {
        column.as_array().unwrap().iter().map(|entry| entry[0].clone()).collect()
    };
    assert_eq!(ids(&read["user_id"]), [json!(user_id), json!("nobody"), json!(user_id)]);
    let income = &read["annual_income"];
    assert_eq!(income[0][1], "PRESENT");
    assert!(income[0][0].as_f64().unwrap() > 0.0, "{income}");
    assert_eq!(income[1], json!([null, "NOT_FOUND", 0]));
    assert_eq!(income[2], income[0]);
    assert!(read["viewed_30d"][0][0].is_i64(), "{read}");
    assert_eq!(&answers["read_by_the_other_service"], read);
    assert_eq!(answers["purpose_in_metadata"]["customer_profile__annual_income"][0], income[0]);

    assert_eq!(answers["pushed"], json!([true, true]));
    assert_eq!(answers["written"], true);
    let (after, written_at) = (&answers["read_after"], &answers["written_at"]);
    assert_eq!(after["annual_income"][0], json!([41_000.5, "PRESENT", written_at]));
    assert_eq!(after["owns_home"][0], json!([true, "PRESENT", written_at]));
    assert_eq!(after["occupation"][0], json!(["baker", "PRESENT", written_at]));
    assert_eq!(after["savings"][0], json!([null, "NULL_VALUE", written_at]));

    let refused = |which: &str, code: &str, says: &str| {
        let refusal = &answers[which];
        assert_eq!(refusal[0], code, "{refusal}");
        assert!(refusal[1].as_str().unwrap().contains(says), "{refusal}");
    };
    refused("denied", "PERMISSION_DENIED", "customer_profile:age");
    refused("no_purpose", "INVALID_ARGUMENT", "request_context[purpose]");
    refused("push_to_events", "INVALID_ARGUMENT", "stream_feature_view");
    refused("unknown_column", "INVALID_ARGUMENT", "features[shoe_size]");
}
