//! A session on its way to the shard that serves its stream.

use super::{Alarm, Bridge, Left, Request};
use crate::conn::Parked;
use crate::local::Local;
use crate::table::AnySession;
use engine::{Arrival, Shard, Travelling};

impl Bridge {
    pub(super) fn hand_off(self, to: usize, request: Request, admitted: bool) -> Left {
        let Self { local, conn, session, guard, .. } = self;
        match conn.park() {
            Ok(conn) => {
                let moved = Moved { conn, session, travelling: guard.travel(), request, admitted };
                local.shard.hand_off(to, Box::new(moved));
            }
            Err(error) => guard.end(format!("socket: {error}")),
        }
        Left::Gone
    }
}

/// A connection on its way to the shard that serves its stream.
struct Moved {
    conn: Parked,
    session: AnySession,
    travelling: Travelling,
    request: Request,
    /// The control side has allowed it.
    admitted: bool,
}

impl Arrival for Moved {
    fn land(self: Box<Self>, shard: &Shard) {
        let Self { conn, session, travelling, request, admitted } = *self;
        let guard = shard.adopt_session(travelling);
        let Some(local) = Local::here() else { return };
        rt::spawn(async move {
            let conn = match conn.unpark() {
                Ok(conn) => conn,
                Err(error) => {
                    guard.end(format!("socket: {error}"));
                    return;
                }
            };
            let bridge = Bridge { local, conn, session, guard, alarm: Alarm::default() };
            match bridge.serve(request, admitted).await {
                Left::Free(bridge) => crate::table::go_on(bridge).await,
                Left::Gone => {}
            }
        });
    }
}
