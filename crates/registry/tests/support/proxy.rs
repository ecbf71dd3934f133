//! A way to a server that can be cut: bytes stop, connections stay.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Listens on a port of its own and passes on what comes, until it is dropped.
pub struct Proxy {
    pub port: u16,
    cut: Arc<watch::Sender<bool>>,
    running: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// To a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let cut = Arc::new(watch::Sender::new(false));
        let state = cut.subscribe();
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let state = state.clone();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = pass(from_client, to_server, state.clone()) => {}
                        () = pass(from_server, to_client, state) => {}
                    }
                });
            }
        });
        Self { port: own, cut, running }
    }

    /// Stops all bytes, or lets them go on.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if cut.wait_for(|cut| !cut).await.is_err()
            || to.write_all(buffer.get(..read).unwrap_or_default()).await.is_err()
        {
            return;
        }
    }
}
