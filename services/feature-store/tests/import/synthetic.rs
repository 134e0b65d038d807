//! Generated customers, products and events.

use finrank_feature_store::import::{ImportObserver, Synthetic, import_synthetic};

use super::support::{Place, counts};

#[test]
fn customers_are_imported_across_batches_and_only_once() {
    let place = Place::new();
    let synthetic = Synthetic { users: 10_050, products: 8, seed: 5 };

    let first = import_synthetic(place.url(), synthetic, &mut ()).unwrap();
    let second = import_synthetic(place.url(), synthetic, &mut ()).unwrap();

    assert_eq!(first.customers, counts(10_050, 0, 0));
    assert_eq!(first.products, counts(8, 0, 0));
    assert!(first.events.accepted > 10_050);
    assert!(!second.is_news());
    assert_eq!(second.events.duplicate, first.events.accepted);
}

/// A change of the generator would leave databases with rows of both: times are fixed, so that new rows do not
/// replace old ones. It wants to be noticed.
#[test]
fn the_rows_of_a_seed_are_known_by_their_digest() {
    let digest = |users, seed| {
        let place = Place::new();
        import_synthetic(place.url(), Synthetic { users, products: 40, seed }, &mut ()).unwrap();
        place.texts(
            r#"select md5(string_agg(line, E'\n' order by line collate "C")) from (
                 select concat_ws('|', user_id, attributes, extract(epoch from event_time)) as line
                 from customers where user_id < 'user-0000100'
                 union all
                 select concat_ws('|', product_id, product_class, name, description, issuer, risk_grade, status,
                                  attributes, extract(epoch from event_time))
                 from products
                 union all
                 select concat_ws('|', user_id, event_id, product_id, kind, extract(epoch from event_time),
                                  quantity, amount_minor, currency_code)
                 from events where user_id < 'user-0000100'
             ) as lines"#,
        )
    };

    assert_eq!(digest(100, 7), [DIGEST]);
    assert_eq!(digest(250, 7), [DIGEST], "more customers leave the first ones as they are");
    assert_ne!(digest(100, 8), [DIGEST]);
}

/// 100 customers, 40 products, seed 7.
const DIGEST: &str = "ba7f26c88765cb848ad53c4f72615313";

#[test]
fn a_year_of_events_leads_from_views_to_fewer_acquisitions() {
    let place = Place::new();

    import_synthetic(place.url(), Synthetic { users: 500, products: 40, seed: 1 }, &mut ()).unwrap();

    let kinds = place.texts("select kind from events group by kind order by count(*) desc, kind desc");
    assert_eq!(kinds, ["viewed", "clicked", "applied", "acquired"]);
    let spread = "select (max(event_time) - min(event_time) > interval '360 days')::int::bigint from events";
    assert_eq!(place.number(spread), 1);
    let per_user = "select count(distinct user_id) from events where kind = 'acquired'";
    assert_eq!(place.number(per_user), 500);
}

/// Counts the rows that are on their way.
#[derive(Default)]
struct Reached(Vec<u64>);

impl ImportObserver for Reached {
    fn reached(&mut self, units: u64) {
        self.0.push(units);
    }
}

#[test]
fn customers_are_generated_a_batch_at_a_time() {
    let place = Place::new();
    let mut reached = Reached::default();

    import_synthetic(place.url(), Synthetic { users: 20_001, products: 4, seed: 1 }, &mut reached).unwrap();

    assert_eq!(reached.0, [10_000, 20_000, 20_001]);
}
