//! What a wrong address, a wrong database and a dead server are told.

use std::{net::TcpListener, time::Duration};

use finrank_store::{DatabaseConfig, Store, StoreError, bulk, scratch::ScratchDatabase};

async fn refusal(url: String) -> StoreError {
    let config =
        DatabaseConfig { url, acquire_timeout: Duration::from_millis(500), ..DatabaseConfig::default() };
    Store::connect(&config).await.unwrap_err()
}

/// A port that nobody listens on.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_dead_server_is_named_with_what_to_do_and_without_the_password() {
    let port = dead_port();
    let url = format!("postgres://finrank:hush@127.0.0.1:{port}/finrank");

    let error = refusal(url).await.to_string();

    let named = format!("cannot reach Postgres at 127.0.0.1:{port}/finrank: ");
    assert!(error.starts_with(&named), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("`finrank postgres start`"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn a_dead_server_is_named_alike_for_bulk_transfer() {
    let port = dead_port();

    let Err(error) = bulk::connect(&format!("postgres://finrank:hush@127.0.0.1:{port}/finrank")) else {
        panic!("nobody listens")
    };

    let error = error.to_string();
    let named = format!("cannot reach Postgres at 127.0.0.1:{port}/finrank: ");
    assert!(error.starts_with(&named), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for_longer_than_asked() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();

    let error = refusal(format!("postgres://127.0.0.1:{port}/finrank")).await;

    assert!(error.to_string().contains("no answer within 500ms"), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let database = ScratchDatabase::create().await;
    let (server, _) = database.store.url().rsplit_once('/').unwrap();

    let error = refusal(format!("{server}/nowhere")).await;

    assert!(error.to_string().contains(r#"database "nowhere" does not exist"#), "{error}");
}

#[tokio::test]
async fn what_is_no_url_is_refused_as_such() {
    let error = refusal("postgres://127.0.0.1:port/finrank".to_owned()).await;

    assert!(matches!(error, StoreError::Url(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_of_a_bulk_connection_says_why() {
    let database = ScratchDatabase::create().await;
    let url = database.store.url().to_owned();

    let refused = tokio::task::spawn_blocking(move || {
        bulk::connect(&url)?.batch_execute("copy nothing to stdout").map_err(StoreError::from)
    });
    let error = refused.await.unwrap().unwrap_err();

    assert!(error.to_string().contains(r#"relation "nothing" does not exist"#), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_is_not_quoted_on_either_way() {
    let database = ScratchDatabase::create().await;
    let insert = "insert into customer_statements (user_id, attributes, event_time, revision, retracted)
                  values ('u-4711', '{}', '2026-01-01Z', -1, false)";
    let url = database.store.url().to_owned();

    let by_sqlx = sqlx::query(insert).execute(database.store.pool()).await.unwrap_err();
    let in_bulk = tokio::task::spawn_blocking(move || {
        bulk::connect(&url)?.execute(insert, &[]).map_err(StoreError::from)
    });
    let in_bulk = in_bulk.await.unwrap().unwrap_err();

    let broken = "new row for relation \"customer_statements\" violates check constraint \
                  \"customer_statements_revision_check\"";
    let named =
        format!("Postgres: ERROR: {broken} (SQLSTATE 23514, constraint customer_statements_revision_check)");
    assert_eq!(in_bulk.to_string(), named);
    for told in [sources(&StoreError::from(by_sqlx)), sources(&in_bulk), format!("{in_bulk:?}")] {
        assert!(told.contains("customer_statements_revision_check"), "{told}");
        assert!(!told.contains("u-4711"), "{told}");
    }
}

/// An error and all that stands behind it, as a log prints it.
fn sources(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_question_outlives_the_connections_that_were_cut() {
    let database = ScratchDatabase::create().await;
    let store = &database.store;
    let pids = async || {
        let asking = (0..4).map(|_| {
            store.ask(|pool| async move {
                sqlx::query_scalar::<_, i32>("select pg_backend_pid() from pg_sleep(0.05)")
                    .fetch_one(&pool)
                    .await
            })
        });
        futures::future::try_join_all(asking).await
    };
    let before = pids().await.unwrap();
    let (url, cut) = (store.url().to_owned(), before.clone());
    tokio::task::spawn_blocking(move || {
        let mut client = bulk::connect(&url).unwrap();
        client.execute(
            "select pg_terminate_backend(pid, 10000) from unnest($1::integer[]) as cut (pid)",
            &[&cut],
        )
    })
    .await
    .unwrap()
    .unwrap();

    let after = pids().await.unwrap();

    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
}

const OF_A_SESSION: &str = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
     where name in ('tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout',
                    'idle_in_transaction_session_timeout', 'statement_timeout')";

/// What a session says of itself.
async fn settings(store: &Store) -> String {
    sqlx::query_scalar(OF_A_SESSION).fetch_one(store.pool()).await.unwrap()
}

#[tokio::test]
async fn sessions_of_a_host_that_is_lost_are_ended_soon() {
    let database = ScratchDatabase::create().await;
    let url = database.store.url().to_owned();
    let bulk: String = tokio::task::spawn_blocking(move || {
        bulk::connect(&url).unwrap().query_one(OF_A_SESSION, &[]).unwrap().get(0)
    })
    .await
    .unwrap();
    let keepalives =
        "tcp_keepalives_count=3 tcp_keepalives_idle=10 tcp_keepalives_interval=5 tcp_user_timeout=30000";

    let config = DatabaseConfig { url: database.store.url().to_owned(), ..DatabaseConfig::default() };
    let store = Store::connect(&config).await.unwrap();
    let limited = store.limited(Duration::from_secs(11)).unwrap();
    let background = store.in_background().unwrap();

    let expected = |idle: u32, statement: u32| {
        format!("idle_in_transaction_session_timeout={idle} statement_timeout={statement} {keepalives}")
    };
    assert_eq!(settings(&store).await, expected(60_000, 0));
    assert_eq!(settings(&limited).await, expected(60_000, 11_000));
    assert_eq!(settings(&background).await, expected(600_000, 0));
    assert_eq!(bulk, expected(600_000, 0));
}

#[tokio::test]
async fn what_the_url_says_of_a_session_stands() {
    let database = ScratchDatabase::create().await;
    let url = format!("{}?options=-c%20tcp_user_timeout%3D7000%20-c%20work_mem%3D5MB", database.store.url());
    let store =
        Store::connect(&DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() }).await.unwrap();

    let asked = settings(&store).await;
    let bulk = tokio::task::spawn_blocking(move || -> (String, String) {
        let mut client = bulk::connect(&url).unwrap();
        let settings = client.query_one(OF_A_SESSION, &[]).unwrap().get(0);
        (settings, client.query_one("show work_mem", &[]).unwrap().get(0))
    });

    let (settings, work_mem) = bulk.await.unwrap();
    assert!(asked.contains("tcp_user_timeout=7000"), "{asked}");
    assert!(settings.contains("tcp_keepalives_idle=10"), "{settings}");
    assert!(settings.contains("tcp_user_timeout=7000"), "{settings}");
    assert_eq!(work_mem, "5MB");
}
