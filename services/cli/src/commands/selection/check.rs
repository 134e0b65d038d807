//! `finrank selection check`: what is wrong with a selection file, all of it. Needs no server.

use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use finrank_selection::{Scope, SelectionRules};
use serde::Serialize;

use crate::{
    output::{Format, table},
    written_file,
};

/// Check a selection file, and name everything that is wrong with it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank selection check selection.toml\n  finrank selection check selection.toml --json"
)]
pub(super) struct Check {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// A file that holds together, as printed.
#[derive(Serialize)]
struct Report {
    version: String,
    sha256: String,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    code: String,
    kind: &'static str,
    scenarios: Vec<&'static str>,
    /// Empty if it has always held.
    from: String,
    /// Empty if it has no end.
    until: String,
    description: String,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rules = written_file::parsed(&self.file, SelectionRules::parse)?;
        self.format.print(&Report::of(&rules), |report| report.to_text(&self.file.display().to_string()))
    }
}

impl Report {
    fn of(rules: &SelectionRules) -> Self {
        let outline = rules.outline().into_iter().map(|(kind, code, scope, description)| {
            let Scope { scenarios, from, until } = scope;
            Rule {
                code: code.to_string(),
                kind,
                scenarios: scenarios.iter().map(|scenario| scenario.as_str()).collect(),
                from: from.map(moment).unwrap_or_default(),
                until: until.map(moment).unwrap_or_default(),
                description: description.to_owned(),
            }
        });
        Self {
            version: rules.version().to_owned(),
            sha256: rules.digest().to_string(),
            rules: outline.collect(),
        }
    }

    fn to_text(&self, file: &str) -> String {
        let rows = self.rules.iter().map(|rule| {
            [
                rule.code.clone(),
                rule.kind.to_owned(),
                rule.scenarios.join(", "),
                rule.from.clone(),
                rule.until.clone(),
            ]
        });
        format!(
            "{file} holds together: selection {} with {} rules (sha256 {})\n{}",
            self.version,
            self.rules.len(),
            self.sha256,
            table(["rule", "kind", "scenarios", "from", "until"], 5, rows),
        )
    }
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
