//! A refresh beside a bare binary COPY of the very rows that it writes, on the same Postgres in the same run.
//!
//!     cargo bench -p finrank-feature-store --bench refresh
//!     cargo bench -p finrank-feature-store --bench refresh -- --users 200000
//!
//! A real server refreshes customers of `finrank import --synthetic` (some 24 events each) with towers of the trainer's
//! default widths, and summarises the features of the built-in definitions, as it does in production. Each refresh is
//! timed from StartRefresh until readers see the generation. Then come a refresh after one customer in a hundred has
//! changed, one that is cut off half-way and gone on with, and one by definitions without views over events, which
//! shows what reading every event for its statistics costs. Beside them stands what Postgres alone takes to hand out the
//! customers and events that a refresh reads, and to take the rows that it writes. The last line is JSON.

mod bare_copy;
mod memory;
#[path = "../model.rs"]
mod model;
mod report;
#[path = "../server.rs"]
mod server;
mod stage;

use std::{error::Error, time::Duration};

use clap::Parser;
use finrank_contracts::feature::v1::RefreshScope;

use self::{
    report::{Report, Timed},
    server::Served,
    stage::Stage,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Of how many customers one changes before the incremental refresh.
const ONE_IN: u32 = 100;
/// How often a bare COPY is timed; the median counts.
const COPIES: usize = 3;

/// Measures refreshes against what Postgres can do.
///
/// Example: cargo bench -p finrank-feature-store --bench refresh -- --users 200000 --workers 2
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Customers to refresh.
    #[arg(long, env = "FINRANK_BENCH_USERS", default_value_t = 1_000_000)]
    users: u32,
    /// Products in the catalogue.
    #[arg(long, default_value_t = 1000)]
    products: u32,
    /// Workers of the refreshes; the server's default if absent.
    #[arg(long)]
    workers: Option<u32>,
    /// A database to fill and keep, or one that was filled so before; without it, one of its own that is dropped
    /// at the end. It lies where the tests' databases do: FINRANK_TEST_DATABASE_URL, or a private cluster.
    #[arg(long)]
    database: Option<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let stage = Stage::set(&arguments).await?;
    let mut report = Report::new(&arguments, stage.settings().await?);

    let served = stage.serve(None).await?;
    report.first = Some(refresh(&served, &arguments, RefreshScope::Full).await?);
    report.full = Some(refresh(&served, &arguments, RefreshScope::Full).await?);
    report.bare_copies = bare_copy::measure(&stage, COPIES).await?;
    report.read_seconds = bare_copy::read_all(&stage).await?;
    stage.change_one_in(ONE_IN, &served).await?;
    report.changes = Some(refresh(&served, &arguments, RefreshScope::Changes).await?);

    report.resumed = Some(interrupted(&stage, served, &arguments).await?);

    let served = stage.serve(Some(stage::WITHOUT_EVENTS)).await?;
    report.without_events = Some(refresh(&served, &arguments, RefreshScope::Full).await?);
    served.stop().await?;

    report.print()
}

/// One refresh from beginning to end.
async fn refresh(served: &Served, arguments: &Arguments, scope: RefreshScope) -> Result<Timed> {
    let peak = memory::Peak::watch()?;
    let started = std::time::Instant::now();
    let run_id = served.start_refresh(scope, arguments.workers).await?;
    let rows = served.until_complete(run_id).await?;
    Ok(Timed { rows, seconds: started.elapsed().as_secs_f64(), peak_mib: peak.mib()? })
}

/// A refresh whose server is stopped half-way, and another server that goes on with it. What counts is the work of
/// both, without the start of the server in between.
async fn interrupted(stage: &Stage, served: Served, arguments: &Arguments) -> Result<Timed> {
    let peak = memory::Peak::watch()?;
    let first = std::time::Instant::now();
    let run_id = served.start_refresh(RefreshScope::Full, arguments.workers).await?;
    served.until(run_id, |run| 2 * run.partitions_done >= run.partitions_total).await?;
    served.stop().await?;
    let until_stopped: Duration = first.elapsed();

    let served = stage.serve(None).await?;
    let second = std::time::Instant::now();
    let resumed = served.start_refresh(RefreshScope::Full, arguments.workers).await?;
    assert_eq!(resumed, run_id, "the second server goes on with what the first one began");
    let rows = served.until_complete(run_id).await?;
    let seconds = (until_stopped + second.elapsed()).as_secs_f64();
    served.stop().await?;
    Ok(Timed { rows, seconds, peak_mib: peak.mib()? })
}
