//! How connections to Postgres are secured: what the URL says of it by `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, in
//! one place for both kinds of connection.
//!
//! sqlx reads these by itself. The `postgres` crate refuses all but a `sslmode` of three; for it they are taken out of the
//! URL and made a [`Connector`] of, which asks the same of the server as sqlx does.

mod connector;
mod verifier;

use std::{
    env,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use postgres::config::{Host, SslMode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::form_urlencoded;

pub(crate) use self::connector::Connector;
use crate::{Result, StoreError, bulk::BulkError};

/// The words of a URL, with the variable of the environment that stands for it where the URL says nothing.
const MODE: Word = Word { names: &["sslmode", "ssl-mode"], variable: "PGSSLMODE" };
const AUTHORITY: Word =
    Word { names: &["sslrootcert", "ssl-root-cert", "ssl-ca"], variable: "PGSSLROOTCERT" };
const CERTIFICATE: Word = Word { names: &["sslcert", "ssl-cert"], variable: "PGSSLCERT" };
const KEY: Word = Word { names: &["sslkey", "ssl-key"], variable: "PGSSLKEY" };

/// What is asked of the server, and what is shown to it.
#[derive(Debug)]
struct Security {
    mode: PgSslMode,
    /// Believed besides the authorities that the system believes.
    authorities: Vec<CertificateDer<'static>>,
    /// Shown to a server that asks who we are.
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// The options of sqlx for a URL.
///
/// # Errors
/// [`StoreError::Url`] when it is none, [`StoreError::Certificates`] when a file that it names cannot be used.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Url(error.to_string()))?;
    let mode = Security::of(url, &options)?.mode;
    Ok(options.ssl_mode(mode))
}

/// The configuration of the `postgres` crate for a URL, and what secures its connections; nothing, where that is not wanted.
///
/// # Errors
/// As [`options`].
pub(crate) fn bulk_config(url: &str) -> Result<(postgres::Config, Option<Connector>)> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Url(error.to_string()))?;
    let security = Security::of(url, &options)?;
    let mut config: postgres::Config =
        without_words(url).parse().map_err(|error| StoreError::Url(BulkError::from(error).to_string()))?;
    config.ssl_mode(match security.mode {
        PgSslMode::Disable | PgSslMode::Allow => SslMode::Disable,
        PgSslMode::Prefer => SslMode::Prefer,
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => SslMode::Require,
    });
    let by_socket = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    if by_socket || config.get_ssl_mode() == SslMode::Disable {
        return Ok((config, None));
    }
    Ok((config, Some(Connector::new(security)?)))
}

impl Security {
    fn of(url: &str, options: &PgConnectOptions) -> Result<Self> {
        let path = |word: &Word| word.stated(url).map(PathBuf::from);
        let authority = path(&AUTHORITY);
        let authorities = authority.as_deref().map(|path| certificates(&AUTHORITY, path)).transpose()?;
        let identity = match (path(&CERTIFICATE), path(&KEY)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                Some((certificates(&CERTIFICATE, &certificate)?, secret(&key)?))
            }
            _ => {
                return Err(StoreError::Url(
                    "sslcert and sslkey are given together or not at all".to_owned(),
                ));
            }
        };
        let mode = match options.get_ssl_mode() {
            // As with Postgres' own clients, sockets of this machine are not secured.
            _ if options.get_socket().is_some() => PgSslMode::Disable,
            // Who names an authority means it to be held to, as Postgres' own clients do.
            PgSslMode::Require if authority.is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        Ok(Self { mode, authorities: authorities.unwrap_or_default(), identity })
    }
}

/// A parameter of a URL.
struct Word {
    /// The first is the one that Postgres documents.
    names: &'static [&'static str],
    variable: &'static str,
}

impl Word {
    /// The last one counts.
    fn stated(&self, url: &str) -> Option<String> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let stated =
            form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| self.names.contains(&&**name));
        stated.last().map(|(_, value)| value.into_owned()).or_else(|| env::var(self.variable).ok())
    }

    /// What it names was read, and cannot be used all the same.
    fn useless(&self, reason: &dyn Display) -> StoreError {
        StoreError::Url(format!("what {} names cannot be used: {}", self.names[0], reason))
    }

    fn unusable(&self, path: &Path, reason: &dyn Display) -> StoreError {
        StoreError::Certificates { word: self.names[0], path: path.to_owned(), reason: reason.to_string() }
    }
}

/// The URL as the `postgres` crate takes it.
fn without_words(url: &str) -> String {
    let Some((address, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let is_ours =
        |name: &str| [MODE, AUTHORITY, CERTIFICATE, KEY].iter().any(|word| word.names.contains(&name));
    let others = query.split('&').filter(|pair| !is_ours(pair.split('=').next().unwrap_or_default()));
    let others = others.collect::<Vec<_>>().join("&");
    if others.is_empty() { address.to_owned() } else { format!("{address}?{others}") }
}

fn certificates(word: &Word, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).map_err(|error| word.unusable(path, &error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| word.unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(word.unusable(path, &"it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn secret(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = fs::read(path).map_err(|error| KEY.unusable(path, &error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| KEY.unusable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_own_words_out_of_a_url_and_leaves_the_others() {
        let kept = "postgres://u:p%3F@h:1/d?application_name=a&options=-c%20jit%3Doff";

        let url = format!("{kept}&sslmode=verify-full&sslrootcert=/ca.pem&ssl-cert=/c.pem&sslkey=/k.pem");

        assert_eq!(without_words(&url), kept);
        assert_eq!(without_words("postgres://h/d?sslmode=require"), "postgres://h/d");
        assert_eq!(without_words("postgres://h/d"), "postgres://h/d");
    }

    #[test]
    fn the_last_word_counts() {
        let url = "postgres://h/d?sslrootcert=/a%20b.pem&sslrootcert=/c%2Fd.pem";

        assert_eq!(AUTHORITY.stated(url).as_deref(), Some("/c/d.pem"));
    }
}
