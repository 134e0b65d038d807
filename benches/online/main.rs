//! Online reads beside Feast's, on the same Postgres, by the same requests, in the same run.
//!
//!     cargo bench -p finrank-feature-store --bench online
//!     FINRANK_FEAST_PYTHON=venv/bin/python cargo bench -p finrank-feature-store --bench online
//!
//! The shape is that of Feast's own benchmark: 50 features of 5 views, of 1, 10 and 100 customers drawn at random. Both
//! servers answer Feast's contract (`GrpcFeatureServer/GetOnlineFeatures`), so that one client sends both the same
//! bytes. finrank is measured without its cache, and with it on customers who are in it; then embeddings, by its own contract; and an empty RPC
//! (health) on the same server, which is what is left when nothing is done. Last, how long it takes until what is pushed is in
//! the embedding that is read.
//!
//! *Open loop*: requests begin at fixed moments, whether or not those before are answered, and a request's time counts
//! from its moment; what a server cannot keep up with shows as a growing time. *Closed loop*: 8 clients ask again as soon as they
//! are answered, which shows how much it can do. Client and servers share the machine. The last line is JSON.
//!
//! Feast takes part if FINRANK_FEAST_PYTHON names a Python with the packages of benches/online/requirements.txt.

mod feast;
mod finrank;
mod freshness;
#[path = "../load.rs"]
mod load;
#[path = "../model.rs"]
mod model;
mod report;
#[path = "../server.rs"]
mod server;
mod shape;

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use finrank_store::scratch::ScratchDatabase;

use self::{feast::Feast, finrank::Finrank, report::Report};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures online reads.
///
/// Example: cargo bench -p finrank-feature-store --bench online -- --users 10000 --seconds 2
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Customers to draw from.
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// Customers to draw from where the cache answers: so many as it has room for.
    #[arg(long, default_value_t = 10_000)]
    hot: u32,
    /// How long each row of the table is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// A Python with Feast; without it Feast is left out.
    #[arg(long, env = "FINRANK_FEAST_PYTHON")]
    feast_python: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (users, span) = (arguments.users, Duration::from_secs(arguments.seconds));
    let database = ScratchDatabase::create().await;
    let models = tempfile::tempdir()?;
    let mut report = Report::new(users);

    finrank::fill(&database.store, models.path(), users).await?;
    let hot = users.min(arguments.hot);
    for (name, cache, users) in
        [("finrank, from Postgres", false, users), ("finrank, from memory", true, hot)]
    {
        let finrank = Finrank::start(&database.store, models.path(), cache).await?;
        if cache {
            finrank.read_all(users).await?;
        }
        for keys in shape::KEYS {
            report.add(
                name,
                "50 features",
                keys,
                load::measure(&finrank.features(users, keys), keys, span).await?,
            );
            report.add(
                name,
                "embedding",
                keys,
                load::measure(&finrank.embeddings(users, keys), keys, span).await?,
            );
        }
        if cache {
            report.add("finrank", "empty RPC", 1, load::measure(&finrank.health(), 1, span).await?);
            report.add_lags("finrank", "push to embedding", &finrank.lags(users, span).await?);
        }
        finrank.stop().await?;
    }
    match &arguments.feast_python {
        None => eprintln!("SKIPPED: Feast; FINRANK_FEAST_PYTHON names no Python that has it"),
        Some(python) => {
            let feast = Feast::start(python, &database, users).await?;
            for keys in shape::KEYS {
                let measured = load::measure(&feast.features(users, keys), keys, span).await?;
                report.add("Feast, from Postgres", "50 features", keys, measured);
            }
        }
    }
    report.print()
}
