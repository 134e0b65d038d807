//! `finrank import`: customers, products and events into Postgres.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use finrank_feature_store::import::{
    Counts, CsvFiles, ImportObserver, ImportReport, Synthetic, import_caravan, import_csv,
    import_csv_with_rejects_in, import_synthetic,
};
use indicatif::ProgressBar;

use super::block_on;
use crate::{
    output::{self, Format},
    progress,
    settings::Settings,
};

/// Import customers, products and events from CSV files, from ISLP's Caravan.csv, or from a generator.
///
/// Importing the same rows again changes nothing, and an older row never beats a newer one. A row that is not
/// valid is kept in FILE.rejects.csv with its line, field and reason, and the others are imported.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Import {
    /// Customers.
    #[arg(long, value_name = "FILE")]
    customers: Option<PathBuf>,
    /// Products.
    #[arg(long, value_name = "FILE")]
    products: Option<PathBuf>,
    /// Events.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// ISLP's Caravan.csv: 5,822 households and the insurance they hold.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["customers", "products", "events"])]
    caravan: Option<PathBuf>,
    /// Generated customers, products and events; the same numbers give the same rows.
    #[arg(long, value_name = "N_USERS,N_PRODUCTS,SEED", conflicts_with_all = ["customers", "products", "events", "caravan"])]
    synthetic: Option<Synthetic>,
    /// Where rejected rows go; by default beside each file.
    #[arg(long, value_name = "DIR")]
    rejects: Option<PathBuf>,
    /// Fail if a row was rejected; the others are imported all the same.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    format: Format,
}

const EXAMPLES: &str = "Columns, in any order (times are RFC 3339 or dates, which mean midnight UTC):
  customers  user_id, event_time; any other column is an attribute
  products   product_id, product_class (credit_card, loan, wealth, insurance), name, event_time;
             optional: description, issuer, risk_grade (1 to 5), status (active, withdrawn);
             any other column is an attribute
  events     user_id, product_id, kind (viewed, clicked, applied, acquired, closed, declined), event_time;
             optional: event_id, quantity, currency, and amount (as 12.50) or amount_minor (as 1250)
An attribute is a number where it reads as one, a flag where it is true or false, unknown where it is
empty, and text otherwise. A row of any kind may have `revision` (0 unless said) and `retracted` (true or
false): a higher revision corrects the row of the same id and, for customers and products, the same
event_time; a retracted one takes it back.

Examples:
  finrank import --customers customers.csv --products products.csv --events events.csv
  finrank import --caravan .finrank/data/Caravan.csv
  finrank import --synthetic 100000,2000,1 --json";

impl Import {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let files = CsvFiles { customers: self.customers, products: self.products, events: self.events };
        let has_files = files.customers.is_some() || files.products.is_some() || files.events.is_some();
        if !has_files && self.caravan.is_none() && self.synthetic.is_none() {
            bail!("nothing to import; give --customers, --products, --events, --caravan or --synthetic");
        }

        let url = prepare(settings)?;
        let mut bar = Bar { format: self.format, bar: ProgressBar::hidden() };
        let report = match (&self.caravan, self.synthetic) {
            (Some(file), _) => import_caravan(&url, file, &mut bar)?,
            (None, Some(synthetic)) => import_synthetic(&url, synthetic, &mut bar)?,
            (None, None) => match &self.rejects {
                Some(folder) => import_csv_with_rejects_in(&url, &files, folder, &mut bar)?,
                None => import_csv(&url, &files, &mut bar)?,
            },
        };
        bar.bar.finish_and_clear();
        self.format.print(&report, text)?;
        if self.strict && report.rejected() > 0 {
            bail!("{} rows were rejected", report.rejected());
        }
        Ok(())
    }
}

/// Imports ISLP's Caravan.csv.
pub(crate) fn caravan(settings: &Settings, file: &Path) -> anyhow::Result<ImportReport> {
    let mut bar = Bar { format: Format::for_a_person(), bar: ProgressBar::hidden() };
    let report = import_caravan(&prepare(settings)?, file, &mut bar)?;
    bar.bar.finish_and_clear();
    Ok(report)
}

/// The database's URL, once its schema is up to date.
fn prepare(settings: &Settings) -> anyhow::Result<String> {
    block_on(async { Ok(settings.store().await?.url().to_owned()) })
}

/// What became of the rows, and where the rejected ones are.
fn text(report: &ImportReport) -> String {
    let rejects: String = report
        .rejects
        .iter()
        .map(|file| format!("\nrejected rows, each with its line and the reason, are in {}", file.display()))
        .collect();
    format!("{}{rejects}", table(report))
}

/// What became of the rows, as a table.
pub(crate) fn table(report: &ImportReport) -> String {
    let row = |name: &str, counts: Counts| {
        [
            name.to_owned(),
            counts.accepted.to_string(),
            counts.duplicate.to_string(),
            counts.rejected.to_string(),
        ]
    };
    let rows =
        [row("customers", report.customers), row("products", report.products), row("events", report.events)];
    output::table(["", "accepted", "duplicate", "rejected"], 1, rows).to_string()
}

/// Draws an import's progress, a bar for each part.
struct Bar {
    format: Format,
    bar: ProgressBar,
}

impl ImportObserver for Bar {
    fn begin(&mut self, what: &str, units: u64) {
        self.bar.finish_and_clear();
        self.bar = progress::bar(units, "", self.format);
        self.bar.set_message(what.to_owned());
    }

    fn reached(&mut self, units: u64) {
        self.bar.set_position(units);
    }
}
