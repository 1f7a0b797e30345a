//! Connections of the API: accepted at an address of its own, or given away by the shards.

use super::Api;
use super::guard::Peer;
use super::visitor::VisitorStream;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime;

/// Time to send a request's head, and to think of another one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Buffer of a connection, which bounds a head.
const BUFFER_BYTES: usize = 32 * 1024;
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place among the connections, given back by its drop.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Door {
    api: Arc<Api>,
    router: Router,
    /// Connections to the API's own address, and those from the media ports: neither takes the other's places.
    open: [Arc<AtomicUsize>; 2],
}

impl Door {
    fn enter<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let most = self.api.access().max_connections;
        let [own, visitors] = &self.open;
        let open = if peer.own_address { own } else { visitors };
        if open.fetch_add(1, Ordering::Relaxed) >= most {
            open.fetch_sub(1, Ordering::Relaxed);
            self.api.metrics.refused_connection();
            return;
        }
        let place = Place(Arc::clone(open));
        let service = TowerToHyperService::new(self.router.clone().layer(Extension(peer)));
        tokio::spawn(async move {
            let _place = place;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if let Err(error) = connection.await {
                tracing::debug!(peer = %peer.address, %error, "admin connection");
            }
        });
    }
}

impl Api {
    /// Serves connections until the process ends: those of the listener, if there is one, and those that the shards give
    /// away.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn serve(self: &Arc<Self>, listener: Option<TcpListener>) -> io::Result<()> {
        let door = Arc::new(Door { api: Arc::clone(self), router: self.router(), open: Default::default() });
        if let Some(listener) = listener {
            tokio::spawn(accept(Arc::clone(&door), listener));
        }
        let (visitors, runtime) = (self.handle.visitors().clone(), runtime::Handle::current());
        thread::Builder::new().name("visitors".into()).spawn(move || {
            while let Ok(visitor) = visitors.recv() {
                let (door, address) = (Arc::clone(&door), visitor.peer);
                runtime.spawn(async move {
                    match VisitorStream::new(visitor) {
                        Ok(stream) => door.enter(stream, Peer { address, own_address: false }),
                        Err(error) => tracing::debug!(%address, %error, "admin connection"),
                    }
                });
            }
        })?;
        Ok(())
    }
}

async fn accept(door: Arc<Door>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                door.enter(stream, Peer { address: canonical(address), own_address: true });
            }
            Err(error) => {
                tracing::debug!(%error, "admin accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
