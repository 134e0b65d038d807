//! Rows into Postgres: a binary COPY into a temporary table and one merge, in one transaction a batch.
//!
//! The merge leaves out what was already stated, in the file or in the store. What of the rest counts follows from
//! the statements themselves, whatever the order in which they arrive.

use finrank_model::{Customer, Event, Money, Product, Statement};
use finrank_store::bulk;
use postgres::{
    Client,
    binary_copy::BinaryCopyInWriter,
    types::{Json, ToSql, Type},
};

use super::{Counts, Result};

/// Rows of a batch: some megabytes, and few enough transactions that they do not show.
pub(super) const BATCH_ROWS: usize = 10_000;

/// A connection that loads.
pub(super) struct Loader {
    client: Client,
}

/// How one kind of row is staged and merged.
struct Target {
    /// Makes the staging table, empty.
    create: &'static str,
    copy: &'static str,
    types: &'static [Type],
    merge: &'static str,
    /// Lets some of the rows shine through what was pushed under their time or a later one; absent where nothing can be.
    carry_over: Option<&'static str>,
}

/// Rows that shine through at once. Each may need a lock of its own until they all do, of which Postgres has some 6,000 for
/// everybody.
const CARRIED_ROWS: usize = 1_000;

const CUSTOMERS: Target = Target {
    create: "create temp table if not exists staged_customers
             (place bigint, revision integer, retracted boolean,
              user_id text, attributes jsonb, event_time timestamptz);
             truncate staged_customers",
    copy: "copy staged_customers from stdin binary",
    types: &[Type::INT8, Type::INT4, Type::BOOL, Type::TEXT, Type::JSONB, Type::TIMESTAMPTZ],
    merge: "insert into customer_statements (user_id, attributes, event_time, revision, retracted)
            select user_id, attributes, event_time, revision, retracted
            from staged_customers
            order by user_id collate \"C\", event_time, revision, place
            on conflict (user_id, event_time, pushed, revision) do nothing",
    carry_over: Some(
        "select carry_over_customers(array_agg(user_id), array_agg(event_time)) from staged_customers
         where place >= $1 and place < $2 and exists (select from customer_statements where pushed > 0)",
    ),
};

const PRODUCTS: Target = Target {
    create: "create temp table if not exists staged_products
             (place bigint, revision integer, retracted boolean,
              product_id text, product_class text, name text, description text, issuer text,
              risk_grade smallint, status text, attributes jsonb, event_time timestamptz);
             truncate staged_products",
    copy: "copy staged_products from stdin binary",
    types: &[
        Type::INT8,
        Type::INT4,
        Type::BOOL,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT2,
        Type::TEXT,
        Type::JSONB,
        Type::TIMESTAMPTZ,
    ],
    merge: "insert into product_statements
                (product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time,
                 revision, retracted)
            select product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time,
                   revision, retracted
            from staged_products
            order by product_id collate \"C\", event_time, revision, place
            on conflict (product_id, event_time, pushed, revision) do nothing",
    carry_over: Some(
        "select carry_over_products(array_agg(product_id), array_agg(event_time)) from staged_products
         where place >= $1 and place < $2 and exists (select from product_statements where pushed > 0)",
    ),
};

const EVENTS: Target = Target {
    create: "create temp table if not exists staged_events
             (place bigint, revision integer, retracted boolean,
              user_id text, event_id text, product_id text, kind text, event_time timestamptz,
              quantity integer, amount_minor bigint, currency_code text);
             truncate staged_events",
    copy: "copy staged_events from stdin binary",
    types: &[
        Type::INT8,
        Type::INT4,
        Type::BOOL,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::INT4,
        Type::INT8,
        Type::TEXT,
    ],
    merge: "insert into event_statements
                (user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code,
                 revision, retracted)
            select user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code,
                   revision, retracted
            from staged_events
            order by user_id collate \"C\", event_id collate \"C\", revision, place
            on conflict (user_id, event_id, revision) do nothing",
    carry_over: None,
};

impl Loader {
    /// Connects.
    pub(super) fn connect(database_url: &str) -> Result<Self> {
        Ok(Self { client: bulk::connect(database_url)? })
    }

    /// Loads customers.
    pub(super) fn customers(&mut self, rows: &[Statement<Customer>]) -> Result<Counts> {
        self.load(&CUSTOMERS, rows, |customer, write| {
            write(&[&customer.user_id.as_str(), &Json(&customer.attributes), &customer.event_time])
        })
    }

    /// Loads products.
    pub(super) fn products(&mut self, rows: &[Statement<Product>]) -> Result<Counts> {
        self.load(&PRODUCTS, rows, |product, write| {
            write(&[
                &product.product_id.as_str(),
                &product.product_class.as_str(),
                &product.name,
                &product.description,
                &product.issuer,
                &product.risk_grade.map(|grade| i16::from(grade.get())),
                &product.status.as_str(),
                &Json(&product.attributes),
                &product.event_time,
            ])
        })
    }

    /// Loads events.
    pub(super) fn events(&mut self, rows: &[Statement<Event>]) -> Result<Counts> {
        self.load(&EVENTS, rows, |event, write| {
            let amount = event.amount.as_ref();
            write(&[
                &event.user_id.as_str(),
                &event.event_id.as_str(),
                &event.product_id.as_str(),
                &event.kind.as_str(),
                &event.event_time,
                &i32::try_from(event.quantity).unwrap_or(i32::MAX),
                &amount.map(Money::minor_units),
                &amount.map(Money::currency_code),
            ])
        })
    }

    /// Stages and merges a batch; a row's place in it decides between equals.
    fn load<R>(
        &mut self,
        target: &Target,
        rows: &[Statement<R>],
        write_row: impl Fn(
            &R,
            &mut dyn FnMut(&[&(dyn ToSql + Sync)]) -> Result<(), postgres::Error>,
        ) -> Result<(), postgres::Error>,
    ) -> Result<Counts> {
        if rows.is_empty() {
            return Ok(Counts::default());
        }
        self.client.batch_execute(target.create)?;
        let mut transaction = self.client.transaction()?;
        let mut copy = BinaryCopyInWriter::new(transaction.copy_in(target.copy)?, target.types);
        for (place, row) in (0_i64..).zip(rows) {
            let (number, retracted) = (row.revision.number(), row.revision.retracted());
            write_row(&row.about, &mut |values| {
                let key: [&(dyn ToSql + Sync); 3] = [&place, &number, &retracted];
                copy.write(&[&key, values].concat())
            })?;
        }
        copy.finish()?;
        let accepted = transaction.execute(target.merge, &[])?;
        transaction.commit()?;
        if let Some(carry_over) = target.carry_over {
            for first in (0..rows.len()).step_by(CARRIED_ROWS) {
                self.client.execute(carry_over, &[&(first as i64), &((first + CARRIED_ROWS) as i64)])?;
            }
        }
        Ok(Counts { accepted, duplicate: rows.len() as u64 - accepted, rejected: 0 })
    }
}
