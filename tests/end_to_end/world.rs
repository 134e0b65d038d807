//! A small world for the tests to live in: a real Postgres database with synthetic customers, a trained
//! model, both servers as processes of their own, and clients connected to them. Made once per run.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use finrank_contracts::{
    feature::v1::feature_store_service_client::FeatureStoreServiceClient,
    ranking::v1::{RecommendRequest, ranking_service_client::RankingServiceClient},
};
use finrank_store::{records, scratch::ScratchDatabase};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

/// Customers in the world.
pub(crate) const USERS: usize = 400;
/// Products in the world.
pub(crate) const PRODUCTS: usize = 40;

/// Everything that runs, and how to reach it.
pub(crate) struct World {
    pub(crate) database: ScratchDatabase,
    pub(crate) feature_store_url: String,
    pub(crate) ranking_url: String,
    pub(crate) state: TempDir,
    /// All customers, in order.
    pub(crate) user_ids: Vec<String>,
    _servers: [Server; 2],
}

impl World {
    /// The one world of this run.
    pub(crate) async fn shared() -> &'static World {
        static WORLD: OnceCell<World> = OnceCell::const_new();
        WORLD.get_or_init(World::create).await
    }

    /// A world of a test's own, for one that will break it.
    pub(crate) async fn create() -> World {
        let database = ScratchDatabase::create().await;
        let state = tempfile::tempdir().unwrap();
        let finrank =
            Finrank { state: state.path().to_owned(), database_url: database.store.url().to_owned() };

        finrank.succeed(&["import", "--synthetic", &format!("{USERS},{PRODUCTS},7")]);
        finrank.succeed(&["train", "--epochs", "3"]);
        let feature_store = Server::start(&finrank, &["serve", "feature-store", "--listen", "127.0.0.1:0"]);
        finrank.succeed(&["refresh", "--feature-store", &feature_store.url]);
        let ranking = Server::start(
            &finrank,
            &["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", &feature_store.url],
        );
        let users = records::user_records(&database.store, None, None, USERS).await.unwrap();
        let world = World {
            database,
            user_ids: users.into_iter().map(|user| user.user_id.into()).collect(),
            feature_store_url: feature_store.url.clone(),
            ranking_url: ranking.url.clone(),
            state,
            _servers: [feature_store, ranking],
        };
        world.until_ranking_serves().await;
        world
    }

    pub(crate) async fn ranking(&self) -> RankingServiceClient<Channel> {
        RankingServiceClient::connect(self.ranking_url.clone()).await.unwrap()
    }

    pub(crate) async fn feature_store(&self) -> FeatureStoreServiceClient<Channel> {
        FeatureStoreServiceClient::connect(self.feature_store_url.clone()).await.unwrap()
    }

    /// The command, in this world's database and state directory.
    pub(crate) fn finrank(&self) -> Finrank {
        Finrank { state: self.state.path().to_owned(), database_url: self.database.store.url().to_owned() }
    }

    async fn until_ranking_serves(&self) {
        let user_id = &self.user_ids[0];
        let mut ranking = self.ranking().await;
        eventually("ranking serves", async || {
            ranking
                .recommend(RecommendRequest { user_id: user_id.clone(), k: 1, ..Default::default() })
                .await
                .is_ok()
        })
        .await;
    }
}

/// Waits until `holds`, and fails naming `what` if it does not within a minute.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never came true: {what}");
}

/// The `finrank` binary with a database and a state directory of its own.
pub(crate) struct Finrank {
    pub(crate) state: PathBuf,
    pub(crate) database_url: String,
}

impl Finrank {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finrank"));
        self.environment(&mut command);
        command.args(args);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed on stdout.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "finrank {args:?} failed:\n{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail without a panic, and returns what it printed on stderr.
    pub(crate) fn fail(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "finrank {args:?} succeeded");
        assert!(!stderr.contains("panicked"), "finrank {args:?} panicked:\n{stderr}");
        stderr
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("DATABASE_URL", &self.database_url)
            .env("FINRANK__STATE_DIR", &self.state)
            .env_remove("FINRANK_CONFIG");
    }
}

/// A server process that ends when this is dropped, and also when the test process dies without dropping it.
pub(crate) struct Server {
    pub(crate) url: String,
    guard: Child,
    said: BufReader<ChildStdout>,
    lifeline: Option<ChildStdin>,
}

/// Runs "$@" until stdin closes, as it does when its holder ends in whatever way; then ends it by SIGTERM.
const GUARD: &str = r#""$@" & server=$!; cat >/dev/null; kill "$server"; wait "$server""#;

impl Server {
    /// Starts a server and waits until it says where it listens.
    pub(crate) fn start(finrank: &Finrank, args: &[&str]) -> Server {
        let log = std::fs::File::create(finrank.state.join(format!("{}.log", args[1]))).unwrap();
        let mut command = Command::new("sh");
        finrank.environment(&mut command);
        let mut guard = command
            .args(["-c", GUARD, "sh", env!("CARGO_BIN_EXE_finrank")])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = guard.stdin.take();
        let said = BufReader::new(guard.stdout.take().unwrap());
        let mut server = Server { url: String::new(), guard, said, lifeline };
        server.url = server.next_url();
        server
    }

    /// The server's own process, which is the first child of its guard.
    pub(crate) fn process_id(&self) -> i32 {
        let guard = self.guard.id();
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits until the process says where its next server listens.
    pub(crate) fn next_url(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.split_whitespace().last().expect("the server starts; else its log says why not").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.guard.wait();
    }
}

/// A file that one of the scripts sets up, or `None` (said on stderr) where the script has not run.
pub(crate) fn provided(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| Path::exists(path));
    if path.is_none() {
        eprintln!("SKIPPED: {variable} names no file; scripts/test sets it");
    }
    path
}
