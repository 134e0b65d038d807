//! Imports against a real Postgres: idempotent, whatever the order of arrival, and nothing bad gets in or is lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use finrank_feature_store::import::{
    Counts, CsvFiles, ImportError, Synthetic, import_caravan, import_csv, import_synthetic,
};
use finrank_store::{records, scratch::ScratchDatabase};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A database and a directory of its own; imports block, so tests are not asynchronous.
struct Place {
    runtime: Runtime,
    database: ScratchDatabase,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(ScratchDatabase::create());
        Self { runtime, database, directory: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> &str {
        self.database.store.url()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn import_customers(&self, path: &Path) -> Counts {
        let files = CsvFiles { customers: Some(path.to_owned()), ..CsvFiles::default() };
        import_csv(self.url(), &files, &mut ()).unwrap().customers
    }

    /// The income that the store holds of each customer.
    fn incomes(&self) -> HashMap<String, String> {
        let users = records::user_records(&self.database.store, None, None, 1_000);
        let users = self.runtime.block_on(users).unwrap();
        let income = |user: &finrank_model::UserRecord| format!("{:?}", user.attributes.get("income"));
        users.iter().map(|user| (user.user_id.to_string(), income(user))).collect()
    }
}

fn counts(accepted: u64, duplicate: u64, rejected: u64) -> Counts {
    Counts { accepted, duplicate, rejected }
}

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

    let first = import_csv(place.url(), &files, &mut ()).unwrap();
    let second = import_csv(place.url(), &files, &mut ()).unwrap();

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
fn a_bad_row_is_kept_with_its_line_field_and_reason_and_the_others_are_loaded() {
    let place = Place::new();
    let mut content =
        b"user_id,event_time,note\nu1,2026-01-01,\"two\nlines\"\n,2026-01-01,x\nu3,soon,x\nu4\n".to_vec();
    content.extend(b"u5,2026-01-01,\xff\nu6,2026-01-01,ok\n");
    let file = place.file("c.csv", content);

    let counted = place.import_customers(&file);

    assert_eq!(counted, counts(2, 0, 4));
    let rejects = fs::read_to_string(place.directory.path().join("c.csv.rejects.csv")).unwrap();
    let lines: Vec<&str> = rejects.lines().collect();
    assert_eq!(lines[0], "line,field,reason,row");
    assert_eq!(lines[1], r#"4,user_id,is empty,",2026-01-01,x""#);
    assert!(lines[2].starts_with("5,event_time,"), "{}", lines[2]);
    assert_eq!(lines[3], r#"6,row,"has 1 fields, the header has 3",u4"#);
    assert!(lines[4].starts_with("7,row,is not UTF-8"), "{}", lines[4]);
}

#[test]
fn a_clean_import_removes_the_rejects_of_an_earlier_one() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\n,2026-01-01\n");
    place.import_customers(&file);
    let rejects = place.directory.path().join("c.csv.rejects.csv");
    assert!(rejects.exists());

    place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n");
    place.import_customers(&file);

    assert!(!rejects.exists());
}

#[test]
fn a_missing_column_in_the_last_file_stops_the_first_one_too() {
    let place = Place::new();
    let files = CsvFiles {
        customers: Some(place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n")),
        products: None,
        events: Some(place.file("e.csv", "user_id,kind,event_time\nu1,acquired,2026-01-02\n")),
    };

    let error = import_csv(place.url(), &files, &mut ()).unwrap_err();

    assert!(matches!(error, ImportError::MissingColumns { .. }), "{error}");
    assert_eq!(place.incomes(), HashMap::new());
}

#[test]
fn synthetic_customers_are_imported_across_batches_and_only_once() {
    let place = Place::new();
    let synthetic = Synthetic { users: 10_050, products: 8, seed: 5 };

    let first = import_synthetic(place.url(), synthetic, &mut ()).unwrap();
    let second = import_synthetic(place.url(), synthetic, &mut ()).unwrap();

    assert_eq!(first.customers, counts(10_050, 0, 0));
    assert_eq!(first.products, counts(8, 0, 0));
    assert!(first.events.accepted > 10_050);
    assert!(!second.is_news());
}

#[test]
fn a_caravan_file_without_its_columns_is_refused() {
    let place = Place::new();
    let file = place.file("Caravan.csv", "MOSTYPE,Purchase\n1,Yes\n");

    let error = import_caravan(place.url(), &file, &mut ()).unwrap_err().to_string();

    assert!(error.contains("MAANTHUI") && error.contains("Nothing was loaded"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Six versions of two customers, in any order and cut into any two files, end in the newest of each.
    #[test]
    fn an_older_row_never_beats_a_newer_one(
        order in Just((0..6_u32).collect::<Vec<_>>()).prop_shuffle(),
        cut in 0..=6_usize,
    ) {
        let place = Place::new();
        let row = |version: &u32| format!("u{},2026-01-0{},{version}\n", version % 2, version + 1);
        let file = |name, versions: &[u32]| {
            let rows: String = versions.iter().map(row).collect();
            place.file(name, format!("user_id,event_time,income\n{rows}"))
        };

        place.import_customers(&file("a.csv", &order[..cut]));
        place.import_customers(&file("b.csv", &order[cut..]));

        let incomes = place.incomes();
        prop_assert_eq!(&incomes["u0"], "Some(Number(4.0))");
        prop_assert_eq!(&incomes["u1"], "Some(Number(5.0))");
    }
}
