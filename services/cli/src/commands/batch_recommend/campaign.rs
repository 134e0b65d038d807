//! What is asked for and of whom, kept beside the files, so that going on cannot mean anything else than the beginning did.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use finrank_model::{Sha256Digest, UserId};
use finrank_store::{Store, moments};
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::{
    commands::recommend::{ScenarioName, Wishes},
    output::FileFormat,
    whole_file,
};

const WANTED_FILE: &str = "campaign.json";
const CUSTOMERS_FILE: &str = "customers.csv";
const USER_ID: &str = "user_id";
/// Customers that are read from the database at a time.
const PAGE: usize = 10_000;

/// What is recommended, the same for everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) k: u32,
    pub(super) scenario: ScenarioName,
    pub(super) exclude: Vec<String>,
    /// A campaign that was begun before there were any wishes none.
    #[serde(default)]
    pub(super) wishes: Wishes,
    pub(super) form: FileFormat,
    pub(super) part: NonZeroUsize,
    /// Of customers.csv.
    pub(super) customers_sha256: String,
}

/// Where the customers are named.
pub(super) enum Source {
    File(PathBuf),
    Everybody(Store),
}

/// A folder with its customers written down.
pub(super) struct Campaign {
    pub(super) directory: PathBuf,
    pub(super) wanted: Wanted,
    pub(super) customers: u64,
}

impl Campaign {
    /// Begins a campaign in a folder, or goes on with the one that is there.
    pub(super) async fn open(directory: &Path, source: Source, mut wanted: Wanted) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let (file, list) = (directory.join(WANTED_FILE), directory.join(CUSTOMERS_FILE));
        // Without a file of recommendations nothing was begun that another wish could contradict: what was asked for was refused.
        let before = if has_parts(directory)? && file.exists() { Some(read_wanted(&file)?) } else { None };
        let customers = match (&before, source) {
            // The list of everybody is that of the first time.
            (Some(_), Source::Everybody(_)) => {
                fs::read(&list).with_context(|| format!("cannot read {}", list.display()))?
            }
            (_, Source::File(path)) => named_in(&path)?,
            (None, Source::Everybody(store)) => everybody(&store).await?,
        };
        wanted.customers_sha256 = Sha256Digest::of(&customers).to_string();
        if let Some(before) = before {
            if before != wanted {
                bail!(
                    "{} holds another campaign, {}; this one is {}: give it a folder of its own",
                    directory.display(),
                    serde_json::to_string(&before)?,
                    serde_json::to_string(&wanted)?,
                );
            }
        } else {
            whole_file::write(&list, &customers)?;
            whole_file::write(&file, &serde_json::to_vec_pretty(&wanted)?)?;
        }
        // The first line is the head.
        let customers = customers.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1) as u64;
        Ok(Self { directory: directory.to_owned(), wanted, customers })
    }

    /// The customers, as many at a time as a file is for.
    pub(super) fn parts(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<String>>> + use<>> {
        let mut names = names(&self.directory.join(CUSTOMERS_FILE))?;
        let part = self.wanted.part.get();
        Ok(std::iter::from_fn(move || {
            let customers: anyhow::Result<Vec<String>> = names.by_ref().take(part).collect();
            match customers {
                Ok(customers) if customers.is_empty() => None,
                customers => Some(customers),
            }
        }))
    }
}

/// Whether a folder has a whole file of recommendations.
fn has_parts(directory: &Path) -> anyhow::Result<bool> {
    let unreadable = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        if Part::is_named(&entry.with_context(unreadable)?.path()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_wanted(file: &Path) -> anyhow::Result<Wanted> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what it was", file.display()))
}

/// The list of a file's customers, as customers.csv holds it.
fn named_in(path: &Path) -> anyhow::Result<Vec<u8>> {
    list(names(path)?)
}

async fn everybody(store: &Store) -> anyhow::Result<Vec<u8>> {
    let mut all: Vec<anyhow::Result<String>> = Vec::new();
    let mut last: Option<UserId> = None;
    loop {
        let page = moments::user_ids(store, last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else { return list(all) };
        last = Some(end.clone());
        all.extend(page.into_iter().map(|user_id| Ok(user_id.into())));
    }
}

fn list(names: impl IntoIterator<Item = anyhow::Result<String>>) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([USER_ID])?;
    for name in names {
        writer.write_record([name?])?;
    }
    Ok(writer.into_inner()?)
}

/// The column user_id, value by value.
fn names(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>> + use<>> {
    let unreadable = format!("cannot read {}", path.display());
    let mut reader = csv::Reader::from_path(path).with_context(|| unreadable.clone())?;
    let header = reader.headers().with_context(|| unreadable.clone())?;
    let Some(column) = header.iter().position(|name| name.trim() == USER_ID) else {
        let columns: Vec<&str> = header.iter().collect();
        bail!("{} has no column {USER_ID}; it has {}", path.display(), columns.join(", "));
    };
    let path = path.to_owned();
    Ok(reader.into_records().map(move |record| {
        let record = record.with_context(|| unreadable.clone())?;
        let line = record.position().map_or(0, csv::Position::line);
        let raw = record[column].trim();
        let user_id = UserId::parse(raw).with_context(|| format!("{} line {line}", path.display()))?;
        Ok(user_id.into())
    }))
}
