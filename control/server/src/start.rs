//! From the configuration to running shards: the one place where drivers, engine and configuration meet.

use crate::web;
use control::config::{Backend as BackendChoice, CodecForm, Origin, Resolved, Settings};
use drivers::tls::Certificates;
use drivers::{ListenerConfig, Running, Speaks, Start, StartError};
use rt::Backend;
use std::net::SocketAddr;
use std::sync::Arc;

/// Descriptors that the process needs beside its connections: listeners, rings, logs, files.
const SPARE_DESCRIPTORS: u64 = 256;

/// The executor to run on.
///
/// # Errors
/// One line, if io_uring was asked for and cannot be had.
pub fn backend(choice: BackendChoice, shards: usize) -> Result<Backend, String> {
    if choice == BackendChoice::Epoll {
        return Ok(Backend::Epoll);
    }
    match (rt::probe_uring(shards), choice) {
        (Ok(()), _) => Ok(Backend::Uring),
        (Err(why), BackendChoice::IoUring) => Err(format!(
            "server.backend = io_uring, but io_uring cannot be had: {}; {}, or set server.backend = auto",
            why.why, why.remedy
        )),
        (Err(why), _) => {
            tracing::warn!(why = why.why, remedy = why.remedy, "io_uring cannot be had; running on epoll");
            Ok(Backend::Epoll)
        }
    }
}

/// Cores to run a shard on each.
///
/// # Errors
/// One line, if a configured core is not there.
pub fn cores(configured: &[usize]) -> Result<Vec<usize>, String> {
    let there = rt::online_cpus();
    if configured.is_empty() {
        return Ok(if there.is_empty() { vec![0] } else { there });
    }
    match configured.iter().find(|core| !there.contains(core)) {
        Some(core) => Err(format!("server.cores names core {core}, but this process may run on {there:?}")),
        None => Ok(configured.to_vec()),
    }
}

/// Raises the limits of the process as far as the system allows. Gives the number of connections that there are
/// descriptors for; fewer than the default are served with a warning.
///
/// # Errors
/// One line, if somebody asked for more connections than there are descriptors.
pub fn raise_limits(config: &Resolved) -> Result<usize, String> {
    let max_connections = config.settings().server.max_connections;
    if let Err(error) = rt::limits::raise_memlock() {
        tracing::debug!(%error, "the limit of locked memory stays as it is");
    }
    let want = (max_connections as u64).saturating_add(SPARE_DESCRIPTORS);
    let have = rt::limits::raise_nofile(want).unwrap_or_else(|_| rt::limits::nofile().0);
    if let Err(error) = rt::limits::reserve_files(want) {
        tracing::debug!(%error, "the table of open files grows as it is needed");
    }
    let room = usize::try_from(have.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX);
    if room >= max_connections {
        return Ok(max_connections);
    }
    if room == 0 || config.origin("server.max_connections") != Some(&Origin::Default) {
        return Err(format!(
            "server.max_connections = {max_connections} needs {want} file descriptors, the system allows {have}: \
             raise it (`ulimit -Hn {want}`, or LimitNOFILE={want} in the systemd unit) or set \
             server.max_connections = {room}"
        ));
    }
    tracing::warn!(
        connections = room,
        descriptors = have,
        "the system allows too few file descriptors for server.max_connections = {max_connections}; raise it with \
         `ulimit -Hn {want}`, or LimitNOFILE={want} in the systemd unit"
    );
    Ok(room)
}

/// Reads the certificate and the key, if something is to be inside TLS.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub fn certificates(config: &Settings) -> Result<Option<Arc<Certificates>>, String> {
    if !config.rtmps.enabled && !config.https.enabled {
        return Ok(None);
    }
    match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(cert), Some(key)) => Certificates::load(cert, key).map(Arc::new).map(Some),
        _ => Err("rtmps or https is on, but tls.cert_file or tls.key_file is not set".into()),
    }
}

/// Starts the shards.
///
/// # Errors
/// One line with the remedy.
pub fn start(
    resolved: &Resolved,
    max_connections: usize,
    backend: Backend,
    cores: &[usize],
    certificates: Option<Arc<Certificates>>,
) -> Result<Running, String> {
    let config = resolved.settings();
    let mut engine = resolved.engine(cores.len());
    engine.limits.sessions = max_connections;
    let start = Start {
        backend,
        cores: cores.iter().copied().map(Some).collect(),
        engine,
        drivers: drivers(config, certificates),
        startup_timeout: config.server.startup_timeout_ms,
    };
    drivers::start(start).map_err(|error| match error {
        StartError::Bind { listener, error } => bind_error(listener.addr, key_of(listener), &error),
        StartError::Shard { .. } => error.to_string(),
    })
}

/// Why an address cannot be listened on, and what to do.
pub fn bind_error(addr: SocketAddr, key: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "{addr} is in use by another program: stop it (`ss -ltnp 'sport = :{port}'` names it) or set {key} to \
             another port",
            port = addr.port()
        ),
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "not allowed to listen on {addr}: ports below 1024 need CAP_NET_BIND_SERVICE, or set {key}"
            )
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no address {}: correct server.bind", addr.ip())
        }
        _ => format!("cannot listen on {addr} ({key}): {error}"),
    }
}

const fn key_of(listener: ListenerConfig) -> &'static str {
    match (listener.speaks, listener.tls) {
        (Speaks::Rtmp, false) => "rtmp.port",
        (Speaks::Rtmp, true) => "rtmps.port",
        (Speaks::Http, false) => "http.port",
        (Speaks::Http, true) => "https.port",
    }
}

/// What the drivers are told.
pub fn drivers(config: &Settings, certificates: Option<Arc<Certificates>>) -> drivers::Config {
    let ports = [
        (config.rtmp.enabled, Speaks::Rtmp, false, config.rtmp.port),
        (config.rtmps.enabled, Speaks::Rtmp, true, config.rtmps.port),
        (config.http.enabled, Speaks::Http, false, config.http.port),
        (config.https.enabled, Speaks::Http, true, config.https.port),
    ];
    let mut listeners = Vec::new();
    for (_, speaks, tls, port) in ports.into_iter().filter(|(enabled, ..)| *enabled) {
        for ip in &config.server.bind {
            listeners.push(ListenerConfig { speaks, tls, addr: SocketAddr::new(*ip, port) });
        }
    }
    drivers::Config {
        listeners,
        certificates,
        backlog: config.server.backlog,
        request_timeout: config.server.request_timeout_ms,
        request_bytes: config.server.request_bytes,
        keep_alive: config.http.keep_alive_ms,
        name_bytes: config.server.name_bytes,
        rtmp_chunk_size: config.rtmp.chunk_size,
        message_bytes: config.rtmp.message_bytes,
        rtmp_codec_form: form(config.rtmp.codec_form),
        http_codec_form: form(config.http.codec_form),
        http_allow_origin: match config.http.allow_origin.as_str() {
            "echo" => None,
            "none" => Some(String::new()),
            origin => Some(origin.to_owned()),
        },
        ws_ping: config.http.ws_ping_ms,
        control_paths: if config.admin.enabled { control::api::PATHS } else { &[] },
        assets: web::ASSETS,
    }
}

const fn form(form: CodecForm) -> drivers::CodecForm {
    match form {
        CodecForm::Auto => drivers::CodecForm::Auto,
        CodecForm::Fourcc => drivers::CodecForm::Fourcc,
        CodecForm::Legacy => drivers::CodecForm::Legacy,
    }
}
