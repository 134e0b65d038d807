//! Files into Postgres: customers, products and events from CSV, from ISLP's Caravan file, or from a seeded
//! generator. All three stream through one loader, in bounded memory, by binary COPY.
//!
//! Blocking from end to end: reading files and COPY both block, so an import runs on a thread of its own or in
//! a command. Importing the same rows again changes nothing.

mod caravan;
mod csv;
mod error;
mod load;
mod rejects;
mod report;
mod synthetic;

pub use caravan::import_caravan;
pub use csv::{CsvFiles, import_csv, import_csv_with_rejects_in};
pub use error::{ImportError, Result};
pub use report::{Counts, ImportObserver, ImportReport};
pub use synthetic::{PlantedTruth, Synthetic, import_synthetic};
