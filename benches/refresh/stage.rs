//! What there is to refresh: a database of synthetic customers, and a registered model.

use chrono::{DateTime, Utc};
use finrank_contracts::{common::v1::Customer, feature::v1::WriteCustomersRequest};
use finrank_feature_store::import::{Synthetic, import_synthetic};
use finrank_model::{AttributeValue, Attributes};
use finrank_serving::wire;
use finrank_store::{DatabaseConfig, Store, scratch::ScratchDatabase};
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task;

use crate::{Arguments, Result, model, server::Served};

/// Customers of one written message.
const MESSAGE_ROWS: usize = 1000;

/// The built-in view over customers' attributes, and none over events.
pub(crate) const WITHOUT_EVENTS: &str = r#"
version = 1
[[purpose]]
name = "marketing"
description = "Choosing what to offer, and to whom."
[[view]]
name = "customer_profile"
entity = "customer"
source = "attributes"
ttl = "800days"
description = "What the customer told us."
owner = "customer-data"
sensitivity = "personal"
purposes = ["marketing"]
feature = [
    { name = "annual_income", type = "number", description = "Before taxes." },
    { name = "savings", type = "number", description = "On all accounts." },
    { name = "risk_tolerance", type = "number", description = "From 1 to 5." },
    { name = "occupation", type = "text", description = "The group of occupations." },
    { name = "owns_home", type = "flag", description = "Whether the home is their own." },
    { name = "age", type = "number", description = "In years." },
    { name = "region", type = "text", description = "Where the customer lives." },
]
"#;

/// A filled database, and a model for it.
pub(crate) struct Stage {
    pub(crate) store: Store,
    pub(crate) models: TempDir,
    /// Dropped at the end, unless the database is to be kept.
    _scratch: Option<ScratchDatabase>,
}

impl Stage {
    /// Fills the database if it is empty, and registers a model.
    pub(crate) async fn set(arguments: &Arguments) -> Result<Self> {
        let (store, _scratch) = match &arguments.database {
            Some(url) => {
                let config = DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() };
                let store = Store::connect(&config).await?;
                store.migrate().await?;
                (store, None)
            }
            None => {
                let scratch = ScratchDatabase::create().await;
                (scratch.store.clone(), Some(scratch))
            }
        };
        fill(&store, arguments).await?;
        let stage = Self { store, models: tempfile::tempdir()?, _scratch };
        model::register(&stage.store, stage.models.path()).await?;
        Ok(stage)
    }

    /// Serves it, by the built-in definitions unless others are given.
    pub(crate) async fn serve(&self, definitions: Option<&str>) -> Result<Served> {
        Served::start(&self.store, self.models.path(), definitions, |_| {}).await
    }

    /// The server's version and settings that decide on its rates.
    pub(crate) async fn settings(&self) -> Result<Value> {
        let mut settings = json!({});
        for name in
            ["server_version", "fsync", "synchronous_commit", "wal_level", "shared_buffers", "max_wal_size"]
        {
            let setting: String = sqlx::query_scalar("select current_setting($1)")
                .bind(name)
                .fetch_one(self.store.pool())
                .await?;
            settings[name] = setting.into();
        }
        Ok(settings)
    }

    /// Writes new attributes of one customer in `one_in`, spread evenly.
    pub(crate) async fn change_one_in(&self, one_in: u32, served: &Served) -> Result<()> {
        let ids: Vec<String> = sqlx::query_scalar(
            "select user_id from (select user_id, row_number() over (order by user_id) as place from customers) as known
             where place % $1 = 0 order by user_id",
        )
        .bind(i64::from(one_in))
        .fetch_all(self.store.pool())
        .await?;
        let now = Utc::now();
        let customers: Vec<Customer> = ids.into_iter().map(|user_id| moved(user_id, now)).collect();
        let messages = customers.chunks(MESSAGE_ROWS);
        let messages: Vec<_> =
            messages.map(|customers| WriteCustomersRequest { customers: customers.to_vec() }).collect();
        served.client().write_customers(stream::iter(messages)).await?;
        Ok(())
    }
}

async fn fill(store: &Store, arguments: &Arguments) -> Result<()> {
    let known: i64 = sqlx::query_scalar("select count(*) from (select user_id from customers) as known")
        .fetch_one(store.pool())
        .await?;
    if known == 0 {
        let Arguments { users, products, .. } = *arguments;
        let url = store.url().to_owned();
        let synthetic = Synthetic { users, products, seed: 1 };
        eprintln!("importing {users} customers and their events");
        task::spawn_blocking(move || import_synthetic(&url, synthetic, &mut ())).await??;
    } else if known != i64::from(arguments.users) {
        return Err(format!("the database holds {known} customers, not {}", arguments.users).into());
    }
    // As autovacuum does sooner or later.
    sqlx::raw_sql("vacuum (analyze)").execute(store.pool()).await?;
    sqlx::raw_sql("checkpoint").execute(store.pool()).await?;
    Ok(())
}

fn moved(user_id: String, now: DateTime<Utc>) -> Customer {
    let attributes = [
        ("region".to_owned(), AttributeValue::Text("abroad".to_owned())),
        ("savings".to_owned(), AttributeValue::Number(1000.0)),
    ];
    let attributes = Attributes::new(attributes).expect("names and values are ours");
    Customer {
        user_id,
        attributes: wire::attributes_to_wire(&attributes),
        event_time: Some(wire::timestamp(now)),
        ..Customer::default()
    }
}
