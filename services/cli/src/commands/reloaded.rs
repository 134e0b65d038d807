//! What came of having the ranking server read a file anew, as printed.

use serde::Serialize;

use crate::output::short;

/// What is in force, and what was before.
#[derive(Serialize)]
pub(super) struct Reloaded {
    #[serde(skip)]
    pub(super) what: &'static str,
    pub(super) version: String,
    pub(super) sha256: String,
    pub(super) previous_version: String,
    pub(super) previous_sha256: String,
}

impl Reloaded {
    pub(super) fn to_text(&self) -> String {
        let Self { what, version, sha256, previous_version, previous_sha256 } = self;
        if sha256 == previous_sha256 {
            return format!("nothing changes: {what} {version} ({}) is in force", short(sha256));
        }
        format!(
            "{what} {version} ({}) is in force, in place of {previous_version} ({})",
            short(sha256),
            short(previous_sha256)
        )
    }
}
