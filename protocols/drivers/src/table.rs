//! The table of protocols: which session a connection gets. A new protocol is a line in each list here.

use crate::bridge::{Bridge, Left};
use crate::config::{ListenerConfig, Speaks};
use crate::conn::Conn;
use crate::local::Local;
use crate::{http, rtmp};
use media::Moment;
use protocols::httpflv::HttpFlvSession;
use protocols::rtmp::ServerSession;
use protocols::{Error, Input, Output, Session};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Any server session.
pub(crate) enum AnySession {
    Rtmp(Box<ServerSession>),
    HttpFlv(Box<HttpFlvSession>),
}

/// Takes an accepted connection: TLS or not, then the listener's protocol.
pub(crate) fn serve(local: &Rc<Local>, listener: ListenerConfig, fd: OwnedFd, peer: SocketAddr) {
    let protocol = match (listener.speaks, listener.tls) {
        (Speaks::Rtmp, false) => "rtmp",
        (Speaks::Rtmp, true) => "rtmps",
        (Speaks::Http, false) => "http",
        (Speaks::Http, true) => "https",
    };
    let Ok(guard) = local.shard.open_session(peer, protocol) else { return };
    // Refused only by a socket that is already dead.
    let _ = rt::set_nodelay(fd.as_fd(), true);
    let tls = match local.config.certificates.as_ref().filter(|_| listener.tls).map(|c| c.accept()) {
        None => None,
        Some(Ok(tls)) => Some(tls),
        Some(Err(why)) => {
            guard.end(why);
            return;
        }
    };
    let conn = match Conn::new(fd, tls) {
        Ok(conn) => conn,
        Err(error) => {
            guard.end(format!("socket: {error}"));
            return;
        }
    };
    let local = Rc::clone(local);
    rt::spawn(async move {
        match listener.speaks {
            Speaks::Rtmp => rtmp::serve(local, conn, guard).await,
            Speaks::Http => http::serve(local, conn, guard).await,
        }
    });
}

/// Goes on with a connection whose request was served after it had moved here.
pub(crate) async fn go_on(bridge: Bridge) {
    let now = bridge.local.shard.now();
    match &bridge.session {
        AnySession::Rtmp(_) => {
            // An RTMP connection stays one session for its life.
            bridge.run(now).await;
        }
        AnySession::HttpFlv(_) => http::go_on(Left::Free(bridge)).await,
    }
}

impl AnySession {
    /// Whether the session serves one request, and the connection may outlive it.
    pub const fn is_one_request(&self) -> bool {
        matches!(self, Self::HttpFlv(_))
    }

    fn inner(&self) -> &dyn Session {
        match self {
            Self::Rtmp(session) => &**session,
            Self::HttpFlv(session) => &**session,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Session {
        match self {
            Self::Rtmp(session) => &mut **session,
            Self::HttpFlv(session) => &mut **session,
        }
    }
}

impl Session for AnySession {
    fn handle(&mut self, now: Moment, input: Input<'_>) -> Result<(), Error> {
        self.inner_mut().handle(now, input)
    }

    fn poll(&mut self, now: Moment) -> Output {
        self.inner_mut().poll(now)
    }

    fn buffered_bytes(&self) -> usize {
        self.inner().buffered_bytes()
    }

    fn protocol(&self) -> &'static str {
        self.inner().protocol()
    }
}
