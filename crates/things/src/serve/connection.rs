//! One connection, from its first byte to its last.

use std::{error::Error, net::SocketAddr, pin::pin, sync::Arc};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::ServiceExt;

use super::{
    Server, Stopping,
    watched::{Activity, Watched},
};
use crate::rest::Peer;

/// More than this of a request's head is not kept: hyper then answers 431 by itself. The API's own
/// limits are lower and are answered as problems.
const READ_BUFFER: usize = 64 * 1024;

pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    server: &Server,
    stopping: Stopping,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Answers are written in one piece: waiting for more to send only delays them.
    stream.set_nodelay(true)?;
    match &server.tls {
        None => converse(stream, peer, server, stopping).await,
        Some(tls) => {
            let stream = tokio::time::timeout(server.limits.head, tls.accept(stream)).await??;
            converse(stream, peer, server, stopping).await
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    server: &Server,
    mut stopping: Stopping,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let activity = Arc::new(Activity::new());
    let service = {
        let (activity, router) = (Arc::clone(&activity), server.router.clone());
        service_fn(move |request| answer(router.clone(), request, peer, Arc::clone(&activity)))
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // `Activity` times heads: hyper's own timer would end connections that wait for their next request.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(READ_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(server.limits.streams)
        .max_header_list_size(READ_BUFFER as u32);
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        // In this order, so that not every look draws a random number for another one.
        biased;
        done = &mut connection => return done,
        () = activity.overdue(&server.limits) => {}
        () = stopping.wait() => {}
    }
    // Whatever is under way ends first.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        done = &mut connection => done,
        () = activity.overdue(&server.limits) => Err("timed out".into()),
    }
}

async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    activity: Arc<Activity>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    let _running = activity.request(request.version());
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    router.oneshot(request).await
}
