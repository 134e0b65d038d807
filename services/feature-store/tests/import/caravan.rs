//! The adapter for ISLP's Caravan.csv.

use finrank_feature_store::import::{ImportError, import_caravan};

use super::support::{Place, counts};

/// The header of the file as published: 43 attributes, 21 contributions, 21 counts of policies, and the caravan.
const HEADER: &str = "MOSTYPE,MAANTHUI,MGEMOMV,MGEMLEEF,MOSHOOFD,MGODRK,MGODPR,MGODOV,MGODGE,MRELGE,MRELSA,\
    MRELOV,MFALLEEN,MFGEKIND,MFWEKIND,MOPLHOOG,MOPLMIDD,MOPLLAAG,MBERHOOG,MBERZELF,MBERBOER,MBERMIDD,MBERARBG,\
    MBERARBO,MSKA,MSKB1,MSKB2,MSKC,MSKD,MHHUUR,MHKOOP,MAUT1,MAUT2,MAUT0,MZFONDS,MZPART,MINKM30,MINK3045,MINK4575,\
    MINK7512,MINK123M,MINKGEM,MKOOPKLA,PWAPART,PWABEDR,PWALAND,PPERSAUT,PBESAUT,PMOTSCO,PVRAAUT,PAANHANG,\
    PTRACTOR,PWERKT,PBROM,PLEVEN,PPERSONG,PGEZONG,PWAOREG,PBRAND,PZEILPL,PPLEZIER,PFIETS,PINBOED,PBYSTAND,\
    AWAPART,AWABEDR,AWALAND,APERSAUT,ABESAUT,AMOTSCO,AVRAAUT,AAANHANG,ATRACTOR,AWERKT,ABROM,ALEVEN,APERSONG,\
    AGEZONG,AWAOREG,ABRAND,AZEILPL,APLEZIER,AFIETS,AINBOED,ABYSTAND,Purchase";

/// A file of households, each given by the columns that are not 0.
fn file(households: &[&[(&str, &str)]]) -> String {
    let row = |known: &&[(&str, &str)]| {
        let field = |column: &str| {
            let unknown = if column == "Purchase" { "No" } else { "0" };
            known.iter().find(|(name, _)| *name == column).map_or(unknown, |(_, value)| *value).to_owned()
        };
        HEADER.split(',').map(field).collect::<Vec<_>>().join(",")
    };
    let rows: Vec<String> = households.iter().map(row).collect();
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

#[test]
fn households_become_customers_with_their_attributes_and_policies() {
    let place = Place::new();
    // PBRAND is what is paid for a fire policy; this household pays for one that it does not hold.
    let path = place.file(
        "Caravan.csv",
        file(&[
            &[
                ("MOSTYPE", "33"),
                ("MOSHOOFD", "8"),
                ("MGEMLEEF", "2"),
                ("APERSAUT", "2"),
                ("Purchase", "Yes"),
            ],
            &[("MOSTYPE", "9"), ("PBRAND", "5")],
        ]),
    );

    let first = import_caravan(place.url(), &path, &mut ()).unwrap();
    let second = import_caravan(place.url(), &path, &mut ()).unwrap();

    assert_eq!(
        (first.customers, first.products, first.events),
        (counts(2, 0, 0), counts(22, 0, 0), counts(2, 0, 0))
    );
    assert_eq!(
        (second.customers, second.products, second.events),
        (counts(0, 2, 0), counts(0, 22, 0), counts(0, 2, 0))
    );
    let customers = place.texts(
        "select concat_ws(' ', user_id, attributes->'customer_subtype', attributes->'customer_main_type',
                          attributes->'age_band', (select count(*) from jsonb_object_keys(attributes)))
         from customers order by user_id",
    );
    assert_eq!(customers, [r#"caravan-0001 "33" "8" 2.0 43"#, r#"caravan-0002 "9" "0" 0.0 43"#]);
    let events = place.texts(
        "select concat_ws(' ', user_id, kind, product_id, quantity) from events order by product_id desc",
    );
    assert_eq!(events, ["caravan-0001 acquired caravan 1", "caravan-0001 acquired car 2"][..].to_vec());
}

#[test]
fn every_product_is_insurance_with_a_name_and_a_sentence() {
    let place = Place::new();
    let path = place.file("Caravan.csv", file(&[]));

    import_caravan(place.url(), &path, &mut ()).unwrap();

    let well_said = "select count(*) from products where product_class = 'insurance'
                     and name like '% insurance%' and description like '% %.'";
    assert_eq!(place.number(well_said), 22);
    assert_eq!(place.number("select count(distinct name) from products"), 22);
}

#[test]
fn a_household_with_a_word_for_a_number_stops_the_import_before_anything_is_loaded() {
    let place = Place::new();
    let path = place.file("Caravan.csv", file(&[&[], &[("AFIETS", "two")], &[("MOSTYPE", "1")]]));

    let error = import_caravan(place.url(), &path, &mut ()).unwrap_err();

    assert!(matches!(&error, ImportError::Caravan { line: 3, .. }), "{error}");
    assert!(error.to_string().ends_with(r#"AFIETS is "two", not a whole number from 0 to 255"#), "{error}");
    assert_eq!(place.number("select count(*) from customers"), 0);
    assert_eq!(place.number("select count(*) from products"), 0);
}

#[test]
fn a_file_without_its_columns_is_refused() {
    let place = Place::new();
    let path = place.file("Caravan.csv", "MOSTYPE,Purchase\n1,Yes\n");

    let error = import_caravan(place.url(), &path, &mut ()).unwrap_err().to_string();

    assert!(error.contains("lacks the columns MAANTHUI, "), "{error}");
    assert!(error.ends_with("it has MOSTYPE, Purchase. Nothing was loaded"), "{error}");
}

#[test]
fn the_published_file_gives_the_published_counts() {
    let Some(path) = std::env::var_os("FINRANK_CARAVAN_CSV") else {
        eprintln!("SKIPPED: FINRANK_CARAVAN_CSV names no file; scripts/test sets it");
        return;
    };
    let place = Place::new();

    let report = import_caravan(place.url(), path.as_ref(), &mut ()).unwrap();

    assert_eq!(
        (report.customers, report.products, report.events),
        (counts(5_822, 0, 0), counts(22, 0, 0), counts(10_622, 0, 0))
    );
    let holders = place.texts(
        "select product_id || ' ' || count(*) from events where product_id in ('fire', 'car', 'caravan')
         group by product_id order by count(*) desc",
    );
    assert_eq!(holders, ["fire 3156", "car 2977", "caravan 348"]);
}
