//! `finrank policy check`: what is wrong with a policy's file, all of it. Needs no server.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::output::{Format, table};

/// Check a policy file, and name everything that is wrong with it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank policy check policy.toml\n  finrank policy check policy.toml --json"
)]
pub(super) struct Check {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// A policy that holds together, as printed.
#[derive(Serialize)]
struct Report {
    version: String,
    sha256: String,
    facts: usize,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    code: String,
    kind: &'static str,
    classes: Vec<&'static str>,
    regulation: String,
    description: String,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let policy = super::load(&self.file)?;
        let rules = policy.rules().iter().map(|rule| Rule {
            code: rule.code.to_string(),
            kind: rule.check.name(),
            classes: rule.classes.iter().map(|class| class.as_str()).collect(),
            regulation: rule.regulation.clone(),
            description: rule.description.clone(),
        });
        let report = Report {
            version: policy.version().to_string(),
            sha256: policy.digest().to_string(),
            facts: policy.facts().len(),
            rules: rules.collect(),
        };
        self.format.print(&report, |report| report.to_text(&self.file.display().to_string()))
    }
}

impl Report {
    fn to_text(&self, file: &str) -> String {
        let rows = self.rules.iter().map(|rule| {
            [rule.code.clone(), rule.kind.to_owned(), rule.classes.join(", "), rule.regulation.clone()]
        });
        format!(
            "{file} holds together: policy {} with {} rules over {} facts (sha256 {})\n{}",
            self.version,
            self.rules.len(),
            self.facts,
            self.sha256,
            table(["rule", "kind", "classes", "regulation"], 4, rows),
        )
    }
}
