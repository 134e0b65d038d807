//! Settings: defaults, then a TOML file, then the environment. Flags are the caller's, and come last.

use std::path::Path;

use ::config::{Config, Environment, File, FileFormat};
use serde::{Serialize, de::DeserializeOwned};

use crate::Result;

/// What the environment's keys begin with: `FINRANK__RANKING__SERVER__LISTEN` sets `ranking.server.listen`.
const PREFIX: &str = "FINRANK";
/// Stands between the parts of a key, for names hold single underscores.
const SEPARATOR: &str = "__";

/// Reads settings over the defaults of `T`. `T` should refuse unknown fields, so that a misspelt key is an error.
///
/// # Errors
/// When the file cannot be read, a key is unknown, or a value is of the wrong type; the message names it.
pub fn load<T: Serialize + DeserializeOwned + Default>(file: Option<&Path>) -> Result<T> {
    load_over(&T::default(), file)
}

/// Reads settings over the given defaults, as [`load`].
///
/// # Errors
/// As [`load`].
pub fn load_over<T: Serialize + DeserializeOwned>(defaults: &T, file: Option<&Path>) -> Result<T> {
    let mut sources = Config::builder().add_source(Config::try_from(defaults)?);
    if let Some(file) = file {
        sources = sources.add_source(File::from(file).format(FileFormat::Toml));
    }
    let environment = Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR);
    let settings = sources.add_source(environment.try_parsing(true)).build()?;
    Ok(settings.try_deserialize()?)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        name: String,
        limit: u32,
        #[serde(with = "humantime_serde")]
        wait: Duration,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { name: "default".to_owned(), limit: 3, wait: Duration::from_secs(2) }
        }
    }

    fn file(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("finrank.toml");
        fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_overrides_defaults_key_by_key() {
        let (_directory, path) = file("limit = 9\nwait = \"150ms\"");

        let settings: Settings = load(Some(&path)).unwrap();

        let expected = Settings { name: "default".to_owned(), limit: 9, wait: Duration::from_millis(150) };
        assert_eq!(settings, expected);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let (_directory, path) = file("limitt = 9");

        let error = load::<Settings>(Some(&path)).unwrap_err().to_string();

        assert!(error.contains("limitt"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key_and_file() {
        let (_directory, path) = file("limit = \"many\"");

        let error = load::<Settings>(Some(&path)).unwrap_err().to_string();

        assert!(error.contains("limit") && error.contains("finrank.toml"), "{error}");
    }

    #[test]
    fn a_file_that_does_not_exist_is_an_error() {
        assert!(load::<Settings>(Some(Path::new("/nowhere/finrank.toml"))).is_err());
    }
}
