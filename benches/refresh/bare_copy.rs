//! What Postgres can do with the rows that a refresh writes: blocks of ready binary rows, copied in the same order into
//! a table with the same columns and a key, by one connection and in one transaction; and with those that it reads: all
//! customers and all their events, in the order of their ids, copied out in binary and thrown away.

use std::{
    io::{self, Read, Write},
    time::Instant,
};

use finrank_store::bulk;

use crate::{Result, stage::Stage};

/// What is handed to the server at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// What a refresh reads, in the columns that its statements look at.
const READ: [&str; 2] = [
    "copy (select user_id, attributes, event_time from customer_statements order by user_id) to stdout binary",
    "copy (
         select user_id, product_id, kind, event_time, quantity, amount_minor, currency_code
         from event_statements order by user_id
     ) to stdout binary",
];

/// Rows per second of each copy of the newest generation's customers.
pub(crate) async fn measure(stage: &Stage, copies: usize) -> Result<Vec<f64>> {
    let url = stage.store.url().to_owned();
    let rates =
        tokio::task::spawn_blocking(move || copy_repeatedly(&url, copies).map_err(|error| error.to_string()));
    Ok(rates.await??)
}

/// How many seconds one connection takes to copy out all that a refresh reads.
pub(crate) async fn read_all(stage: &Stage) -> Result<f64> {
    let url = stage.store.url().to_owned();
    let read = tokio::task::spawn_blocking(move || copy_out(&url).map_err(|error| error.to_string()));
    Ok(read.await??)
}

fn copy_out(url: &str) -> Result<f64> {
    let mut client = bulk::connect(url)?;
    client.batch_execute("set max_parallel_workers_per_gather = 0")?;
    let started = Instant::now();
    for statement in READ {
        io::copy(&mut client.copy_out(statement)?, &mut io::sink())?;
    }
    Ok(started.elapsed().as_secs_f64())
}

fn copy_repeatedly(url: &str, copies: usize) -> Result<Vec<f64>> {
    let mut client = bulk::connect(url)?;
    let mut rows = Vec::new();
    client
        .copy_out(
            "copy (
                 select user_id, run_id, vector, computed_at from user_embeddings
                 where run_id = (select max(run_id) from refresh_runs where state = 'complete')
                 order by user_id
             ) to stdout binary",
        )?
        .read_to_end(&mut rows)?;
    let mut rates = Vec::new();
    for _ in 0..copies {
        client.batch_execute(
            "drop table if exists bare_copy;
             create table bare_copy (
                 user_id     text        not null collate \"C\",
                 run_id      bigint      not null,
                 vector      bytea       not null,
                 computed_at timestamptz not null,
                 primary key (user_id, run_id)
             )",
        )?;
        let started = Instant::now();
        let mut writer = client.copy_in("copy bare_copy from stdin binary")?;
        for block in rows.chunks(BLOCK_BYTES) {
            writer.write_all(block)?;
        }
        let written = writer.finish()?;
        rates.push(written as f64 / started.elapsed().as_secs_f64());
    }
    client.batch_execute("drop table bare_copy")?;
    Ok(rates)
}
