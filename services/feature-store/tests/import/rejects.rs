//! What becomes of rows that are not valid.

use std::fs;

use finrank_feature_store::import::{ImportError, import_csv_with_rejects_in};

use super::support::{Place, counts, customers, events};

#[test]
fn a_bad_row_is_kept_with_its_line_field_and_reason_and_the_others_are_loaded() {
    let place = Place::new();
    let mut content =
        b"user_id,event_time,note\nu1,2026-01-01,\"two\nlines\"\n,2026-01-01,\"a, b\"\nu3,soon,x\nu4\n"
            .to_vec();
    content.extend(b"u5,2026-01-01,\xff\nu6,2026-01-01,ok\n");
    let file = place.file("c.csv", content);

    let report = place.import(&customers(&file)).unwrap();

    assert_eq!(report.customers, counts(2, 0, 4));
    let rejects = fs::read_to_string(place.path("c.csv.rejects.csv")).unwrap();
    assert_eq!(
        rejects,
        "line,field,reason,row\n\
         4,user_id,is empty,\",2026-01-01,\"\"a, b\"\"\"\n\
         5,event_time,\"is \"\"soon\"\", not RFC 3339 or a date as 2026-01-31\",\"u3,soon,x\"\n\
         6,row,\"has 1 fields, the header has 3\",u4\n\
         7,note,is not UTF-8,\"u5,2026-01-01,\u{fffd}\"\n"
    );
}

#[test]
fn a_rejected_row_can_be_mended_and_imported_by_its_text_alone() {
    let place = Place::new();
    let header = "user_id,event_time,note\n";
    let file = place.file("c.csv", format!("{header}u1,soon,\"said \"\"no\"\",\nand left\"\n"));
    place.import(&customers(&file)).unwrap();

    let rejects = place.path("c.csv.rejects.csv");
    let rejected = csv_rows(&rejects).remove(0).remove(3);
    let mended = place.file("mended.csv", header.to_owned() + &rejected.replace("soon", "2026-01-01"));
    let report = place.import(&customers(&mended)).unwrap();

    assert_eq!(report.customers, counts(1, 0, 0));
    assert_eq!(place.texts("select attributes->>'note' from customers"), ["said \"no\",\nand left"]);
}

#[test]
fn lines_are_those_of_an_editor_whatever_ends_them_and_however_many_are_blank() {
    let place = Place::new();
    let lines_of_rejects = |name: &str, content: &str| {
        let file = place.file(name, content);
        place.import(&customers(&file)).unwrap();
        let rows = csv_rows(&place.path(&format!("{name}.rejects.csv")));
        rows.into_iter().map(|mut row| row.remove(0)).collect::<Vec<_>>()
    };

    let windows = "user_id,event_time\r\nu1,2026-01-01\r\n,2026-01-01\r\n,2026-01-01\r\n";
    let blank = "user_id,event_time\n\n\n,2026-01-01\n\r\n,2026-01-01";
    let quoted = "user_id,event_time,note\r\nu1,2026-01-01,\"a\r\nb\r\n\"\r\n,2026-01-01,x\r\n";

    assert_eq!(lines_of_rejects("windows.csv", windows), ["3", "4"]);
    assert_eq!(lines_of_rejects("blank.csv", blank), ["4", "6"]);
    assert_eq!(lines_of_rejects("quoted.csv", quoted), ["5"]);
}

#[test]
fn a_clean_import_removes_the_rejects_of_an_earlier_one() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\n,2026-01-01\n");
    place.import(&customers(&file)).unwrap();
    let rejects = place.path("c.csv.rejects.csv");
    assert!(rejects.exists());

    place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n");
    place.import(&customers(&file)).unwrap();

    assert!(!rejects.exists());
}

#[test]
fn accepted_duplicate_and_rejected_rows_add_up_across_batches() {
    let place = Place::new();
    // Every third row is bad, every fifth repeats the row before.
    let row = |number: u32| match (number % 3, number % 5) {
        (0, _) => format!("e{number},u,p,sold,2026-01-01\n"),
        (_, 0) => "again,u,p,viewed,2026-01-01\n".to_owned(),
        _ => format!("e{number},u,p,viewed,2026-01-01\n"),
    };
    let rows: String = (0..30_000).map(row).collect();
    let file = place.file("e.csv", format!("event_id,user_id,product_id,kind,event_time\n{rows}"));

    let counted = place.import(&events(&file)).unwrap().events;

    // 20,000 are well-formed, 4,000 of them are the same event.
    assert_eq!(counted, counts(16_001, 3_999, 10_000));
    assert_eq!(counted.accepted + counted.duplicate + counted.rejected, 30_000);
    assert_eq!(place.number("select count(*) from events"), 16_001);
    assert_eq!(csv_rows(&place.path("e.csv.rejects.csv")).len(), 10_000);
}

#[test]
fn rejects_go_to_a_given_folder_and_not_beside_the_file() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\n,2026-01-01\n");
    let folder = place.path("of/rejects");

    let report = import_csv_with_rejects_in(place.url(), &customers(&file), &folder, &mut ()).unwrap();

    assert_eq!(report.customers, counts(0, 0, 1));
    assert_eq!(csv_rows(&folder.join("customers.rejects.csv")).len(), 1);
    assert!(!place.path("c.csv.rejects.csv").exists());
}

#[test]
fn a_file_is_never_overwritten_by_its_own_rejects() {
    let place = Place::new();
    let content = "user_id,event_time\nu1,2026-01-01\n";
    let file = place.file("customers.rejects.csv", content);

    let error = import_csv_with_rejects_in(place.url(), &customers(&file), &place.path(""), &mut ());

    assert!(matches!(error, Err(ImportError::File { .. })), "{error:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn a_quote_left_open_is_told_with_the_lines_that_it_swallowed() {
    let place = Place::new();
    let file = place.file("c.csv", "user_id,event_time\nu1,2026-01-01\n\"u2,2026-01-01\nu3,2026-01-01\n");

    let report = place.import(&customers(&file)).unwrap();

    assert_eq!(report.customers, counts(1, 0, 1));
    let rejected = csv_rows(&place.path("c.csv.rejects.csv")).remove(0);
    assert_eq!(
        rejected,
        [
            "3",
            "row",
            "has 1 fields, the header has 2; it goes on to line 4: is a quote left open?",
            "\"u2,2026-01-01\nu3,2026-01-01",
        ]
    );
}

#[test]
fn a_row_that_does_not_end_stops_the_import_before_it_fills_the_memory() {
    let place = Place::new();
    let rows = "u2,2026-01-01\n".repeat(1_300_000);
    let file = place.file("c.csv", format!("user_id,event_time\nu1,2026-01-01\n\"{rows}"));

    let error = place.import(&customers(&file)).unwrap_err().to_string();

    assert!(
        error.ends_with("the row that begins on line 3 is longer than 16 MiB; is a quote left open?"),
        "{error}"
    );
}

/// The rows of a CSV file without its header.
fn csv_rows(path: &std::path::Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}
