//! Customers of a bank that does not exist, and what they did there in 2025.

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{
    AttributeValue, Attributes, Customer, Event, EventId, EventKind, Money, Product, UserId,
};
use rand::{Rng, RngExt, seq::IndexedRandom};

use super::{Synthetic, Taste, draws, taste::normal};

/// Draws of customers.
const CUSTOMER: u64 = 3;
/// Products that a customer comes across.
const SEEN: usize = 24;
/// What a year has.
const SECONDS: i64 = 365 * 24 * 3600;
/// From viewing to clicking; shorter than half of the quickest decision, so that the steps are in order.
const CLICKED_AFTER: TimeDelta = TimeDelta::seconds(20);

const REGIONS: [&str; 5] = ["north", "east", "south", "west", "abroad"];
const OCCUPATIONS: [&str; 5] = ["employed", "self_employed", "student", "retired", "public_service"];

/// A customer's id.
pub(super) fn user_id(number: u32) -> UserId {
    UserId::parse(format!("user-{number:07}")).expect("short and plain")
}

/// What a customer likes, which is drawn before anything else.
pub(super) fn taste(synthetic: Synthetic, number: u32) -> Taste {
    Taste::draw(&mut draws(synthetic.seed, CUSTOMER, number))
}

/// One customer and their events. The same number gives the same rows whatever the number of users.
pub(super) fn generate(
    synthetic: Synthetic,
    number: u32,
    catalogue: &[(Product, Taste)],
) -> (Customer, Vec<Event>) {
    let mut draws = draws(synthetic.seed, CUSTOMER, number);
    let taste = Taste::draw(&mut draws);
    let user_id = user_id(number);
    let customer = Customer {
        user_id: user_id.clone(),
        attributes: attributes(&taste, &mut draws),
        event_time: year_begins(),
    };
    let events = events(&user_id, &taste, catalogue, &mut draws);
    (customer, events)
}

/// What the bank knows: the taste through noise, a tenth of it missing.
fn attributes(taste: &Taste, draws: &mut impl Rng) -> Attributes {
    let shown = |dimension: usize, draws: &mut _| taste.0[dimension] + 0.5 * normal(draws);
    let pick = |names: &[&str; 5], shown: f64| {
        names[(shown * 1.2 + 2.0).round().clamp(0.0, 4.0) as usize].to_owned()
    };
    let known = [
        // Heavy-tailed, as incomes are.
        ("annual_income", AttributeValue::Number((40_000.0 * (0.6 * shown(0, draws)).exp()).round())),
        ("savings", AttributeValue::Number((5_000.0 * (1.2 * shown(1, draws)).exp()).round())),
        ("age", AttributeValue::Number((45.0 + 14.0 * shown(2, draws)).round().clamp(18.0, 95.0))),
        ("risk_tolerance", AttributeValue::Number((3.0 + 1.2 * shown(0, draws)).round().clamp(1.0, 5.0))),
        ("region", AttributeValue::Text(pick(&REGIONS, shown(3, draws)))),
        ("occupation", AttributeValue::Text(pick(&OCCUPATIONS, shown(4, draws)))),
        // Rounded, so that another library's `exp` gives the same row.
        ("digital_share", AttributeValue::Number(rounded(1.0 / (1.0 + (-shown(5, draws)).exp())))),
        ("owns_home", AttributeValue::Flag(shown(6, draws) > 0.0)),
        ("children", AttributeValue::Number((1.0 + shown(7, draws)).round().clamp(0.0, 6.0))),
    ];
    let known: Vec<_> = known.into_iter().filter(|_| draws.random_bool(0.9)).collect();
    Attributes::new(known.into_iter().map(|(name, value)| (name.to_owned(), value)))
        .expect("names and values are ours")
}

/// The customer sees some products, views the better half of them, clicks on some, and applies for and acquires
/// the few that suit best.
fn events(
    user_id: &UserId,
    taste: &Taste,
    catalogue: &[(Product, Taste)],
    draws: &mut impl Rng,
) -> Vec<Event> {
    let mut seen: Vec<(f64, &Product)> = catalogue
        .sample(draws, SEEN.min(catalogue.len()))
        .map(|(product, character)| (taste.affinity(character), product))
        .collect();
    for (affinity, _) in &mut seen {
        *affinity += normal(draws);
    }
    seen.sort_by(|(a, _), (b, _)| b.total_cmp(a));

    let acquired = draws.random_range(1..=5).min(seen.len());
    let viewed = seen.len().div_ceil(2).max(acquired);
    let clicked = 2 * acquired;
    let mut events = Vec::with_capacity(viewed + clicked + 2 * acquired);
    for (place, (_, product)) in seen.into_iter().take(viewed).enumerate() {
        let viewed_at = year_begins() + TimeDelta::seconds(draws.random_range(0..SECONDS));
        events.push(event(user_id, product, EventKind::Viewed, viewed_at, None));
        if place < clicked {
            events.push(event(user_id, product, EventKind::Clicked, viewed_at + CLICKED_AFTER, None));
        }
        if place < acquired {
            let decided_in = TimeDelta::seconds(draws.random_range(60..7 * 24 * 3600));
            let amount = Money::new("EUR", draws.random_range(1_000..500_000)).expect("an ISO 4217 code");
            let (applied_at, acquired_at) = (viewed_at + decided_in / 2, viewed_at + decided_in);
            events.push(event(user_id, product, EventKind::Applied, applied_at, Some(amount.clone())));
            events.push(event(user_id, product, EventKind::Acquired, acquired_at, Some(amount)));
        }
    }
    events
}

fn event(
    user_id: &UserId,
    product: &Product,
    kind: EventKind,
    event_time: DateTime<Utc>,
    amount: Option<Money>,
) -> Event {
    Event {
        event_id: EventId::parse(format!("{}-{}", kind.as_str(), product.product_id))
            .expect("short and plain"),
        user_id: user_id.clone(),
        product_id: product.product_id.clone(),
        kind,
        event_time,
        quantity: 1,
        amount,
    }
}

fn year_begins() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().expect("the constant is RFC 3339")
}

fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::{super::catalogue, *};

    const SYNTHETIC: Synthetic = Synthetic { users: 200, products: 60, seed: 11 };

    #[test]
    fn customers_acquire_what_suits_them() {
        let catalogue = catalogue::generate(SYNTHETIC);
        let (mut acquired, mut any) = (Vec::new(), Vec::new());

        for number in 0..SYNTHETIC.users {
            let (_, events) = generate(SYNTHETIC, number, &catalogue);
            for (product, character) in &catalogue {
                let affinity = taste(SYNTHETIC, number).affinity(character);
                any.push(affinity);
                let is_it = |e: &Event| e.kind == EventKind::Acquired && e.product_id == product.product_id;
                if events.iter().any(is_it) {
                    acquired.push(affinity);
                }
            }
        }

        let mean = |affinities: &[f64]| affinities.iter().sum::<f64>() / affinities.len() as f64;
        // An affinity's standard deviation is about 3.6.
        assert!(mean(&acquired) > mean(&any) + 2.0, "{} {}", mean(&acquired), mean(&any));
    }

    #[test]
    fn attributes_show_the_taste_and_some_are_missing() {
        let catalogue = catalogue::generate(SYNTHETIC);
        let mut shown = Vec::new();

        for number in 0..SYNTHETIC.users {
            let (customer, _) = generate(SYNTHETIC, number, &catalogue);
            if let Some(AttributeValue::Number(income)) = customer.attributes.get("annual_income") {
                shown.push((taste(SYNTHETIC, number).0[0], income.ln()));
            }
        }

        let count = shown.len() as f64;
        let mean = |value: fn(&(f64, f64)) -> f64| shown.iter().map(value).sum::<f64>() / count;
        let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum =
            |value: &dyn Fn(f64, f64) -> f64| shown.iter().map(|(a, b)| value(a - x, b - y)).sum::<f64>();
        let correlation = sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
        assert!(correlation > 0.7, "{correlation}");
        assert!((100..200).contains(&shown.len()), "{}", shown.len());
    }

    #[test]
    fn an_acquisition_is_viewed_clicked_and_applied_for_before() {
        let catalogue = catalogue::generate(SYNTHETIC);
        let (_, events) = generate(SYNTHETIC, 0, &catalogue);
        let acquired = events.iter().find(|event| event.kind == EventKind::Acquired).unwrap();

        let mut steps: Vec<_> = events.iter().filter(|e| e.product_id == acquired.product_id).collect();
        steps.sort_by_key(|event| event.event_time);

        let kinds: Vec<EventKind> = steps.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Viewed, EventKind::Clicked, EventKind::Applied, EventKind::Acquired]);
    }
}
