//! Postgres behind somebody who writes down what is said to it, and can keep back what it answers.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A message to Postgres, of the few that matter here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// "Parse": the statement's name and text.
    Parse(String, String),
    /// "Bind": the statement's name.
    Bind(String),
    Execute,
    /// Whoever says this waits for an answer: a round trip.
    Sync,
    /// Some other message, by its letter.
    Other(char),
}

/// What was said on one connection so far.
type Heard = Arc<Mutex<Vec<Said>>>;

/// A server that passes everything on.
pub(crate) struct Proxy {
    /// Where a database is reached through it.
    pub(crate) url: String,
    connections: Arc<Mutex<Vec<Heard>>>,
    silent: watch::Sender<bool>,
}

impl Proxy {
    /// In front of a database's server.
    pub(crate) async fn start(url: &str) -> Self {
        let (login, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // It counts messages, which it cannot read where they are sealed.
        let url = format!("{login}@{}/{database}?sslmode=disable", listener.local_addr().unwrap());
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (server, opened) = (server.to_owned(), connections.clone());
        let (silent, silence) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let said = Heard::default();
                opened.lock().unwrap().push(said.clone());
                let (to_client, to_server) = (client, TcpStream::connect(&server).await.unwrap());
                let (from_client, to_client) = to_client.into_split();
                let (from_server, to_server) = to_server.into_split();
                tokio::spawn(answer(from_server, to_client, silence.clone()));
                tokio::spawn(pass_on(from_client, to_server, said));
            }
        });
        Self { url, connections, silent }
    }

    /// Keeps back what is answered, as a machine does that has gone without a word; or passes it on again.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// What was said on each connection, in order.
    pub(crate) fn said(&self) -> Vec<Vec<Said>> {
        self.connections.lock().unwrap().iter().map(|said| said.lock().unwrap().clone()).collect()
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut silence: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = server.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        if silence.wait_for(|silent| !silent).await.is_ok() {
            client.write_all(&bytes[..read]).await?;
        }
    }
}

async fn pass_on(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, said: Heard) -> io::Result<()> {
    // The first message has no letter.
    let length = client.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    client.read_exact(&mut body).await?;
    server.write_all(&[&length.to_be_bytes()[..], &body].concat()).await?;
    loop {
        let letter = client.read_u8().await?;
        let length = client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        said.lock().unwrap().push(message(letter, &body));
        server.write_all(&[&[letter], &length.to_be_bytes()[..], &body].concat()).await?;
    }
}

fn message(letter: u8, body: &[u8]) -> Said {
    let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let mut next = || texts.next().unwrap_or_default();
    match letter {
        b'P' => Said::Parse(next(), next()),
        // After the portal's name.
        b'B' => {
            next();
            Said::Bind(next())
        }
        b'E' => Said::Execute,
        b'S' => Said::Sync,
        other => Said::Other(other.into()),
    }
}
