//! Feast's side: a repository with the same shape, materialised into the same Postgres, and its gRPC server.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use finrank_contracts::feast::server::grpc_feature_server_client::GrpcFeatureServerClient;
use finrank_store::scratch::ScratchDatabase;
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::{Result, finrank, load::Call, shape};

/// What makes the repository.
const PREPARE: &str = include_str!("feast.py");
/// How often the server is looked for, a second apart.
const ATTEMPTS: usize = 60;

/// A server, ended with this.
pub(crate) struct Feast {
    client: GrpcFeatureServerClient<Channel>,
    server: Child,
    _repository: TempDir,
}

impl Feast {
    /// Prepares and serves, by a Python that has Feast.
    pub(crate) async fn start(python: &Path, database: &ScratchDatabase, users: u32) -> Result<Self> {
        let repository = tempfile::tempdir()?;
        eprintln!("materialising {users} customers by Feast");
        // Not resolved: an environment is known by the name that its Python is called by.
        let python = std::path::absolute(python)?;
        let prepared = Command::new(&python)
            .args(["-c", PREPARE, database.store.url(), &users.to_string()])
            .args([shape::VIEWS.to_string(), shape::FEATURES_PER_VIEW.to_string()])
            .current_dir(repository.path())
            .stdout(Stdio::null())
            .status()?;
        if !prepared.success() {
            return Err("Feast could not be prepared".into());
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let server = Command::new(&python)
            .args(["-m", "feast.cli.cli", "listen", "--address", &address])
            .args(["--max_workers", "8", "--registry_ttl_sec", "60"])
            .current_dir(repository.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
        let client = GrpcFeatureServerClient::new(channel);
        let feast = Self { client, server, _repository: repository };
        feast.until_it_answers().await?;
        Ok(feast)
    }

    /// Asks for features.
    pub(crate) fn features(&self, users: u32, keys: usize) -> Call {
        finrank::features(&self.client, users, keys)
    }

    async fn until_it_answers(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.client.clone().get_online_features(shape::request(1, 1)).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err("Feast's server did not answer in time".into())
    }
}

impl Drop for Feast {
    fn drop(&mut self) {
        // It has no state worth keeping.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
