//! The command line as a person or a script meets it.

use std::fs;

use crate::world::{Finrank, World, provided};

/// A command that needs no database.
fn alone() -> (tempfile::TempDir, Finrank) {
    let state = tempfile::tempdir().unwrap();
    let finrank = Finrank { state: state.path().to_owned(), database_url: String::new() };
    (state, finrank)
}

#[test]
fn every_command_has_help_with_an_example() {
    let (_state, finrank) = alone();
    let commands: [&[&str]; 24] = [
        &[],
        &["demo"],
        &["import"],
        &["train"],
        &["evaluate"],
        &["train-scorer"],
        &["model"],
        &["model", "import"],
        &["refresh"],
        &["refresh", "list"],
        &["refresh", "cancel"],
        &["serve"],
        &["recommend"],
        &["features"],
        &["customer"],
        &["features", "get"],
        &["features", "history"],
        &["features", "statistics"],
        &["postgres"],
        &["serve", "ranking"],
        &["index"],
        &["index", "build"],
        &["index", "inspect"],
        &["index", "recall"],
    ];
    for command in commands {
        let help = finrank.succeed(&[command, &["--help"]].concat());

        assert!(help.contains("Example"), "{command:?}:\n{help}");
        assert!(help.contains("  finrank "), "{command:?}:\n{help}");
    }
}

#[tokio::test]
async fn refresh_says_what_it_would_do_and_what_it_has_done() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let server = ["--feature-store", world.feature_store_url.as_str()];

    let outlook = finrank.succeed(&[&["refresh", "--changes", "--dry-run"], &server[..]].concat());
    let list = finrank.succeed(&[&["refresh", "list", "--json"], &server[..]].concat());
    let too_late = finrank.fail(&[&["refresh", "--since", "2999-01-01T00:00:00Z"], &server[..]].concat());
    let complete = serde_json::from_str::<serde_json::Value>(&list).unwrap()[0].clone();
    let run_id = complete["run_id"].to_string();
    let cancelled = finrank.fail(&[&["refresh", "cancel", &run_id], &server[..]].concat());

    assert!(outlook.starts_with("would compute "), "{outlook}");
    assert_eq!(complete["state"], "complete", "{list}");
    assert_eq!(complete["rows"], complete["rows_total"], "{list}");
    assert!(too_late.contains("since"), "{too_late}");
    assert!(cancelled.contains("has ended and cannot be cancelled"), "{cancelled}");
}

#[tokio::test]
async fn evaluate_writes_its_figures_and_a_page_beside_what_it_prints() {
    let world = World::shared().await;
    let out = world.state.path().join("evaluation");
    let order = world.state.path().join("order.txt");
    fs::write(&order, "no-such-product\n").unwrap();
    let args = ["evaluate", "--seeds", "1", "--epochs", "1", "--json"];

    let printed = world.finrank().succeed(&[&args[..], &["--out", out.to_str().unwrap()]].concat());
    let stderr = world.finrank().fail(&[&args[..], &["--product-order", order.to_str().unwrap()]].concat());

    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(figures, serde_json::from_str::<serde_json::Value>(&printed).unwrap());
    assert!(figures["drift"]["attributes"].is_array(), "the world's model is registered: {figures}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("finrank (towers + scorer)"), "{page}");
    assert!(stderr.contains("product_order is wrong at"), "{stderr}");
}

#[tokio::test]
async fn recommend_prints_a_table_for_people_and_json_for_programs() {
    let world = World::shared().await;
    let user_id = &world.user_ids[0];
    let finrank = world.finrank();

    let table = finrank.succeed(&["recommend", user_id, "-k", "3", "--ranking", &world.ranking_url]);
    let json = finrank.succeed(&["recommend", user_id, "-k", "3", "--ranking", &world.ranking_url, "--json"]);

    assert!(table.contains(user_id) && table.contains("score"), "{table}");
    let answers: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answers[0]["items"].as_array().unwrap().len(), 3);
    assert!(table.contains(answers[0]["items"][0]["name"].as_str().unwrap()), "{table}");
}

#[tokio::test]
async fn recommend_passes_on_what_is_wished_and_shows_how_it_came_about() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let ask = ["recommend", &world.user_ids[0], "-k", "500", "--ranking", &world.ranking_url, "--json"];
    let answer = |more: &[&str]| -> serde_json::Value {
        let json = finrank.succeed(&[&ask[..], more].concat());
        serde_json::from_str::<serde_json::Value>(&json).unwrap()[0].take()
    };
    let ids = |answer: &serde_json::Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["product_id"].as_str().unwrap().to_owned()).collect()
    };

    let all = answer(&[]);
    let two = [ids(&all)[0].clone(), ids(&all)[1].clone()];
    let only = answer(&["--only", &two[1], "--only", &two[0], "--debug"]);
    let unlike = answer(&["--diversity", "1"]);
    let of_no_issuer = answer(&["--issuer", "nobody"]);
    let class = all["items"][0]["product_class"].as_str().unwrap();
    let of_class = answer(&["--class", &class.replace(' ', "-")]);
    let refused = finrank.fail(&[&ask[..], &["--diversity", "2"]].concat());

    assert_eq!(ids(&only), two);
    assert!(all.get("debug").is_none());
    assert_eq!(only["debug"]["stages"][0]["stage"], "eligibility");
    assert_eq!(only["debug"]["retrieval_plan"]["returned"], 2);
    assert_ne!(ids(&unlike), ids(&all));
    assert!(ids(&of_no_issuer).is_empty());
    assert!(of_class["items"].as_array().unwrap().iter().all(|item| item["product_class"] == class));
    assert!(refused.contains("selection.diversity"), "{refused}");
}

#[tokio::test]
async fn recommend_for_an_unknown_customer_fails_and_says_so() {
    let world = World::shared().await;

    let stderr = world.finrank().fail(&["recommend", "nobody", "--ranking", &world.ranking_url]);
    let user_id = world.user_ids[1].as_str();
    let among = world.finrank().run(&["recommend", "nobody", user_id, "--ranking", &world.ranking_url]);

    assert!(stderr.contains("nobody"), "{stderr}");
    let (printed, refused) = (String::from_utf8_lossy(&among.stdout), String::from_utf8_lossy(&among.stderr));
    assert!(printed.contains(user_id), "who is known is answered: {printed}");
    assert!(!among.status.success() && refused.contains("USER_NOT_FOUND"), "{refused}");
}

#[test]
fn no_key_is_made_to_look_for_a_customer_in_logs() {
    let (state, finrank) = alone();

    let stderr = finrank.fail(&["customer", "pseudonym", "anyone"]);

    assert!(stderr.contains("no server has made it yet"), "{stderr}");
    assert!(!state.path().join("pseudonym.key").exists());
}

#[test]
fn recommend_without_a_server_says_how_to_start_it() {
    let (_state, finrank) = alone();

    let stderr = finrank.fail(&["recommend", "anyone", "--ranking", "http://127.0.0.1:1"]);

    assert!(stderr.contains("finrank serve ranking"), "{stderr}");
}

#[tokio::test]
async fn import_names_missing_columns_and_loads_nothing() {
    let world = World::shared().await;
    let file = world.state.path().join("no-user-id.csv");
    fs::write(&file, "customer,event_time\na,2026-01-01\n").unwrap();

    let stderr = world.finrank().fail(&["import", "--customers", file.to_str().unwrap()]);

    assert!(stderr.contains("user_id"), "{stderr}");
    assert!(stderr.contains("customer"), "{stderr}");
}

#[tokio::test]
async fn import_is_idempotent_and_keeps_bad_rows_in_a_file() {
    let world = World::shared().await;
    let file = world.state.path().join("customers.csv");
    fs::write(&file, "user_id,event_time,income\nyy-1,2026-01-01,10\nyy-2,yesterday,20\n").unwrap();
    let args = ["import", "--customers", file.to_str().unwrap(), "--json"];

    let first: serde_json::Value = serde_json::from_str(&world.finrank().succeed(&args)).unwrap();
    let second: serde_json::Value = serde_json::from_str(&world.finrank().succeed(&args)).unwrap();

    assert_eq!(first["customers"]["accepted"], 1, "{first}");
    assert_eq!(first["customers"]["rejected"], 1, "{first}");
    assert_eq!(second["customers"]["accepted"], 0, "{second}");
    assert_eq!(second["customers"]["duplicate"], 1, "{second}");
    let rejects = fs::read_to_string(file.with_extension("csv.rejects.csv")).unwrap();
    assert!(rejects.contains("event_time") && rejects.contains('3'), "{rejects}");
}

#[tokio::test]
async fn a_customer_is_exported_and_erased_only_when_meant() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let file = world.state.path().join("zz-gone.csv");
    fs::write(&file, "user_id,event_time,income\nzz-gone,2026-01-31,12.5\n").unwrap();
    finrank.succeed(&["import", "--customers", file.to_str().unwrap()]);
    let on = |command: &[&'static str]| {
        let url = world.feature_store_url.as_str();
        [&["customer", "--feature-store", url], command].concat()
    };

    let exported = finrank.succeed(&on(&["export", "zz-gone"]));
    let unsure = finrank.fail(&on(&["erase", "zz-gone"]));
    let receipt = finrank.succeed(&on(&["erase", "zz-gone", "--yes"]));
    let gone = finrank.fail(&on(&["export", "zz-gone"]));

    // Beside the statement there may be an embedding by now.
    let mut lines = exported.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = lines.find(|line| line["statement"] == "customer").unwrap();
    assert_eq!(
        (&line["statement"], &line["attributes"]["income"]),
        (&"customer".into(), &12.5.into()),
        "{line}"
    );
    assert!(unsure.contains("say --yes"), "{unsure}");
    assert!(receipt.contains("customer_statements"), "{receipt}");
    assert!(gone.contains("nothing is held on customer zz-gone"), "{gone}");
}

#[tokio::test]
async fn logs_name_a_customer_by_a_hash_that_who_has_the_key_can_compute() {
    let world = World::shared().await;
    let finrank = world.finrank();
    let user_id = world.user_ids[1].as_str();
    let log = |server: &str| fs::read_to_string(world.state.path().join(server)).unwrap();

    finrank.succeed(&["recommend", user_id, "--ranking", &world.ranking_url]);
    finrank.succeed(&["customer", "--feature-store", &world.feature_store_url, "export", user_id]);
    let pseudonym = finrank.succeed(&["customer", "pseudonym", user_id]);

    for line in [log("ranking.log"), log("feature-store.log")] {
        assert!(line.contains(pseudonym.trim()), "{pseudonym} is not in {line}");
        assert!(!line.contains(user_id), "{user_id} is in {line}");
    }
}

#[test]
fn train_scorer_learns_a_table_and_prints_its_quality() {
    let (state, finrank) = alone();
    let file = state.path().join("table.csv");
    let rows: String = (0..400)
        .map(|i| {
            let (age, colour) = (20 + i % 50, ["red", "green"][i % 2]);
            let bought = if age > 45 && colour == "red" { "yes" } else { "no" };
            format!("{age},{colour},{bought}\n")
        })
        .collect();
    fs::write(&file, format!("age,colour,bought\n{rows}")).unwrap();

    let args = ["train-scorer", "--csv", file.to_str().unwrap(), "--label", "bought", "--json"];
    let report: serde_json::Value = serde_json::from_str(&finrank.succeed(&args)).unwrap();

    assert!(report["mean"]["auc"].as_f64().unwrap() > 0.95, "{report}");
}

#[test]
fn train_scorer_names_a_label_column_that_is_not_there() {
    let (state, finrank) = alone();
    let file = state.path().join("table.csv");
    fs::write(&file, "age,bought\n30,yes\n40,no\n").unwrap();

    let stderr = finrank.fail(&["train-scorer", "--csv", file.to_str().unwrap(), "--label", "sold"]);

    assert!(stderr.contains("sold") && stderr.contains("bought"), "{stderr}");
}

#[test]
fn an_unknown_setting_is_named_with_its_file() {
    let (state, finrank) = alone();
    let file = state.path().join("finrank.toml");
    fs::write(&file, "[ranking]\nlissen = \"127.0.0.1:1\"\n").unwrap();

    let stderr = finrank.fail(&["--config", file.to_str().unwrap(), "recommend", "anyone"]);

    assert!(stderr.contains("lissen"), "{stderr}");
}

#[test]
fn the_caravan_file_holds_22_products_and_5822_customers() {
    let Some(file) = provided("FINRANK_CARAVAN_CSV") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(finrank_store::scratch::ScratchDatabase::create());
    let state = tempfile::tempdir().unwrap();
    let finrank = Finrank { state: state.path().to_owned(), database_url: database.store.url().to_owned() };

    let report = finrank.succeed(&["import", "--caravan", file.to_str().unwrap(), "--json"]);

    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["customers"]["accepted"], 5822, "{report}");
    assert_eq!(report["products"]["accepted"], 22, "{report}");
}

#[test]
fn an_index_is_built_inspected_and_measured_and_a_damaged_one_is_named() {
    let (state, finrank) = alone();
    let directory = state.path().join("kept");
    let to = directory.to_str().unwrap();
    let inspect = ["index", "inspect", "--directory", to];

    let nothing = finrank.fail(&inspect);
    let exact = finrank.succeed(&["index", "build", "--directory", to, "--random", "1500"]);
    let build = ["index", "build", "--directory", to, "--random", "1500", "--kind", "ivf", "--json"];
    let built: serde_json::Value = serde_json::from_str(&finrank.succeed(&build)).unwrap();
    let whole: serde_json::Value =
        serde_json::from_str(&finrank.succeed(&[&inspect[..], &["--json"]].concat())).unwrap();
    let recall = finrank.succeed(&["index", "recall", "--random", "1500", "--k", "20", "--json"]);
    let file = directory.join("directions/index.faiss");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged = finrank.fail(&inspect);

    assert!(nothing.contains("no index is kept"), "{nothing}");
    assert!(exact.contains("1500 products are scanned exactly"), "{exact}");
    for (place, name) in ["embeddings", "directions"].into_iter().enumerate() {
        assert_eq!(built[place]["name"], name);
        assert_eq!(built[place]["kind"], "ivf");
        assert_eq!(whole[place]["name"], name);
        assert_eq!(whole[place]["manifest"]["rows"], 1500);
        assert_eq!(whole[place]["manifest"]["recall"], built[place]["recall"]);
    }
    let recall: Vec<serde_json::Value> = serde_json::from_str(&recall).unwrap();
    let kinds: Vec<&str> = recall.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert!(["hnsw", "ivf", "ivf-sq8"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    // Lists read half of the rows at the most effort, and with that find most.
    let most = recall.iter().rfind(|row| row["kind"] == "ivf").unwrap();
    assert!(most["recall"][0].as_f64().unwrap() > 0.5, "{most}");
    assert!(damaged.contains("directions: index.faiss has the SHA-256"), "{damaged}");
}
