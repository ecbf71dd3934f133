//! The accept loop: connections in, requests to a router, each within limits of number, size and time.
//! Own code rather than `axum::serve`, which has none of these limits.

mod connection;
pub mod tls;
mod watched;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

/// What one listener allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most connections at a time; more wait in the system's queue.
    pub connections: u32,
    /// The most requests at a time on one connection of HTTP/2.
    pub streams: u32,
    /// How long a connection, and each request's head on it, may take to arrive.
    pub head: Duration,
    /// How long a connection may stay without traffic.
    pub idle: Duration,
    /// How long open requests may take to end once the process stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 100,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(8),
        }
    }
}

/// Tells every listener and connection to come to an end.
pub struct Stop(watch::Sender<bool>);

/// Learns of it.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stop {
    /// The switch, and what it is connected to.
    pub fn switch() -> (Self, Stopping) {
        let (send, receive) = watch::channel(false);
        (Self(send), Stopping(receive))
    }

    /// Throws the switch. Dropping it does the same.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Returns when it is time.
    pub async fn wait(&mut self) {
        // An error means that the switch is gone.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// One listener's setup.
pub struct Server {
    /// What answers.
    pub router: Router,
    /// What it allows.
    pub limits: Limits,
    /// Encrypts connections.
    pub tls: Option<TlsAcceptor>,
    /// Counts open connections.
    pub connections: Gauge,
}

impl Server {
    /// Accepts connections until told to stop, then waits for what is under way; returns whether all
    /// of it ended in time.
    pub async fn run(self, listener: TcpListener, mut stopping: Stopping) -> bool {
        let places = Arc::new(Semaphore::new(self.limits.connections as usize));
        let server = Arc::new(self);
        let until = stopping.clone();
        tokio::select! {
            () = stopping.wait() => {}
            () = accept(&listener, &server, &places, &until) => {}
        }
        drop(listener);
        let all = places.acquire_many(server.limits.connections);
        tokio::time::timeout(server.limits.drain, all).await.is_ok()
    }
}

async fn accept(listener: &TcpListener, server: &Arc<Server>, places: &Arc<Semaphore>, stopping: &Stopping) {
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(places).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // A client that gave up is nothing; running out of file descriptors passes.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
        };
        let (server, stopping) = (Arc::clone(server), stopping.clone());
        tokio::spawn(async move {
            server.connections.inc();
            if let Err(error) = connection::serve(stream, peer, &server, stopping).await {
                // What clients do to their connections is their affair.
                tracing::debug!(%peer, %error, "connection ended");
            }
            server.connections.dec();
            drop(place);
        });
    }
}
