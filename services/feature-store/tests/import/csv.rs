//! What CSV files become.

use finrank_feature_store::import::{CsvFiles, ImportError, ImportObserver, import_csv};

use super::support::{Place, counts, customers, events};

#[test]
fn a_second_import_of_the_same_files_changes_nothing() {
    let place = Place::new();
    let files = CsvFiles {
        customers: Some(place.file("c.csv", "user_id,event_time,income\nu1,2026-01-01,10\nu2,2026-01-01,\n")),
        products: Some(
            place.file("p.csv", "product_id,product_class,name,event_time\np1,loan,Car loan,2026-01-01\n"),
        ),
        events: Some(place.file("e.csv", "user_id,product_id,kind,event_time\nu1,p1,acquired,2026-01-02\n")),
    };

    let first = place.import(&files).unwrap();
    let second = place.import(&files).unwrap();

    assert_eq!(
        (first.customers, first.products, first.events),
        (counts(2, 0, 0), counts(1, 0, 0), counts(1, 0, 0))
    );
    assert_eq!(
        (second.customers, second.products, second.events),
        (counts(0, 2, 0), counts(0, 1, 0), counts(0, 1, 0))
    );
    assert!(first.is_news() && !second.is_news());
}

#[test]
fn every_column_of_a_product_is_stored() {
    let place = Place::new();
    let file = place.file(
        "p.csv",
        "product_id,product_class,name,description,issuer,risk_grade,status,event_time,fee,online\n\
         p1,wealth,Bond fund,\"Bonds, mostly\",Aurora,2,withdrawn,2026-01-31T10:00:00+02:00,1.5,true\n\
         p2,loan,Car loan,,,,,2026-01-31,,\n",
    );

    place.import(&CsvFiles { products: Some(file), ..CsvFiles::default() }).unwrap();

    let stored = place.texts(
        "select concat_ws('|', product_id, product_class, name, description, issuer, risk_grade, status,
                          event_time at time zone 'UTC', attributes)
         from products order by product_id",
    );
    assert_eq!(
        stored,
        [
            "p1|wealth|Bond fund|Bonds, mostly|Aurora|2|withdrawn|2026-01-31 08:00:00|{\"fee\": 1.5, \"online\": true}",
            "p2|loan|Car loan|||active|2026-01-31 00:00:00|{}",
        ]
    );
}

#[test]
fn amounts_in_major_and_in_minor_units_are_the_same_money() {
    let place = Place::new();
    let major = place.file(
        "major.csv",
        "event_id,user_id,product_id,kind,event_time,quantity,amount,currency\n\
         e1,u,p,acquired,2026-01-01,2,0.29,EUR\ne2,u,p,acquired,2026-01-01,,1500,JPY\ne3,u,p,viewed,2026-01-01,,,\n",
    );
    let minor = place.file(
        "minor.csv",
        "event_id,user_id,product_id,kind,event_time,amount_minor,currency_code\n\
         e4,u,p,acquired,2026-01-01,29,EUR\n",
    );

    place.import(&events(&major)).unwrap();
    place.import(&events(&minor)).unwrap();

    let stored = place.texts(
        "select concat_ws(' ', event_id, quantity, amount_minor, currency_code) from events order by event_id",
    );
    assert_eq!(stored, ["e1 2 29 EUR", "e2 1 1500 JPY", "e3 1", "e4 1 29 EUR"]);
}

#[test]
fn events_without_an_id_that_differ_only_in_the_amount_are_two() {
    let place = Place::new();
    let file = place.file(
        "e.csv",
        "user_id,product_id,kind,event_time,amount,currency\n\
         u,p,acquired,2026-01-01,10,EUR\nu,p,acquired,2026-01-01,20,EUR\nu,p,acquired,2026-01-01,10.00,EUR\n",
    );

    let first = place.import(&events(&file)).unwrap();
    let second = place.import(&events(&file)).unwrap();

    assert_eq!(first.events, counts(2, 1, 0));
    assert_eq!(second.events, counts(0, 3, 0));
}

#[test]
fn a_byte_order_mark_before_a_quoted_header_is_passed_over() {
    let place = Place::new();
    let file = place.file("c.csv", "\u{feff}\"user_id\",\"event_time\"\r\nu1,2026-01-01\r\n");

    let report = place.import(&customers(&file)).unwrap();

    assert_eq!(report.customers, counts(1, 0, 0));
}

#[test]
fn a_missing_column_in_the_last_file_stops_the_first_one_too() {
    let place = Place::new();
    let files = CsvFiles {
        customers: Some(place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n")),
        products: None,
        events: Some(place.file("e.csv", "user_id,kind,event_time\nu1,acquired,2026-01-02\n")),
    };

    let error = place.import(&files).unwrap_err();

    assert_eq!(
        error.to_string(),
        format!(
            "{} lacks the columns product_id; it has user_id, kind, event_time. Nothing was loaded",
            place.path("e.csv").display()
        )
    );
    assert_eq!(place.number("select count(*) from customers"), 0);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let place = Place::new();

    let error = place.import(&customers(&place.path("none.csv"))).unwrap_err();

    assert!(matches!(&error, ImportError::File { path, .. } if path.ends_with("none.csv")), "{error}");
}

/// Writes down what it is told.
#[derive(Default)]
struct Heard(Vec<(String, u64, Vec<u64>)>);

impl ImportObserver for Heard {
    fn begin(&mut self, what: &str, units: u64) {
        self.0.push((what.to_owned(), units, Vec::new()));
    }

    fn reached(&mut self, units: u64) {
        self.0.last_mut().unwrap().2.push(units);
    }
}

#[test]
fn progress_is_told_in_bytes_of_each_file_up_to_its_end() {
    let place = Place::new();
    let rows: String = (0..10_001).map(|user| format!("u{user},2026-01-01\n")).collect();
    let content = format!("user_id,event_time\n{rows}");
    let file = place.file("c.csv", &content);
    let mut heard = Heard::default();

    import_csv(place.url(), &customers(&file), &mut heard).unwrap();

    let [(what, units, reached)] = &heard.0[..] else { panic!("{:?}", heard.0) };
    assert!(what.ends_with("c.csv"), "{what}");
    assert_eq!(*units, content.len() as u64);
    let before_the_last_row = content.len() - "u10000,2026-01-01\n".len();
    assert_eq!(reached[..], [before_the_last_row as u64, content.len() as u64]);
}
