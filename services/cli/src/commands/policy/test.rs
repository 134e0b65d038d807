//! `finrank policy test`: a policy held to its cases. Needs no server.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use finrank_policy::cases::Cases;
use serde::Serialize;

use crate::{output::Format, written_file};

/// Hold a policy to a file of cases: customers, products and moments with the verdicts that are expected.
///
/// Fails if one comes out otherwise, so that a change of the policy can be stopped before it is in force.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank policy test policy.cases.toml\n  finrank policy test policy.cases.toml --json"
)]
pub(super) struct Test {
    /// The file of cases; it names the policy, relative to itself.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// What came of one case, as printed.
#[derive(Serialize)]
struct Tested {
    name: String,
    verdict: &'static str,
    passes: bool,
    differences: Vec<String>,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = self.file.display();
        let cases = written_file::parsed(&self.file, Cases::parse)?;
        let policy = super::load(&super::beside(&self.file, &cases.policy))?;
        let (mut tested, mut wrong) = (Vec::with_capacity(cases.cases.len()), Vec::new());
        for case in &cases.cases {
            match case.run(&policy) {
                Ok(report) => tested.push(Tested {
                    name: case.name.clone(),
                    verdict: report.verdict.outcome.as_str(),
                    passes: report.differences.is_empty(),
                    differences: report.differences,
                }),
                Err(unknown) => wrong.extend(unknown.iter().map(ToString::to_string)),
            }
        }
        if !wrong.is_empty() {
            bail!("{file} does not fit the policy:\n{}", wrong.join("\n"));
        }
        self.format
            .print(&tested, |tested| tested.iter().map(Tested::to_text).collect::<Vec<_>>().join("\n"))?;
        let failed = tested.iter().filter(|tested| !tested.passes).count();
        if failed > 0 {
            bail!("{failed} of {} cases come out otherwise than expected", tested.len());
        }
        Ok(())
    }
}

impl Tested {
    fn to_text(&self) -> String {
        if self.passes {
            return format!("passes  {} ({})", self.name, self.verdict);
        }
        let differences: String = self.differences.iter().map(|line| format!("\n        {line}")).collect();
        format!("FAILS   {}{differences}", self.name)
    }
}
