//! `finrank postgres`: the private Postgres of a machine that has none to offer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use finrank_store::{
    Store,
    cluster::{self, Cluster},
};

use super::block_on;
use crate::settings::Settings;

/// Start, stop or ask after the private Postgres cluster.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank postgres start\n  psql \"$(finrank postgres url)\"\n  finrank postgres stop"
)]
pub(crate) struct Postgres {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the cluster if need be, start it, bring its schema up to date, and print its URL.
    Start {
        #[command(flatten)]
        place: Place,
        /// The port to listen on; by default a free one.
        #[arg(long)]
        port: Option<u16>,
        /// The directory with `postgres` and `initdb`; by default PATH, then /usr/lib/postgresql/*/bin.
        #[arg(long, value_name = "DIR")]
        bin_dir: Option<PathBuf>,
    },
    /// Stop it and wait until it has stopped.
    Stop {
        #[command(flatten)]
        place: Place,
    },
    /// Print the URL of a running cluster's database.
    Url {
        #[command(flatten)]
        place: Place,
        /// The database within the cluster.
        #[arg(long, default_value = DATABASE)]
        database: String,
    },
}

#[derive(Args)]
struct Place {
    /// Where the cluster's files are; by default `pg` in the state directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The database that finrank keeps its tables in.
pub(crate) const DATABASE: &str = "finrank";

impl Postgres {
    pub(crate) fn run(self, mut settings: Settings) -> anyhow::Result<()> {
        match self.action {
            Action::Start { place, port, bin_dir } => {
                settings.postgres.data_dir = place.data_dir.or(settings.postgres.data_dir);
                settings.postgres.port = port.or(settings.postgres.port);
                settings.postgres.bin_dir = bin_dir.or(settings.postgres.bin_dir);
                let cluster = start(&settings)?;
                println!("{}", cluster.url(DATABASE));
            }
            Action::Stop { place } => {
                settings.postgres.data_dir = place.data_dir.or(settings.postgres.data_dir);
                let data_dir = settings.cluster().data_dir;
                if cluster::stop(&data_dir)? {
                    eprintln!("stopped the cluster in {}", data_dir.display());
                } else {
                    eprintln!("no cluster was running in {}", data_dir.display());
                }
            }
            Action::Url { place, database } => {
                settings.postgres.data_dir = place.data_dir.or(settings.postgres.data_dir);
                println!("{}", settings.running_cluster()?.url(&database));
            }
        }
        Ok(())
    }
}

/// Starts the private cluster with its schema up to date.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<Cluster> {
    let cluster = cluster::start(&settings.cluster())?;
    block_on(async {
        let store = Store::connect(&settings.database_at(cluster.url(DATABASE))).await?;
        store.migrate().await?;
        Ok(())
    })?;
    Ok(cluster)
}
