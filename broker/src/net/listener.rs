//! Accepts connections and starts their tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use leveret_core::session::connection::Connection;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, info, info_span, warn};

use super::driver::{Driver, End};
use super::tls::peer_common_name;
use crate::broker::Broker;
use crate::clock;
use crate::dispatch::ConnectionHost;
use crate::outbox::Outbox;

/// Opens a listening socket. Port 0 lets the system choose.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker may take its port back while old connections fade out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts AMQP connections until the task is dropped.
pub async fn accept_amqp(broker: Arc<Broker>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: serving those who are here makes room.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let span = info_span!("connection", %peer);
        tokio::spawn(serve(broker.clone(), socket, peer, tls.clone()).instrument(span));
    }
}

async fn serve(broker: Arc<Broker>, socket: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    let Ok(local) = socket.local_addr() else { return };
    // Latency counts: frames are batched by us already.
    let _ = socket.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    let _ = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
    match tls {
        None => connection(broker, socket, peer, local, None, false).await,
        Some(acceptor) => {
            let timeout = Duration::from_millis(broker.config().amqp.handshake_timeout_ms);
            match tokio::time::timeout(timeout, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => {
                    let name = peer_common_name(stream.get_ref().1);
                    connection(broker, stream, peer, local, name, true).await;
                }
                Ok(Err(error)) => info!(%error, "TLS handshake failed"),
                Err(_) => info!("TLS handshake timed out"),
            }
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    broker: Arc<Broker>,
    socket: S,
    peer: SocketAddr,
    local: SocketAddr,
    certificate_user: Option<String>,
    tls: bool,
) {
    let outbox = Arc::new(Outbox::new());
    let id = broker.connections().add(peer, local, tls, outbox.clone());
    broker.metrics().connections_opened.fetch_add(1, Ordering::Relaxed);
    debug!(id = id.0, "accepted");
    if broker.is_stopping() {
        broker.connections().remove(id);
        return;
    }
    let session = Connection::new(broker.session_config(), rand::random(), clock::monotonic_ms());
    let host = ConnectionHost::new(broker.clone(), id, peer, certificate_user, outbox);
    let end = Driver::new(socket, session, host).run().await;
    broker.metrics().connections_closed.fetch_add(1, Ordering::Relaxed);
    match end {
        End::Closed => info!("closed"),
        End::Reset(None) => info!("closed by the peer without a closing handshake"),
        End::Reset(Some(error)) => info!(%error, "lost"),
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait when accepting fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
