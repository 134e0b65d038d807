//! Imports that Postgres does not let come to their end.

use finrank_feature_store::import::{ImportError, ImportObserver, import_csv};
use finrank_store::{StoreError, bulk};

use super::support::{Place, counts, customers};

/// Cuts every connection to the database once the first batch is in.
struct Cut {
    url: String,
    is_done: bool,
}

impl ImportObserver for Cut {
    fn reached(&mut self, _units: u64) {
        if !self.is_done {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and pid <> pg_backend_pid()";
            bulk::connect(&self.url).unwrap().batch_execute(cut).unwrap();
            self.is_done = true;
        }
    }
}

#[test]
fn what_was_loaded_before_postgres_went_away_stays_and_a_second_import_completes_it() {
    let place = Place::new();
    let rows: String = (0..25_000).map(|user| format!("u{user},2026-01-01\n")).collect();
    let file = place.file("c.csv", format!("user_id,event_time\n{rows}"));
    let mut cut = Cut { url: place.url().to_owned(), is_done: false };

    let error = import_csv(place.url(), &customers(&file), &mut cut).unwrap_err();
    let loaded = place.number("select count(*) from customers");
    let second = place.import(&customers(&file)).unwrap();

    assert!(matches!(error, ImportError::Postgres(_)), "{error}");
    assert_eq!(loaded, 10_000);
    assert_eq!(second.customers, counts(15_000, 10_000, 0));
}

#[test]
fn a_postgres_that_is_not_there_is_named_with_its_address() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://finrank@127.0.0.1:{port}/finrank");

    let error = import_csv(&url, &customers(&file), &mut ()).unwrap_err();

    assert!(matches!(&error, ImportError::Store(StoreError::Unreachable { .. })), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn a_refusal_says_what_postgres_said() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n");
    bulk::connect(place.url()).unwrap().batch_execute("drop table customer_statements cascade").unwrap();

    let error = place.import(&customers(&file)).unwrap_err().to_string();

    assert!(error.contains(r#"relation "customer_statements" does not exist"#), "{error}");
}

#[test]
fn a_refusal_does_not_quote_the_row() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\nu4711,2026-01-01\n");
    let refuse = "alter table customer_statements add constraint not_this_one check (user_id <> 'u4711')";
    bulk::connect(place.url()).unwrap().batch_execute(refuse).unwrap();

    let error = place.import(&customers(&file)).unwrap_err();

    let (said, all) = (error.to_string(), format!("{error:?}"));
    assert!(said.contains("(SQLSTATE 23514, constraint not_this_one)"), "{said}");
    assert!(!all.contains("u4711"), "{all}");
}
