//! Rows into Postgres: a binary COPY into a temporary table and one merge, in one transaction a batch.
//!
//! The merge decides what counts: of two rows of one customer or product the later `event_time`, whatever the
//! order in which they arrive; of two events with one id the first. Both in the file and against the store.

use finrank_model::{Customer, Event, Money, Product};
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
    create: &'static str,
    copy: &'static str,
    types: &'static [Type],
    merge: &'static str,
}

const CUSTOMERS: Target = Target {
    create: "create temp table if not exists staged_customers
             (place bigint, user_id text, attributes jsonb, event_time timestamptz) on commit delete rows",
    copy: "copy staged_customers from stdin binary",
    types: &[Type::INT8, Type::TEXT, Type::JSONB, Type::TIMESTAMPTZ],
    merge: "insert into customers (user_id, attributes, event_time)
            select distinct on (user_id) user_id, attributes, event_time
            from staged_customers
            order by user_id, event_time desc, place
            on conflict (user_id) do update
            set attributes = excluded.attributes, event_time = excluded.event_time,
                ingested_at = now(), ingest_seq = nextval('ingest_seq')
            where customers.event_time < excluded.event_time",
};

const PRODUCTS: Target = Target {
    create: "create temp table if not exists staged_products
             (place bigint, product_id text, product_class text, name text, description text, issuer text,
              risk_grade smallint, status text, attributes jsonb, event_time timestamptz) on commit delete rows",
    copy: "copy staged_products from stdin binary",
    types: &[
        Type::INT8,
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
    merge: "insert into products
                (product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time)
            select distinct on (product_id)
                product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time
            from staged_products
            order by product_id, event_time desc, place
            on conflict (product_id) do update
            set product_class = excluded.product_class, name = excluded.name, description = excluded.description,
                issuer = excluded.issuer, risk_grade = excluded.risk_grade, status = excluded.status,
                attributes = excluded.attributes, event_time = excluded.event_time,
                ingested_at = now(), ingest_seq = nextval('ingest_seq')
            where products.event_time < excluded.event_time",
};

const EVENTS: Target = Target {
    create: "create temp table if not exists staged_events
             (place bigint, user_id text, event_id text, product_id text, kind text, event_time timestamptz,
              quantity integer, amount_minor bigint, currency_code text) on commit delete rows",
    copy: "copy staged_events from stdin binary",
    types: &[
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::INT4,
        Type::INT8,
        Type::TEXT,
    ],
    merge: "insert into events
                (user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code)
            select distinct on (user_id, event_id)
                user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code
            from staged_events
            order by user_id, event_id, place
            on conflict (user_id, event_id) do nothing",
};

impl Loader {
    /// Connects.
    pub(super) fn connect(database_url: &str) -> Result<Self> {
        Ok(Self { client: bulk::connect(database_url)? })
    }

    /// Loads customers.
    pub(super) fn customers(&mut self, rows: &[Customer]) -> Result<Counts> {
        self.load(&CUSTOMERS, rows, |customer, place, write| {
            write(&[&place, &customer.user_id.as_str(), &Json(&customer.attributes), &customer.event_time])
        })
    }

    /// Loads products.
    pub(super) fn products(&mut self, rows: &[Product]) -> Result<Counts> {
        self.load(&PRODUCTS, rows, |product, place, write| {
            write(&[
                &place,
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
    pub(super) fn events(&mut self, rows: &[Event]) -> Result<Counts> {
        self.load(&EVENTS, rows, |event, place, write| {
            let amount = event.amount.as_ref();
            write(&[
                &place,
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
        rows: &[R],
        write_row: impl Fn(
            &R,
            i64,
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
            write_row(row, place, &mut |values| copy.write(values))?;
        }
        copy.finish()?;
        let accepted = transaction.execute(target.merge, &[])?;
        transaction.commit()?;
        Ok(Counts { accepted, duplicate: rows.len() as u64 - accepted, rejected: 0 })
    }
}
