//! What a request head asks for: to play or to publish, over which carrier, with which options; or the answer it
//! gets at once.

use super::answer::Reply;
use super::config::{Config, FormChoice};
use crate::container::flv::{FlvRendition, Form, Framing, TrackFilter};
use crate::http::{BodyFraming, Method, Request, Version, cut, front};
use crate::ws::{Upgrade, upgrade};
use crate::{PlayRequest, PublishRequest, Query};
use media::{JoinStart, StreamKey};

/// Sub-protocols by which a publisher says that it is one.
const PUSH_PROTOCOLS: [&str; 2] = ["publisher", "post"];
/// All sub-protocols that are answered to. A browser drops a connection that leaves all of its offers unanswered, so the
/// words that players use are among them.
const PROTOCOLS: [&str; 6] = ["publisher", "post", "flv", "player", "play", "binary"];
/// Longest description of a peer that is kept, in bytes.
const MAX_AGENT_BYTES: usize = 256;
/// Longest host that is kept, in bytes: what DNS allows, and a port.
const MAX_HOST_BYTES: usize = 264;

/// What is to be done.
pub(super) enum Plan {
    Play {
        request: Box<PlayRequest>,
        framing: Framing,
        /// HEAD: the answer's head alone.
        head_only: bool,
        upgrade: Option<Upgrade>,
    },
    Push {
        request: Box<PublishRequest>,
        body: BodyFraming,
        /// The peer waits for `100 Continue`.
        expects: bool,
        upgrade: Option<Upgrade>,
    },
    /// Nobody needs to be asked.
    Answer(Vec<u8>),
}

/// Reads a request; leniencies are named to `lenient`.
pub(super) fn plan(
    request: &Request,
    reply: &Reply,
    config: &Config,
    lenient: &mut dyn FnMut(&'static str),
) -> Plan {
    let answer = |status: u16, why: &str| Plan::Answer(reply.text(status, why, config));
    if request.version == Version::Http11 && request.host().is_empty() {
        lenient("request without Host");
    }
    let upgraded = request.websocket && request.version == Version::Http11;
    let role = match request.method {
        Method::Get if upgraded => match upgrade(request, &PROTOCOLS) {
            Ok(upgrade) => Carrier::WebSocket(upgrade),
            Err(refused) => return answer(refused.status, refused.error.what),
        },
        Method::Get | Method::Head => Carrier::Viewer,
        Method::Post | Method::Put => Carrier::Publisher,
        Method::Options => {
            return Plan::Answer(config.cors.preflight(request, super::answer::METHODS, reply.keep));
        }
        _ => return answer(405, "method not allowed"),
    };
    let key = front::route(&request.path)
        .and_then(|(app, name)| StreamKey::parse(&app, &name, config.name_bytes).ok());
    let Some(key) = key else {
        let pushes = matches!(role, Carrier::Publisher);
        return answer(if pushes { 400 } else { 404 }, media::Refusal::BadName.name());
    };
    match role {
        Carrier::Viewer => play(request, key, None, config, lenient),
        Carrier::Publisher => push(request, key, reply, config, lenient),
        Carrier::WebSocket(upgrade) if upgrade.protocol.is_some_and(|p| PUSH_PROTOCOLS.contains(&p)) => {
            let request = Box::new(publish_request(request, key));
            Plan::Push { request, body: BodyFraming::UntilEof, expects: false, upgrade: Some(upgrade) }
        }
        Carrier::WebSocket(upgrade) => play(request, key, Some(upgrade), config, lenient),
    }
}

enum Carrier {
    Viewer,
    Publisher,
    WebSocket(Upgrade),
}

fn play(
    request: &Request,
    key: StreamKey,
    upgrade: Option<Upgrade>,
    config: &Config,
    lenient: &mut dyn FnMut(&'static str),
) -> Plan {
    let query = &request.query;
    let framing = match (&upgrade, request.version) {
        (Some(_), _) => Framing::WsFrame,
        (None, Version::Http11) if query.flag("chunked") != Some(false) => Framing::HttpChunk,
        (None, _) => Framing::Raw,
    };
    let class = query.value("class").map(str::parse);
    if class == Some(Err(())) {
        lenient("unknown latency class");
    }
    let rendition = FlvRendition { form: form(query, config, lenient), framing, filter: filter(query) };
    let play = PlayRequest {
        key,
        query: query.clone(),
        user_agent: agent(request),
        host: host(request),
        rendition: Box::new(rendition),
        start: JoinStart { gop: query.flag("gop"), class: class.and_then(Result::ok) },
    };
    let head_only = request.method == Method::Head;
    Plan::Play { request: Box::new(play), framing, head_only, upgrade }
}

fn push(
    request: &Request,
    key: StreamKey,
    reply: &Reply,
    config: &Config,
    lenient: &mut dyn FnMut(&'static str),
) -> Plan {
    let body = match request.body {
        BodyFraming::Length(0) => return Plan::Answer(reply.text(400, "no FLV in the body", config)),
        BodyFraming::None => {
            // As ffmpeg does with `-chunked_post 0`: the body ends with the connection.
            lenient("push without a length");
            BodyFraming::UntilEof
        }
        framing => framing,
    };
    let mut expects = false;
    if request.version == Version::Http11 && !request.headers.all("expect").all(<[u8]>::is_empty) {
        expects = request.headers.has("expect", "100-continue");
        if !expects {
            return Plan::Answer(reply.text(417, "expectation failed", config));
        }
    }
    Plan::Push { request: Box::new(publish_request(request, key)), body, expects, upgrade: None }
}

fn publish_request(request: &Request, key: StreamKey) -> PublishRequest {
    PublishRequest { key, query: request.query.clone(), user_agent: agent(request), host: host(request) }
}

fn form(query: &Query, config: &Config, lenient: &mut dyn FnMut(&'static str)) -> Form {
    let choice = match query.value("codec_form") {
        None => config.form,
        Some("fourcc") => FormChoice::Fourcc,
        Some("legacy") => FormChoice::Legacy,
        Some(_) => {
            lenient("unknown codec form");
            config.form
        }
    };
    choice.form()
}

/// Asking for only one and only the other is asking for both.
fn filter(query: &Query) -> TrackFilter {
    let only = |name: &str, lower: &str| query.flag(name).or(query.flag(lower)) == Some(true);
    let (audio, video) = (only("onlyAudio", "onlyaudio"), only("onlyVideo", "onlyvideo"));
    if audio == video { TrackFilter::ALL } else { TrackFilter { video, audio } }
}

fn agent(request: &Request) -> String {
    cut(request.headers.text("user-agent").unwrap_or_default(), MAX_AGENT_BYTES).to_owned()
}

fn host(request: &Request) -> String {
    cut(request.host(), MAX_HOST_BYTES).to_owned()
}
