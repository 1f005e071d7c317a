//! The admin listener's connections: HTTP/1.1, over TLS where configured, with a bound on everything a peer can take.
//!
//! Dropping what [`serve`] returns closes the listener and every connection it accepted.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use super::login::Peer;
use super::routes;
use crate::broker::Broker;

/// What one listener lets its peers take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. At the bound further ones wait to be accepted.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time from being ready for a request until all its headers are there.
    pub headers: Duration,
    /// Age at which a connection is closed, after the request it is busy with.
    pub age: Duration,
    /// Time for that last request.
    pub last_request: Duration,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 512,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            last_request: Duration::from_secs(60),
            header_bytes: 64 * 1024,
            body_bytes: 20 * 1024 * 1024,
        }
    }
}

/// Serves the admin API on `listener` until dropped.
pub async fn serve(broker: Arc<Broker>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    serve_with(broker, listener, tls, Limits::default()).await;
}

/// [`serve`] with other limits.
pub async fn serve_with(
    broker: Arc<Broker>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: Limits,
) {
    let router = routes::router(broker, limits.body_bytes);
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept an admin connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while let Some(ended) = connections.try_join_next() {
            report(ended);
        }
        connections.spawn(connection(socket, peer, tls.clone(), router.clone(), limits, place));
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    _place: OwnedSemaphorePermit,
) {
    // An answer is written in one go; waiting for more of it only delays it. Without it the connection still works.
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = tls else { return http(socket, peer, router, limits).await };
    match timeout(limits.handshake, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => http(stream, peer, router, limits).await,
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => debug!(%peer, "TLS handshake timed out"),
    }
}

async fn http<I>(stream: I, peer: SocketAddr, router: Router, limits: Limits)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router.layer(Extension(Peer(peer))));
    let service = service_fn(move |request| router.call(with_default_exchange(request)));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.headers)
            .max_buf_size(limits.header_bytes)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sleep(limits.age) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.last_request, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "admin connection ended");
    }
}

/// RabbitMQ takes a name that is empty where an exchange is named for the default exchange, and there are clients that
/// write it so: `/api/exchanges/%2F//publish`.
fn with_default_exchange<B>(mut request: Request<B>) -> Request<B> {
    let uri = request.uri();
    let names_exchanges = ["/api/exchanges/", "/api/bindings/"].iter().any(|it| uri.path().starts_with(it));
    if names_exchanges && uri.path().contains("//") {
        let mut path = uri.path().replacen("//", "/amq.default/", 1);
        if let Some(query) = uri.query() {
            path.push('?');
            path.push_str(query);
        }
        // What was a path is one with a name more.
        if let Ok(named) = path.parse() {
            *request.uri_mut() = named;
        }
    }
    request
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "admin connection failed");
    }
}

/// How long to wait when accepting fails, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
