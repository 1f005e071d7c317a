//! A TCP proxy between a client and its broker, to lose connections at will while the broker's address stays the
//! same for the client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections until they are cut. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    /// `None` while the broker is out of reach: connections are accepted and closed at once.
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface.
    pub async fn start(upstream: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let upstream = Arc::new(Mutex::new(Some(upstream)));
        let (cuts, seen) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, upstream.clone(), seen));
        Proxy { address, upstream, cuts, accepting }
    }

    /// Cuts all connections; new ones are forwarded.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections and forwards new ones to `upstream`, or to nobody.
    pub fn redirect(&self, upstream: Option<SocketAddr>) {
        *self.upstream.lock().expect("nobody panics with the address") = upstream;
        self.cut();
    }

    /// The URI of the default user and vhost, by way of this proxy.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    mut cuts: watch::Receiver<u64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        // Marked before the address is read: a redirect after that cuts this connection, too.
        cuts.mark_unchanged();
        let address = *upstream.lock().expect("nobody panics with the address");
        if let Some(address) = address {
            tokio::spawn(forward(client, address, cuts.clone()));
        }
    }
}

async fn forward(mut client: TcpStream, upstream: SocketAddr, mut cuts: watch::Receiver<u64>) {
    let Ok(mut broker) = TcpStream::connect(upstream).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut broker) => {}
        _ = cuts.changed() => {}
    }
}
