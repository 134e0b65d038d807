//! The products of a bank that does not exist.

use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeValue, Attributes, Product, ProductClass, ProductDraft, ProductId, ProductStatus, RiskGrade,
};
use rand::{Rng, RngExt, seq::IndexedRandom};

use super::{Synthetic, Taste, draws};

/// Draws of products.
const PRODUCT: u64 = 1;
/// Draws of what the classes have in common.
const CLASS: u64 = 2;

const ISSUERS: [&str; 6] =
    ["Aurora Bank", "Birch Insurance", "Cedar Credit", "Delta Wealth", "Elm Mutual", "Fjord Bank"];
const GRADES: [&str; 5] = ["Essential", "Classic", "Plus", "Premium", "Signature"];

/// What a class sells, and what its descriptions say.
fn vocabulary(class: ProductClass) -> (&'static [&'static str], &'static str) {
    match class {
        ProductClass::CreditCard => (
            &["cashback card", "travel card", "student card", "shopping card", "low rate card"],
            "Pay anywhere and settle monthly",
        ),
        ProductClass::Loan => (
            &["car loan", "home improvement loan", "instalment loan", "study loan", "bridging loan"],
            "Borrow a fixed amount and repay in equal instalments",
        ),
        ProductClass::Wealth => (
            &["bond fund", "equity fund", "term deposit", "balanced portfolio", "gold savings plan"],
            "Put savings to work over the years",
        ),
        ProductClass::Insurance => (
            &["travel cover", "home cover", "life cover", "health cover", "device cover"],
            "Cover against what cannot be foreseen",
        ),
    }
}

/// The catalogue, each product with its character.
pub(super) fn generate(synthetic: Synthetic) -> Vec<(Product, Taste)> {
    let classes: Vec<(ProductClass, Taste)> = (0_u32..)
        .zip(ProductClass::ALL)
        .map(|(number, class)| (class, Taste::draw(&mut draws(synthetic.seed, CLASS, number))))
        .collect();
    (0..synthetic.products)
        .map(|number| {
            // In turn, so that every class is there.
            let (class, center) = &classes[number as usize % classes.len()];
            let mut draws = draws(synthetic.seed, PRODUCT, number);
            let character = center.near(0.8, &mut draws);
            (product(number, *class, &character, &mut draws), character)
        })
        .collect()
}

fn product(number: u32, class: ProductClass, character: &Taste, draws: &mut impl Rng) -> Product {
    let (sorts, promise) = vocabulary(class);
    let sort = sorts.choose(draws).expect("every class sells something");
    let issuer = ISSUERS.choose(draws).expect("there are issuers");
    // The first latent dimension shows as risk, so that the grade means something.
    let risk = (character.0[0] * 1.2 + 3.0).round().clamp(1.0, 5.0) as u32;
    let fee = 10.0 * (1.0 + character.0[1].abs());
    let grade = GRADES[risk as usize - 1];
    ProductDraft {
        product_id: ProductId::parse(format!("product-{number:06}")).expect("short and plain"),
        product_class: class,
        name: format!("{issuer} {grade} {sort} {number}"),
        description: format!("{promise}: a {sort} by {issuer}, in its {} edition.", grade.to_lowercase()),
        issuer: (*issuer).to_owned(),
        risk_grade: Some(RiskGrade::new(risk).expect("clamped to 1 to 5")),
        status: ProductStatus::Active,
        attributes: Attributes::new([
            ("annual_fee".to_owned(), AttributeValue::Number((fee * 100.0).round() / 100.0)),
            ("online_only".to_owned(), AttributeValue::Flag(draws.random_bool(0.3))),
        ])
        .expect("names and values are ours"),
        event_time: launched(),
    }
    .check()
    .expect("texts are short")
}

fn launched() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().expect("the constant is RFC 3339")
}
