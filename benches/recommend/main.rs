//! What a recommendation takes, beside an RPC that does nothing.
//!
//!     cargo bench -p finrank-cli --bench recommend
//!     cargo bench -p finrank-cli --bench recommend -- --products 10000 --seconds 3
//!
//! Both servers run with a real Postgres, a refreshed model with random weights, and generated customers and products;
//! 200 candidates are scored, k is 10. Measured in turn, for customers drawn at random:
//!
//! | row | what |
//! |---|---|
//! | empty RPC | an answer as long as a recommendation's, from a server in the same dress, which does nothing |
//! | lookups | the three requests that ranking makes of the feature store, side by side, from here |
//! | Recommend, nothing kept | with the decision log off |
//! | Recommend, queued | the answer goes out once its decision waits to be written |
//! | Recommend, strict | the answer goes out once its decision is written |
//!
//! Then one customer after the other, what the stages say of themselves, beside the whole: medians, whose difference is
//! what the network, the wording of the answer and the client cost.
//!
//! p50 and p99 are of an open loop, so many requests a second; *closed* is what 8 clients get done who ask again as soon
//! as they are answered. Client, servers and Postgres share the machine. The last line is JSON.

#[path = "../load.rs"]
mod load;
#[path = "../median.rs"]
mod median;
#[path = "../model.rs"]
mod model;
#[path = "../server.rs"]
mod server;
mod servers;

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use clap::Parser;
use finrank_contracts::{feature::v1::RefreshScope, ranking::v1::PipelineStage};
use finrank_decisions::Mode;
use finrank_feature_store::import::{Synthetic, import_synthetic};
use finrank_store::scratch::ScratchDatabase;
use load::Measured;

use self::{
    median::median,
    server::Served,
    servers::{Empty, Ranking, lookups},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Recommendations of which the stages are told.
const ONE_BY_ONE: usize = 500;

/// Measures Recommend.
///
/// Example: cargo bench -p finrank-cli --bench recommend -- --products 10000 --seconds 3
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Customers to draw from.
    #[arg(long, default_value_t = 2_000)]
    users: u32,
    /// Products in the catalogue; may be repeated.
    #[arg(long, default_values_t = [10_000, 100_000])]
    products: Vec<u32>,
    /// How long each row of the table is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut lines = Vec::new();
    println!(
        "{:>9}  {:<24} {:>9} {:>9} {:>9} {:>12}",
        "products", "call", "open req/s", "p50 ms", "p99 ms", "closed req/s"
    );
    for &products in &arguments.products {
        measure(&arguments, products, &mut lines).await?;
    }
    println!("[{}]", lines.join(","));
    Ok(())
}

async fn measure(arguments: &Arguments, products: u32, lines: &mut Vec<String>) -> Result<()> {
    let span = Duration::from_secs(arguments.seconds);
    let database = ScratchDatabase::create().await;
    let (url, synthetic) =
        (database.store.url().to_owned(), Synthetic { users: arguments.users, products, seed: 1 });
    tokio::task::spawn_blocking(move || import_synthetic(&url, synthetic, &mut ())).await??;
    let models = tempfile::tempdir()?;
    model::register(&database.store, models.path()).await?;
    let feature_store = Served::start(&database.store, models.path(), None, |_| {}).await?;
    let run_id = feature_store.start_refresh(RefreshScope::Full, None).await?;
    feature_store.until_complete(run_id).await?;

    let mut report = |call: &str, measured: Measured| {
        let Measured { offered, p50, p99, closed } = measured;
        println!("{products:>9}  {call:<24} {offered:>9} {p50:>9.2} {p99:>9.2} {closed:>12.0}");
        lines.push(format!(
            r#"{{"products":{products},"call":"{call}","open_per_second":{offered},"p50_ms":{p50:.3},"p99_ms":{p99:.3},"closed_per_second":{closed:.0}}}"#
        ));
    };
    let off = Ranking::start(&database.store, models.path(), &feature_store, Mode::Off).await?;
    let length = off.answer_length().await?;
    let empty = Empty::start(length).await?;
    report("empty RPC", load::measure(&empty.call(), 1, span).await?);
    report("lookups", load::measure(&lookups(&feature_store, arguments.users), 1, span).await?);
    report("Recommend, nothing kept", load::measure(&off.call(arguments.users), 1, span).await?);
    account(&off, &lookups(&feature_store, arguments.users), arguments.users).await?;
    off.stop().await?;
    for (name, mode) in [("Recommend, queued", Mode::Queued), ("Recommend, strict", Mode::Strict)] {
        let ranking = Ranking::start(&database.store, models.path(), &feature_store, mode).await?;
        report(name, load::measure(&ranking.call(arguments.users), 1, span).await?);
        ranking.stop().await?;
    }
    empty.stop().await?;
    feature_store.stop().await
}

/// Prints what the stages of a recommendation take, and what is left of the whole.
async fn account(ranking: &Ranking, lookups: &load::Call, users: u32) -> Result<()> {
    let (mut whole, mut asking) = (Vec::new(), Vec::new());
    let mut stages: BTreeMap<i32, Vec<f64>> = BTreeMap::new();
    for _ in 0..ONE_BY_ONE {
        let begun = Instant::now();
        lookups().await?;
        asking.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let told = ranking.stages(users).await?;
        whole.push(begun.elapsed().as_secs_f64());
        for (stage, seconds) in told {
            stages.entry(stage as i32).or_default().push(seconds);
        }
    }
    let (whole, asking) = (median(whole), median(asking));
    let mut rest = whole - asking;
    println!("           one by one, medians in ms: whole {:.3}; lookups {:.3}", whole * 1e3, asking * 1e3);
    for (stage, seconds) in stages {
        let name = PipelineStage::try_from(stage)?
            .as_str_name()
            .trim_start_matches("PIPELINE_STAGE_")
            .to_lowercase();
        let seconds = median(seconds);
        rest -= seconds;
        println!("           {name:<12} {:.3}", seconds * 1e3);
    }
    println!("           {:<12} {:.3}", "rest", rest * 1e3);
    Ok(())
}
