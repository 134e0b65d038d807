//! Files that people write.

use std::{fmt::Display, fs, path::Path};

use anyhow::{Context, anyhow};

/// What a file says.
///
/// # Errors
/// Names the file, and everything that is wrong with it.
pub(crate) fn parsed<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> anyhow::Result<T> {
    let file = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    parse(&text).map_err(|invalid| anyhow!("{file} does not hold together:\n{invalid}"))
}
