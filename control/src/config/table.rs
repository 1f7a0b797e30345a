//! The table of keys. Everything that depends on which keys there are is made from it: the typed settings, defaults,
//! checks, the example file and the README's table.

use super::pattern::Pattern;
use super::typed::{
    ACTIONS, AnonymousReads, Backend, CLASSES, CheckName, CodecForm, Cpus, FromValue, LogFormat, LogLevel,
    ON_CONFLICT, Unreachable,
};
use super::value::{Kind, Preset, Rule, Value};
use engine::config::OnConflict;
use ipnet::IpNet;
use media::LatencyClass;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its section, dotted.
    pub section: &'static str,
    /// Its name inside the section; ends in its unit where it has one.
    pub name: &'static str,
    /// Section and name.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it is when nobody wrote it.
    pub preset: Preset,
    /// What it means, in one line.
    pub help: &'static str,
    /// Node Media Server's environment variable for the same.
    pub nms: &'static str,
}

const MS_PER_HOUR: u64 = 3_600_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const FLAG: Kind = Kind::Flag;
const PORT: Kind = Kind::Number { min: 0, max: 65535 };
const FILE: Kind = Kind::Text(Rule::File);
const ADDRESS: Kind = Kind::Text(Rule::Address);
const PATTERNS: Kind = Kind::List(Rule::Pattern, 256);
const NETWORKS: Kind = Kind::List(Rule::Network, 256);
const EVERYTHING: Preset = Preset::List(&["*"]);

const fn range(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

/// Milliseconds from 0 to an hour.
const MS: Kind = range(0, MS_PER_HOUR);

const fn number(number: u64) -> Preset {
    Preset::Number(number)
}

const fn word(word: &'static str) -> Preset {
    Preset::Text(word)
}

const ON: Preset = Preset::Flag(true);
const OFF: Preset = Preset::Flag(false);

macro_rules! table {
    ($(
        #[doc = $about:literal]
        $section:ident = $path:literal: $Section:ident {
            $( #[doc = $help:literal] $key:ident: $T:ty = $kind:expr, $preset:expr $(, nms $nms:literal)?; )+
        }
    )+) => {
        $(
            #[doc = $about]
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section { $( #[doc = $help] pub $key: $T, )+ }
        )+

        /// All settings, typed. Made by [`super::load`] alone, and never changed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // each section says what it is
        pub struct Settings { $( pub $section: $Section, )+ }

        /// All keys, by section, in the order in which they are shown.
        pub static KEYS: &[Key] = &[ $( $( Key {
            section: $path,
            name: stringify!($key),
            path: concat!($path, ".", stringify!($key)),
            kind: $kind,
            preset: $preset,
            help: $help.trim_ascii(),
            nms: concat!($($nms)?),
        }, )+ )+ ];

        /// All sections, with what they are about.
        pub static SECTIONS: &[(&str, &str)] = &[ $( ($path, $about.trim_ascii()), )+ ];

        impl Settings {
            /// From the values of [`KEYS`], in their order.
            pub(super) fn fill<'a>(mut values: impl Iterator<Item = &'a Value>) -> Option<Self> {
                Some(Self { $( $section: $Section { $( $key: FromValue::from_value(values.next()?)?, )+ }, )+ })
            }
        }
    };
}

table! {
    /// The process.
    server = "server": Server {
        /// Addresses to listen on; :: alone serves IPv6 and IPv4.
        bind: Vec<IpAddr> = Kind::List(Rule::Address, 16), Preset::List(&["0.0.0.0"]), nms "BIND_ADDR";
        /// What the shards wait with; auto: io_uring where it works, epoll elsewhere.
        backend: Backend = Kind::Choice(Backend::WORDS), word("auto");
        /// CPUs to run a shard on, such as 0-3,6; empty: all that the process may use.
        cores: Cpus = Kind::List(Rule::Cpus, 256), Preset::List(&[]);
        /// Most connections of all kinds together.
        max_connections: usize = range(1, 10_000_000), number(100_000);
        /// Length of the queue of connections not yet accepted, for each port on each shard.
        backlog: u32 = range(1, 65_535), number(4_096);
        /// Time that sessions get to end when the server is told to stop.
        drain_limit_ms: Duration = MS, number(10_000);
        /// Time that the shards get to come up.
        startup_timeout_ms: Duration = range(100, MS_PER_HOUR), number(10_000);
        /// Time from accepting a connection to its complete publish or play request, handshakes included.
        request_timeout_ms: Duration = range(100, MS_PER_HOUR), number(10_000);
        /// Bytes that a connection may send before its publish or play request is complete.
        request_bytes: usize = range(8 * KIB, 16 * MIB), number(64 * KIB);
        /// Longest application and longest stream name, in bytes.
        name_bytes: usize = range(1, 512), number(255);
    }
    /// What the server writes to standard error.
    log = "log": Log {
        /// How much.
        level: LogLevel = Kind::Choice(LogLevel::WORDS), word("info"), nms "LOG_LEVEL";
        /// For people, or one JSON object a line.
        format: LogFormat = Kind::Choice(LogFormat::WORDS), word("text");
    }
    /// RTMP: publishing and playing.
    rtmp = "rtmp": Rtmp {
        /// Whether it is served.
        enabled: bool = FLAG, ON;
        /// TCP port; 0: a free one, named in the log.
        port: u16 = PORT, number(1935), nms "RTMP_PORT";
        /// Chunk size that peers are sent, in bytes.
        chunk_size: u32 = range(128, 65_536), number(60_000), nms "RTMP_CHUNK_SIZE";
        /// How HEVC and Opus are written for players; auto: by fourCC if the player announced it.
        codec_form: CodecForm = Kind::Choice(CodecForm::WORDS), word("auto");
        /// Largest RTMP message or FLV tag accepted, in bytes; one picture must fit.
        message_bytes: usize = range(64 * KIB, 16 * MIB - 1), number(8 * MIB);
    }
    /// RTMP inside TLS.
    rtmps = "rtmps": Rtmps {
        /// Whether it is served; needs tls.cert_file and tls.key_file.
        enabled: bool = FLAG, OFF;
        /// TCP port; 0: a free one. 443 is common too, but needs a privilege.
        port: u16 = PORT, number(1936);
    }
    /// HTTP: FLV over HTTP and WebSocket, and the page.
    http = "http": Http {
        /// Whether it is served.
        enabled: bool = FLAG, ON;
        /// TCP port; 0: a free one, named in the log.
        port: u16 = PORT, number(8000), nms "HTTP_PORT";
        /// How HEVC and Opus are written for players; auto is legacy here, for HTTP announces nothing.
        codec_form: CodecForm = Kind::Choice(CodecForm::WORDS), word("auto");
        /// Pages of which origins may read streams: echo allows all, none sends no header.
        allow_origin: String = Kind::Text(Rule::AllowOrigin), word("echo");
        /// How long an idle connection is kept for another request.
        keep_alive_ms: Duration = range(0, MS_PER_HOUR), number(15_000);
        /// Time between WebSocket pings to an idle peer.
        ws_ping_ms: Duration = range(1_000, MS_PER_HOUR), number(20_000);
    }
    /// HTTP inside TLS.
    https = "https": Https {
        /// Whether it is served; needs tls.cert_file and tls.key_file.
        enabled: bool = FLAG, OFF;
        /// TCP port; 0: a free one, named in the log.
        port: u16 = PORT, number(8443), nms "HTTPS_PORT";
    }
    /// Certificate for RTMPS and HTTPS.
    tls = "tls": Tls {
        /// Certificate chain in PEM, the server's own first.
        cert_file: Option<PathBuf> = FILE, word(""), nms "CERT_FILE";
        /// Its private key in PEM.
        key_file: Option<PathBuf> = FILE, word(""), nms "KEY_FILE";
        /// How often the files are looked at for changes; SIGHUP does so at once.
        reload_check_ms: Duration = range(1_000, 24 * MS_PER_HOUR), number(60_000);
    }
    /// The cache that lets a viewer start at once.
    gop = "gop": Gop {
        /// Whether viewers start with the newest complete GOP; otherwise at the next keyframe.
        cache: bool = FLAG, ON, nms "GOP_CACHE";
        /// Most bytes of payload that a stream keeps.
        max_bytes: usize = range(64 * KIB, GIB), number(16 * MIB);
        /// Longest span that a stream keeps.
        max_ms: Duration = range(100, 600_000), number(15_000);
    }
    /// Publishers.
    publish = "publish": Publish {
        /// Who may publish what: the stream must fit one of these.
        allow: Vec<Pattern> = PATTERNS, EVERYTHING;
        /// What a second publisher of a name does.
        on_conflict: OnConflict = Kind::Choice(ON_CONFLICT), word("refuse");
        /// How long it waits under on_conflict = wait, before it is refused.
        conflict_wait_ms: Duration = MS, number(5_000);
        /// How long viewers are kept after a publisher's connection broke.
        grace_ms: Duration = MS, number(10_000);
        /// Whether they are also kept when the publisher ended properly.
        grace_after_end: bool = FLAG, OFF;
        /// A publisher that sends no media for this long is closed.
        idle_timeout_ms: Duration = range(1_000, MS_PER_HOUR), number(30_000);
    }
    /// Viewers.
    play = "play": Play {
        /// Who may play what: the stream must fit one of these.
        allow: Vec<Pattern> = PATTERNS, EVERYTHING;
        /// How long a viewer waits for a publisher; 0: not at all.
        wait_ms: Duration = MS, number(0);
        /// How long the first byte waits for the second kind of track.
        settle_ms: Duration = range(0, 10_000), number(1_000);
        /// Latency class of viewers that ask for none.
        class: LatencyClass = Kind::Choice(CLASSES), word("normal");
        /// A viewer that takes no byte for this long while there is something to send is closed.
        stuck_timeout_ms: Duration = range(1_000, MS_PER_HOUR), number(30_000);
        /// Size of a viewer's send buffer in the kernel, in bytes; 0 leaves it to the system.
        send_buffer_bytes: usize = range(0, 64 * MIB), number(0);
        /// Bytes that the kernel may hold for a viewer and not send yet; 0 leaves it to the system.
        unsent_bytes: u32 = range(0, 64 * MIB), number(128 * KIB);
    }
    /// Latency class live: each packet leaves at once.
    latency_live = "latency.live": LatencyLive {
        /// Time between two writes to a viewer; 0: each packet as it comes.
        tick_ms: Duration = range(0, 1_000), number(0);
        /// How far a viewer may fall behind before it skips to a keyframe.
        budget_ms: Duration = range(100, 600_000), number(2_000);
        /// The same in bytes.
        budget_bytes: usize = range(64 * KIB, GIB), number(4 * MIB);
        /// Off: a small write waits until the one before it has arrived; fewer packets, up to a round trip of delay.
        nodelay: bool = FLAG, ON;
    }
    /// Latency class normal: a few packets a write.
    latency_normal = "latency.normal": LatencyNormal {
        /// Time between two writes to a viewer.
        tick_ms: Duration = range(0, 1_000), number(40);
        /// How far a viewer may fall behind before it skips to a keyframe.
        budget_ms: Duration = range(100, 600_000), number(6_000);
        /// The same in bytes.
        budget_bytes: usize = range(64 * KIB, GIB), number(8 * MIB);
        /// Off: a small write waits until the one before it has arrived; fewer packets, up to a round trip of delay.
        nodelay: bool = FLAG, ON;
    }
    /// Latency class bulk: many packets a write.
    latency_bulk = "latency.bulk": LatencyBulk {
        /// Time between two writes to a viewer.
        tick_ms: Duration = range(0, 1_000), number(350);
        /// How far a viewer may fall behind before it skips to a keyframe.
        budget_ms: Duration = range(100, 600_000), number(15_000);
        /// The same in bytes.
        budget_bytes: usize = range(64 * KIB, GIB), number(16 * MIB);
        /// Off: a small write waits until the one before it has arrived; fewer packets, up to a round trip of delay.
        nodelay: bool = FLAG, ON;
    }
    /// Several cores serving one stream.
    mirror = "mirror": Mirror {
        /// Viewers of a stream from which other shards mirror it instead of handing viewers over; 0: always.
        threshold: usize = range(0, 10_000_000), number(100);
        /// Length of each queue between two shards, in messages.
        queue: usize = range(64, 65_536), number(4_096);
    }
    /// Who may publish and play. All checks that are on must agree; sign, keys and jwt are alternatives.
    auth = "auth": Auth {
        /// Which check comes first; those not named follow in this order.
        order: Vec<CheckName> = Kind::Words(CheckName::WORDS), Preset::List(CheckName::WORDS);
        /// Publishers need a signed address: sign=expiry-md5.
        sign_publish: bool = FLAG, OFF, nms "AUTH_PUSH";
        /// Viewers need a signed address.
        sign_play: bool = FLAG, OFF, nms "AUTH_PLAY";
        /// Peers on this machine need none.
        sign_exempt_localhost: bool = FLAG, OFF;
        /// Secret of signed addresses.
        secret: String = Kind::Text(Rule::Plain), word(""), nms "AUTH_KEY";
        /// Another that is good too, while secrets are changed.
        second_secret: String = Kind::Text(Rule::Plain), word("");
        /// Secrets of applications, as app=secret; several of one are all good.
        secrets: Vec<String> = Kind::List(Rule::Pair, 1_000), Preset::List(&[]);
        /// Fixed keys, as publish live/* KEY; play or both in place of publish.
        keys: Vec<String> = Kind::List(Rule::StreamKey, 10_000), Preset::List(&[]);
        /// Parameter of the URL that carries a fixed key.
        key_parameter: String = Kind::Text(Rule::Word), word("key");
        /// Publishers need a token (JWT).
        jwt_publish: bool = FLAG, OFF;
        /// Viewers need a token.
        jwt_play: bool = FLAG, OFF;
        /// Parameter of the URL that carries a token.
        jwt_parameter: String = Kind::Text(Rule::Word), word("token");
        /// Secret of tokens by HS256.
        jwt_secret: String = Kind::Text(Rule::Plain), word("");
        /// Public key in PEM for tokens by RS256 or ES256.
        jwt_key_file: Option<PathBuf> = FILE, word("");
        /// Set of public keys (JWKS): a file, or an address that begins with http.
        jwks: String = Kind::Text(Rule::Plain), word("");
        /// How often the set is read again.
        jwks_refresh_ms: Duration = range(1_000, 24 * MS_PER_HOUR), number(300_000);
        /// How far the clocks of those who make tokens may be off.
        jwt_leeway_ms: Duration = range(0, MS_PER_HOUR), number(0);
        /// Networks that publishers come from; empty: any.
        publish_allow: Vec<IpNet> = NETWORKS, Preset::List(&[]);
        /// Networks that publishers do not come from.
        publish_deny: Vec<IpNet> = NETWORKS, Preset::List(&[]);
        /// Networks that viewers come from; empty: any.
        play_allow: Vec<IpNet> = NETWORKS, Preset::List(&[]);
        /// Networks that viewers do not come from.
        play_deny: Vec<IpNet> = NETWORKS, Preset::List(&[]);
        /// Push keys, as app/key=app/name: published by the key alone, played by the name alone.
        names: Vec<String> = Kind::List(Rule::NamePair, 10_000), Preset::List(&[]);
    }
    /// HTTP callbacks.
    notify = "notify": Notify {
        /// Address that is told and asked; empty: none.
        url: String = Kind::Text(Rule::Url), word(""), nms "NOTIFY_URL";
        /// What it is told and asked.
        actions: Vec<String> = Kind::Words(ACTIONS), Preset::List(ACTIONS);
        /// What its bodies are signed with, by HMAC-SHA256; empty: they are not.
        secret: String = Kind::Text(Rule::Plain), word("");
        /// More targets, each an address with actions=, streams= and secret= behind it as needed.
        targets: Vec<String> = Kind::List(Rule::Target, 64), Preset::List(&[]);
        /// How long a target may take to answer.
        timeout_ms: Duration = range(100, 60_000), number(5_000);
        /// What becomes of a question to a target that does not answer.
        unreachable: Unreachable = Kind::Choice(Unreachable::WORDS), word("refuse");
        /// Facts that may wait for one target on disk; past it the oldest is given up.
        max_waiting: u64 = range(10, 100_000_000), number(1_000_000);
        /// How old a fact may become before it is given up.
        max_age_ms: Duration = range(1_000, 720 * MS_PER_HOUR), number(24 * MS_PER_HOUR);
    }
    /// Upper bounds of the whole process.
    limits = "limits": Limits {
        /// Streams with a publisher or waiting viewers.
        streams: usize = range(1, 10_000_000), number(20_000);
        /// Viewers waiting for a publisher.
        waiting: usize = range(1, 10_000_000), number(10_000);
        /// Formats of one stream that are made at the same time.
        renditions: usize = range(1, 1_024), number(32);
        /// Ended sessions that the statistics still show.
        ended_sessions: usize = range(1, 100_000), number(256);
        /// Publishers from one address; 0: any number.
        publishers_per_address: usize = range(0, 1_000_000), number(0);
        /// Viewers from one address; 0: any number.
        viewers_per_address: usize = range(0, 1_000_000), number(0);
        /// Publishers of one user; 0: any number.
        publishers_per_user: usize = range(0, 1_000_000), number(0);
        /// Viewers of one user; 0: any number.
        viewers_per_user: usize = range(0, 1_000_000), number(0);
        /// Viewers of one stream; 0: any number.
        viewers_per_stream: usize = range(0, 10_000_000), number(0);
        /// Events that may wait to be written down or told; past it nobody new is admitted.
        events: usize = range(16, 10_000_000), number(65_536);
    }
    /// Repairing the stamps of publishers.
    timeline = "timeline": Timeline {
        /// A step forward larger than this, beyond the time that really passed, is a jump.
        jump_forward_ms: Duration = range(100, MS_PER_HOUR), number(10_000);
        /// A step back larger than this is a jump; a smaller one is held at the last stamp.
        jump_back_ms: Duration = range(1, MS_PER_HOUR), number(500);
    }
    /// The admin API, for operators; also at the HTTP ports under /api.
    admin = "admin": Admin {
        /// Whether it is served.
        enabled: bool = FLAG, ON, nms "HTTP_API";
        /// Address of its own.
        bind: IpAddr = ADDRESS, word("127.0.0.1");
        /// TCP port of its own; 0: a free one, named in the log.
        port: u16 = PORT, number(8001);
        /// What may be asked without a token at its own address.
        anonymous: AnonymousReads = Kind::Choice(AnonymousReads::WORDS), word("none");
        /// Networks that may use it, such as 10.0.0.0/8; empty: any.
        allow: Vec<IpNet> = NETWORKS, Preset::List(&[]);
        /// Node Media Server's login and its version 2 routes.
        nms_api: bool = FLAG, OFF;
        /// Most connections at a time, to its own address and from the HTTP ports each.
        max_connections: usize = range(1, 100_000), number(1_000);
        /// Folder for users, tokens and the audit log, made at need; empty: they last as long as the process.
        data_dir: Option<PathBuf> = FILE, word("data");
        /// How often the configuration file is looked at for changes; 0: only at SIGHUP and by the API.
        reload_check_ms: Duration = range(0, 24 * MS_PER_HOUR), number(2_000);
    }
    /// The engine.
    engine = "engine": Engine {
        /// A format without viewers is dropped after this.
        rendition_idle_ms: Duration = range(0, MS_PER_HOUR), number(5_000);
        /// How long the decision on a request may take before it is refused as unavailable.
        admission_timeout_ms: Duration = range(100, MS_PER_HOUR), number(10_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_fits_its_type() {
        let values: Vec<Value> = KEYS.iter().map(|key| key.preset.value()).collect();
        for (key, value) in KEYS.iter().zip(&values) {
            let raw = match value {
                Value::Flag(flag) => super::super::value::Raw::Flag(*flag),
                Value::Number(number) => super::super::value::Raw::Number((*number).into()),
                Value::Text(text) => super::super::value::Raw::Text(text.clone()),
                Value::List(items) => super::super::value::Raw::Untyped(items.join(",")),
            };
            assert_eq!(key.kind.accept(&raw).as_ref(), Some(value), "{}", key.path);
        }
        assert!(Settings::fill(values.iter()).is_some());
    }

    #[test]
    fn both_ends_of_every_range_fit_its_type() {
        for at in 0..KEYS.len() {
            let Kind::Number { min, max } = KEYS[at].kind else { continue };
            for end in [min, max] {
                let mut values: Vec<Value> = KEYS.iter().map(|key| key.preset.value()).collect();
                values[at] = Value::Number(end);
                assert!(Settings::fill(values.iter()).is_some(), "{} = {end}", KEYS[at].path);
            }
        }
    }

    #[test]
    fn every_key_says_what_it_is_in_one_plain_line() {
        for key in KEYS {
            let line = !key.help.contains(['\n', '|', '`']) && key.help.len() <= 110;
            assert!(line && key.help.ends_with('.'), "{}: {}", key.path, key.help);
            let timed = matches!(key.kind, Kind::Number { .. }) && key.name.ends_with("_ms");
            assert_eq!(timed, key.name.ends_with("_ms"), "{}", key.path);
        }
    }

    #[test]
    fn every_word_is_a_variant() {
        for key in KEYS {
            let Kind::Choice(words) = key.kind else { continue };
            for word in words {
                let mut values: Vec<Value> = KEYS.iter().map(|key| key.preset.value()).collect();
                let at = KEYS.iter().position(|other| other.path == key.path).unwrap();
                values[at] = Value::Text((*word).to_owned());
                assert!(Settings::fill(values.iter()).is_some(), "{} = {word}", key.path);
            }
        }
    }
}
