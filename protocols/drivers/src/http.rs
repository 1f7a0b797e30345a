//! HTTP connections: reads a request head, gives it to what serves its path, and goes on with the next.

use crate::bridge::{Alarm, Bridge, Left};
use crate::config::{CodecForm, Config};
use crate::conn::{Conn, Got};
use crate::local::Local;
use crate::table::AnySession;
use bytes::Bytes;
use engine::SessionGuard;
use media::Moment;
use protocols::http::{
    self, BodyFraming, Cors, HeadError, HeadLimits, Method, Request, RequestReader, ResponseHead,
};
use protocols::httpflv::{self, HttpFlvSession};
use rt::Either;
use std::rc::Rc;
use std::sync::Arc;

/// What answers on this port besides streams may be asked.
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// What every FLV session is told.
pub(crate) fn session_config(config: &Config) -> Arc<httpflv::Config> {
    let mut told = httpflv::Config {
        name_bytes: config.name_bytes,
        form: match config.http_codec_form {
            CodecForm::Auto | CodecForm::Legacy => httpflv::FormChoice::Legacy,
            CodecForm::Fourcc => httpflv::FormChoice::Fourcc,
        },
        cors: Cors::new(config.http_allow_origin.as_deref()),
        ping_interval: config.ws_ping,
        ..Default::default()
    };
    told.flv.tag_bytes = config.message_bytes;
    Arc::new(told)
}

/// A connection between two requests.
struct Idle {
    local: Rc<Local>,
    conn: Conn,
    guard: SessionGuard,
    /// Bytes already received of what comes next.
    leftover: Bytes,
    /// Nothing was asked yet: then silence is a request that did not come, not a connection kept for another.
    fresh: bool,
}

pub(crate) async fn serve(local: Rc<Local>, conn: Conn, guard: SessionGuard) {
    let deadline = local.shard.now().plus(local.config.request_timeout);
    requests(Idle { local, conn, guard, leftover: Bytes::new(), fresh: true }, deadline).await;
}

/// Goes on after a session has given its connection back.
pub(crate) async fn go_on(left: Left) {
    if let Some(idle) = given_back(left).await {
        let deadline = idle.deadline();
        requests(idle, deadline).await;
    }
}

async fn requests(mut idle: Idle, mut deadline: Moment) {
    loop {
        let (request, leftover) = match idle.head(deadline).await {
            Ok(head) => head,
            Err(why) => {
                idle.guard.end(why);
                idle.conn.close(&idle.local.scratch).await;
                return;
            }
        };
        if idle.is_for_control(&request.path) {
            idle.show_in(&request, &leftover);
            return;
        }
        let next = if http::front::route(&request.path).is_some() {
            given_back(idle.stream(request, leftover).await).await
        } else {
            idle.page(&request, leftover).await
        };
        let Some(next) = next else { return };
        idle = next;
        deadline = idle.deadline();
    }
}

async fn given_back(left: Left) -> Option<Idle> {
    let Left::Free(bridge) = left else { return None };
    let (mut bridge, sent) = bridge.finish().await;
    let AnySession::HttpFlv(session) = bridge.session else { return None };
    if !sent || !session.reusable() {
        bridge.guard.end("request served");
        bridge.conn.close(&bridge.local.scratch).await;
        return None;
    }
    let leftover = session.into_next().unwrap_or_default();
    Some(Idle { local: bridge.local, conn: bridge.conn, guard: bridge.guard, leftover, fresh: false })
}

impl Idle {
    /// Until when the next request may be under way.
    fn deadline(&self) -> Moment {
        self.local.shard.now().plus(self.local.config.keep_alive)
    }

    async fn head(&mut self, deadline: Moment) -> Result<(Request, Bytes), String> {
        let mut reader = RequestReader::new(HeadLimits::default());
        let mut read = reader.push(&std::mem::take(&mut self.leftover));
        loop {
            match read {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(error) => return Err(self.refuse(error).await),
            }
            let wait = deadline.since(self.local.shard.now());
            let mut got = Ok(None);
            let take = |bytes: &[u8]| got = reader.push(bytes);
            let bytes = self.conn.read(&self.local.scratch, take);
            let heard = rt::either(bytes, rt::either(self.guard.stop.wait(), rt::sleep(wait))).await;
            match heard {
                Either::Left(Ok(Got::Bytes(n))) => self.guard.add_in(n),
                Either::Left(Ok(Got::Nothing)) => {
                    self.conn.write(&[]).await.map_err(|error| format!("socket: {error}"))?;
                }
                Either::Left(Ok(Got::Eof)) => return Err("peer closed".into()),
                Either::Left(Err(error)) => return Err(format!("socket: {error}")),
                Either::Right(Either::Left(reason)) => return Err(reason.name().into()),
                Either::Right(Either::Right(())) => {
                    if self.fresh || reader.buffered_bytes() > 0 {
                        self.local.shard.count_limit("request timeout");
                    }
                    return Err("no request in time".into());
                }
            }
            read = got;
        }
    }

    async fn refuse(&mut self, refused: HeadError) -> String {
        self.local.shard.count_error(refused.error.what);
        let version = http::Version::Http11;
        let answer =
            http::text(refused.status, http::reason(refused.status), true, (false, version), |head| head);
        // It is closed either way.
        let _ = self.conn.write(&answer).await;
        refused.error.to_string()
    }

    fn is_for_control(&self, path: &str) -> bool {
        let serves = |served: &&str| path == *served || (served.ends_with('/') && path.starts_with(*served));
        self.local.config.control_paths.iter().any(serves)
    }

    /// Gives the connection to the control side, with what it has said.
    fn show_in(self, request: &Request, leftover: &[u8]) {
        let Self { local, conn, guard, .. } = self;
        match conn.park() {
            Ok(parked) => {
                let received = [request.raw(), leftover].concat();
                local.shard.show_in(parked.into_transport(), received, guard);
            }
            Err(error) => guard.end(format!("socket: {error}")),
        }
    }

    async fn stream(self, request: Request, leftover: Bytes) -> Left {
        let Self { local, conn, guard, .. } = self;
        let now = local.shard.now();
        let session = HttpFlvSession::new(request, leftover, Arc::clone(&local.httpflv));
        let session = AnySession::HttpFlv(Box::new(session));
        Bridge { local, conn, session, guard, alarm: Alarm::default() }.run(now).await
    }

    /// Answers with a page of the binary, or that there is none.
    async fn page(mut self, request: &Request, leftover: Bytes) -> Option<Self> {
        let keep = request.keep_alive && request.body == BodyFraming::None;
        let answer = self.answer(request, keep);
        if self.conn.write(&answer).await.is_err() || !keep {
            self.guard.end("request served");
            self.conn.close(&self.local.scratch).await;
            return None;
        }
        self.guard.add_out(answer.len());
        self.leftover = leftover;
        self.fresh = false;
        Some(self)
    }

    fn answer(&self, request: &Request, keep: bool) -> Vec<u8> {
        let framing = (keep, request.version);
        let body_too = request.method != Method::Head;
        let asset = self.local.config.assets.iter().find(|asset| asset.path == request.path);
        match (request.method, asset) {
            (Method::Options, _) => self.local.httpflv.cors.preflight(request, PAGE_METHODS, keep),
            (Method::Get | Method::Head, Some(asset)) => {
                let mut answer = ResponseHead::new(200)
                    .header("Content-Type", asset.content_type)
                    .header("Cache-Control", "no-cache")
                    .header("X-Content-Type-Options", "nosniff")
                    .length(asset.bytes.len())
                    .connection(keep, request.version)
                    .finish();
                if body_too {
                    answer.extend_from_slice(asset.bytes);
                }
                answer
            }
            (Method::Get | Method::Head, None) => http::text(
                404,
                "there is nothing here; streams are at /app/name.flv\n",
                body_too,
                framing,
                |head| head,
            ),
            _ => http::text(405, "only GET and HEAD here\n", body_too, framing, |head| {
                head.header("Allow", PAGE_METHODS)
            }),
        }
    }
}
