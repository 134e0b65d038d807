//! A small market in Postgres in which the region decides what is bought: northerners buy of one half of the
//! catalogue, southerners of the other, and within a half neighbouring products go together.

use chrono::{DateTime, Utc};
use finrank_learning::{LearningConfig, TrainConfig};
use finrank_model::ModelVersion;
use finrank_store::{Store, scratch::ScratchDatabase};

/// Customers of the market.
pub(crate) const CUSTOMERS: usize = 400;
/// Products of each region.
pub(crate) const PER_REGION: usize = 5;
/// Products that each customer buys.
pub(crate) const BOUGHT: usize = 3;

/// One purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purchase {
    pub(crate) user: usize,
    pub(crate) product: String,
    /// When, in days.
    pub(crate) day: i64,
}

/// What each customer buys, the last purchase last: three neighbours in the circle of the
/// region's products.
pub(crate) fn purchases() -> Vec<Purchase> {
    let of_user = |user: usize| {
        let region = ["north", "south"][user % 2];
        let first = (user / 2) % PER_REGION;
        (0..BOUGHT).map(move |day| Purchase {
            user,
            product: format!("{region}-{}", (first + day) % PER_REGION),
            day: day as i64,
        })
    };
    (0..CUSTOMERS).flat_map(of_user).collect()
}

/// A database with the market's customers and products, and these purchases.
pub(crate) async fn market(purchases: &[Purchase]) -> ScratchDatabase {
    let database = ScratchDatabase::create().await;
    let pool = database.store.pool();
    sqlx::query(
        "insert into customer_statements (user_id, attributes, event_time)
         select format('u%s', to_char(user_number, 'FM0000')),
                jsonb_build_object(
                    'region', case user_number % 2 when 0 then 'north' else 'south' end,
                    'age', 20 + user_number % 50),
                'epoch'
         from generate_series(0, $1 - 1) as user_number",
    )
    .bind(CUSTOMERS as i32)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "insert into product_statements (product_id, product_class, name, description, issuer, status, attributes, event_time)
         select format('%s-%s', region, number), 'loan', format('%s loan %s', region, number), '', '',
                'active', '{}', 'epoch'
         from unnest(array['north', 'south']) as region, generate_series(0, $1 - 1) as number",
    )
    .bind(PER_REGION as i32)
    .execute(pool)
    .await
    .unwrap();
    buy(&database.store, purchases).await;
    database
}

async fn buy(store: &Store, purchases: &[Purchase]) {
    let users: Vec<String> = purchases.iter().map(|purchase| format!("u{:04}", purchase.user)).collect();
    let products: Vec<String> = purchases.iter().map(|purchase| purchase.product.clone()).collect();
    let times: Vec<DateTime<Utc>> = purchases
        .iter()
        .map(|purchase| DateTime::from_timestamp(purchase.day * 86_400, 0).unwrap())
        .collect();
    sqlx::query(
        "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity)
         select user_id, product_id, product_id, 'acquired', event_time, 1
         from unnest($1::text[], $2::text[], $3::timestamptz[]) as bought (user_id, product_id, event_time)",
    )
    .bind(users)
    .bind(products)
    .bind(times)
    .execute(store.pool())
    .await
    .unwrap();
}

/// A short training into `models_dir`, whose version and time are fixed.
pub(crate) fn short_training(models_dir: &std::path::Path, seed: u64) -> TrainConfig {
    TrainConfig {
        model_version: Some(ModelVersion::parse("test-model").unwrap()),
        trained_at: Some(DateTime::UNIX_EPOCH),
        seed,
        learning: short_learning(),
        ..TrainConfig::new(models_dir)
    }
}

/// Enough for so small a market.
pub(crate) fn short_learning() -> LearningConfig {
    LearningConfig { steps: 240, ..Default::default() }
}
