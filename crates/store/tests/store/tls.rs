//! Connections that are secured as the URL wants it, to a cluster with a certificate of its own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use finrank_store::{
    DatabaseConfig, Store, StoreError, bulk,
    cluster::{self, ClusterConfig},
    scratch::ScratchDatabase,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::task;

/// A cluster that answers `localhost` and no other name with a certificate, which `authority` vouches for.
struct Secured {
    directory: TempDir,
    /// Without a word of how it is to be secured.
    url: String,
}

impl Secured {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data_dir = directory.path().join("pg");
        let config = ClusterConfig { data_dir: data_dir.clone(), bin_dir: None, port: None };
        let url = cluster::start(&config).unwrap().url("finrank");
        let secured = Self { directory, url };

        let authority = authority("ours");
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        fs::write(secured.path("authority.pem"), authority.pem()).unwrap();
        fs::write(secured.path("another.pem"), self::authority("another").pem()).unwrap();
        for (file, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            owned_by_the_cluster(&data_dir, file, &pem);
        }
        let mut client = bulk::connect(&secured.url).unwrap();
        client.batch_execute("alter system set ssl = on").unwrap();
        client.batch_execute("select pg_reload_conf()").unwrap();
        while client.query_one("show ssl", &[]).unwrap().get::<_, &str>(0) == "off" {}
        secured
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        let url = self.url.replace("127.0.0.1", host);
        let parameters = parameters.replace("DIRECTORY", self.directory.path().to_str().unwrap());
        format!("{url}?{parameters}")
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = cluster::stop(&self.path("pg"));
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Postgres reads no key that others can read.
fn owned_by_the_cluster(data_dir: &Path, file: &str, pem: &str) {
    let path = data_dir.join(file);
    fs::write(&path, pem).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = data_dir.metadata().unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

const IS_SECURED: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

/// Whether the connections of both kinds are secured; what each says if there is none.
async fn connect(url: &str) -> [Result<bool, StoreError>; 2] {
    let config = DatabaseConfig { url: url.to_owned(), ..DatabaseConfig::default() };
    let by_sqlx = async {
        let store = Store::connect(&config).await?;
        Ok(sqlx::query_scalar(IS_SECURED).fetch_one(store.pool()).await?)
    };
    let url = url.to_owned();
    let in_bulk =
        task::spawn_blocking(move || Ok(bulk::connect(&url)?.query_one(IS_SECURED, &[])?.get::<_, bool>(0)));
    [by_sqlx.await, in_bulk.await.unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_as_secure_as_the_url_wants() {
    let secured = task::spawn_blocking(Secured::start).await.unwrap();
    let ours = "sslrootcert=DIRECTORY/authority.pem";
    let another = "sslrootcert=DIRECTORY/another.pem";

    for (host, parameters, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", String::new(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=verify-ca&{ours}"), true),
        ("localhost", format!("{ours}&sslmode=verify-full&application_name=finrank"), true),
    ] {
        for connected in connect(&secured.url(host, &parameters)).await {
            assert_eq!(connected.unwrap(), expected, "{host} {parameters}");
        }
    }
    for (host, parameters, reason) in [
        ("localhost", format!("sslmode=verify-full&{another}"), "UnknownIssuer"),
        ("localhost", "sslmode=verify-full".to_owned(), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-ca&{another}"), "UnknownIssuer"),
        // Who names an authority wants it.
        ("127.0.0.1", format!("sslmode=require&{another}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-full&{ours}"), "not valid for name"),
    ] {
        for refused in connect(&secured.url(host, &parameters)).await {
            let error = refused.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable { .. }), "{host} {parameters}: {error}");
            assert!(error.to_string().contains(reason), "{host} {parameters}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_certificate_is_refused_where_one_is_wanted() {
    let database = ScratchDatabase::create().await;
    let url = database.store.url();

    for refused in connect(&format!("{url}?sslmode=require")).await {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("server does not support TLS"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_named_with_its_word() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();

    for (parameters, said) in [
        ("sslrootcert=/nowhere.pem".to_owned(), "sslrootcert of DATABASE_URL names /nowhere.pem".to_owned()),
        (format!("ssl-ca={empty}"), format!("sslrootcert of DATABASE_URL names {empty}")),
        ("sslcert=/nowhere.pem".to_owned(), "sslcert and sslkey are given together".to_owned()),
    ] {
        for refused in connect(&format!("postgres://127.0.0.1:1/finrank?{parameters}")).await {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(&said), "{error}");
        }
    }
}
