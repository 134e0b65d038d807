//! Whatever the order in which rows arrive, and however they are cut into files, the same rows win: of a customer
//! or product the latest `event_time`, of an event the first, and of equals the first.

use std::collections::BTreeMap;

use finrank_feature_store::import::{Counts, CsvFiles};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::support::{Place, customers, events, products};

/// A row of one of three entities, on one of three days; its place in the arrival tells it from all others.
#[derive(Clone, Copy, Debug)]
struct Version {
    entity: usize,
    day: usize,
}

/// Versions in the order of their arrival, and where the files are cut.
fn arrivals() -> impl Strategy<Value = (Vec<Version>, usize, usize)> {
    let version = (0..3_usize, 1..=3_usize).prop_map(|(entity, day)| Version { entity, day });
    prop::collection::vec(version, 1..12).prop_flat_map(|versions| {
        let count = versions.len();
        (Just(versions), 0..=count, 0..=count).prop_map(|(versions, a, b)| (versions, a.min(b), a.max(b)))
    })
}

/// Imports the versions as three files and compares what is stored with what a plain loop says.
fn the_same_rows_win(
    header: &str,
    row: fn(&Version, usize) -> String,
    files: fn(&std::path::Path) -> CsvFiles,
    wins: fn(&Version, &Version) -> bool,
    stored: &str,
    empty: &str,
) {
    let place = Place::new();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });

    let outcome = runner.run(&arrivals(), |(versions, first, second)| {
        place.texts(empty);
        let mut counted = Counts::default();
        for part in [0..first, first..second, second..versions.len()] {
            let rows: String = part.map(|place| row(&versions[place], place)).collect();
            let file = place.file("part.csv", format!("{header}\n{rows}"));
            let report = place.import(&files(&file)).unwrap();
            counted += report.customers;
            counted += report.products;
            counted += report.events;
        }

        let mut winners: BTreeMap<usize, usize> = BTreeMap::new();
        for (place, version) in versions.iter().enumerate() {
            let best = winners.entry(version.entity).or_insert(place);
            if wins(version, &versions[*best]) {
                *best = place;
            }
        }
        let expected: Vec<String> =
            winners.iter().map(|(entity, place)| format!("x{entity} {place}")).collect();
        prop_assert_eq!(place.texts(stored), expected);
        prop_assert_eq!(counted.accepted + counted.duplicate, versions.len() as u64);
        prop_assert_eq!(counted.rejected, 0);
        Ok(())
    });

    outcome.unwrap();
}

#[test]
fn an_older_customer_never_beats_a_newer_one() {
    the_same_rows_win(
        "user_id,event_time,place",
        |version, place| format!("x{},2026-01-0{},{place}.5\n", version.entity, version.day),
        customers,
        |version, best| version.day > best.day,
        "select user_id || ' ' || floor((attributes->>'place')::numeric) from customers order by user_id",
        "with gone as (delete from customer_statements returning user_id) select user_id from gone",
    );
}

#[test]
fn an_older_product_never_beats_a_newer_one() {
    the_same_rows_win(
        "event_time,name,product_class,product_id",
        |version, place| format!("2026-01-0{},{place},loan,x{}\n", version.day, version.entity),
        products,
        |version, best| version.day > best.day,
        "select product_id || ' ' || name from products order by product_id",
        "with gone as (delete from product_statements returning product_id) select product_id from gone",
    );
}

#[test]
fn the_first_of_two_events_with_one_id_counts() {
    the_same_rows_win(
        "user_id,event_id,product_id,kind,event_time,amount_minor,currency",
        |version, place| format!("u,x{},p,acquired,2026-01-0{},{place},EUR\n", version.entity, version.day),
        events,
        |_, _| false,
        "select event_id || ' ' || amount_minor from events order by event_id",
        "with gone as (delete from event_statements returning event_id) select event_id from gone",
    );
}

#[test]
fn files_that_came_late_shine_through_what_was_pushed_meanwhile() {
    let place = Place::new();
    pushed(&place);
    let late_customer = place.file("customers.csv", "user_id,event_time,income,savings\nu,2026-01-01,10,1\n");
    let late_product = place.file(
        "products.csv",
        "product_id,event_time,product_class,name,status,fee,rate\np,2026-01-01,loan,Loan,withdrawn,10,1\n",
    );

    place.import(&customers(&late_customer)).unwrap();
    place.import(&products(&late_product)).unwrap();

    let believed = |table: &str| place.texts(&format!("select attributes::text from {table}"));
    assert_eq!(believed("customers"), [r#"{"income": 10.0, "savings": 2}"#]);
    assert_eq!(believed("products"), [r#"{"fee": 10.0, "rate": 2}"#]);
    assert_eq!(place.texts("select name || ' ' || status from products"), ["Loan withdrawn"]);
}

#[test]
fn files_of_the_very_time_of_what_was_pushed_and_their_corrections_are_no_duplicates() {
    let place = Place::new();
    pushed(&place);
    let header = "user_id,event_time,revision,retracted,income,savings";
    let customer = |rows: &str| place.file("customers.csv", format!("{header}\n{rows}"));
    let header = "product_id,event_time,revision,retracted,product_class,name,fee,rate";
    let product = |rows: &str| place.file("products.csv", format!("{header}\n{rows}"));
    let believed = || {
        let customers = place.texts("select attributes::text from customers");
        [customers, place.texts("select name || ' ' || attributes::text from products")].concat()
    };
    let import = |customer_rows: &str, product_rows: &str| {
        let customers = place.import(&customers(&customer(customer_rows))).unwrap().customers;
        let products = place.import(&products(&product(product_rows))).unwrap().products;
        (customers.accepted, products.accepted)
    };

    let first = import("u,2026-01-02,0,,10,1\n", "p,2026-01-02,0,,loan,Loan,10,1\n");
    assert_eq!(first, (1, 1));
    assert_eq!(believed(), [r#"{"income": 10.0, "savings": 2}"#, r#"Loan {"fee": 10.0, "rate": 2}"#]);
    let corrected = import("u,2026-01-02,1,,20,1\n", "p,2026-01-02,1,,loan,Credit,20,1\n");
    assert_eq!(corrected, (1, 1));
    assert_eq!(believed(), [r#"{"income": 20.0, "savings": 2}"#, r#"Credit {"fee": 20.0, "rate": 2}"#]);
    let taken_back = import("u,2026-01-02,2,true,20,1\n", "p,2026-01-02,2,true,loan,Credit,20,1\n");
    assert_eq!(taken_back, (1, 1));
    assert_eq!(believed(), [r#"{"savings": 2}"#], "attributes alone are no product");
}

/// A customer's savings and a product's rate, pushed.
fn pushed(place: &Place) {
    place.texts(
        "insert into customer_statements (user_id, attributes, event_time, stated, pushed)
         values ('u', '{\"savings\": 2}', '2026-01-02', '{savings}', 1)
         returning user_id",
    );
    place.texts(
        "insert into product_statements
             (product_id, product_class, name, description, issuer, status, attributes, event_time, stated, pushed)
         values ('p', 'loan', 'Car loan', '', '', 'active', '{\"rate\": 2}', '2026-01-02', '{rate}', 1)
         returning product_id",
    );
}
