//! The life of the server: start, serve, drain.

use crate::control_side::{ControlSide, Given};
use crate::signals::{Signals, Told};
use crate::{logging, start};
use control::api::{About, Api};
use control::audit::Action;
use control::config::{Resolved, Settings, Sources};
use drivers::tls::Certificates;
use drivers::{Running, Speaks};
use engine::Handle;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the control thread looks whether all shards are alive.
const LOOK: Duration = Duration::from_millis(200);
/// How long what is left may take when a shard is gone: a supervisor waits.
const BROKEN_DRAIN: Duration = Duration::from_secs(5);
/// What an ended drain may take beyond its limit, for the goodbyes.
const DRAIN_SLACK: Duration = Duration::from_secs(2);

/// Runs the server to its end.
pub fn serve(sources: Sources, config: Resolved) -> ExitCode {
    logging::start(&config.settings().log);
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    match run(sources, &config) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("shardcast: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(sources: Sources, resolved: &Resolved) -> Result<ExitCode, String> {
    let config = resolved.settings();
    let cores = start::cores(&config.server.cores.0)?;
    let max_connections = start::raise_limits(resolved)?;
    let backend = start::backend(config.server.backend, cores.len())?;
    let certificates = start::certificates(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_name("control")
        .build()
        .map_err(|error| format!("the control thread cannot start: {error}"))?;
    let admin = admin_listener(config)?;
    let prepared = ControlSide::prepare(config)?;
    let running = start::start(resolved, max_connections, backend, &cores, certificates.clone())?;
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        backend: backend.to_string(),
        started_at: SystemTime::now(),
        pid: std::process::id(),
    };
    tracing::info!(version = about.version, backend = about.backend, shards = cores.len(), ?cores, "serving");
    runtime.block_on(async move {
        let mut signals = Signals::listen().map_err(|error| format!("signals: {error}"))?;
        let given = Given {
            handle: running.handle.clone(),
            about,
            sources,
            resolved: resolved.clone(),
            shards: cores.len(),
            max_connections,
            certificates: certificates.clone(),
            listener: admin,
        };
        let (side, password) = prepared.start(given)?;
        if let Some(certificates) = certificates.clone() {
            tokio::spawn(watch(certificates, config.tls.reload_check_ms));
        }
        if let Some(path) = side.live.sources().file.clone() {
            tokio::spawn(watch_file(Arc::clone(&side.api), path));
        }
        banner(config, &running, password.as_deref());
        let code = until_end(running, &mut signals, certificates, &side.api).await;
        side.end();
        Ok(code)
    })
}

async fn until_end(
    running: Running,
    signals: &mut Signals,
    certificates: Option<Arc<Certificates>>,
    api: &Arc<Api>,
) -> ExitCode {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Reload => {
                    let (certificates, api) = (certificates.clone(), Arc::clone(api));
                    tokio::task::spawn_blocking(move || {
                        reload(certificates.as_deref());
                        reload_config(&api, "reload by SIGHUP");
                    });
                }
                Told::End => {
                    api.drain();
                    let limit = api.config.now().settings().server.drain_limit_ms;
                    return drain(running, limit, signals, false).await;
                }
            },
            () = tokio::time::sleep(LOOK) => {
                if running.any_ended() {
                    // Its own words are in the log; a supervisor starts the process again.
                    eprintln!("shardcast: a shard ended unexpectedly; the server stops");
                    api.drain();
                    return drain(running, BROKEN_DRAIN, signals, true).await;
                }
            }
        }
    }
}

fn reload_config(api: &Api, action: &str) {
    let (detail, status) = match api.config.reload() {
        Ok(change) if change.applied.is_empty() && change.needs_restart.is_empty() => {
            tracing::info!("configuration read again; nothing has changed");
            return;
        }
        Ok(change) => (change.applied.join(" "), 200),
        Err(why) => {
            tracing::error!(%why, "the new configuration is no good; the old one stays in force");
            ("refused: the log says why".to_owned(), 400)
        }
    };
    let (user, peer, action) = (String::new(), String::new(), action.to_owned());
    api.audit.note(Action { at: SystemTime::now(), user, peer, action, detail, status });
}

/// Reads the configuration again when its file has changed.
async fn watch_file(api: Arc<Api>, path: std::path::PathBuf) {
    let mut known = stamp(&path);
    loop {
        let every = api.config.now().settings().admin.reload_check_ms;
        tokio::time::sleep(if every.is_zero() { Duration::from_secs(1) } else { every }).await;
        let now = stamp(&path);
        if every.is_zero() || now == known {
            continue;
        }
        known = now;
        let api = Arc::clone(&api);
        // Files are read off this thread.
        let _ = tokio::task::spawn_blocking(move || reload_config(&api, "reload of a changed file")).await;
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// `broken`: a shard is gone already, and what is left only ends in order.
async fn drain(running: Running, limit: Duration, signals: &mut Signals, broken: bool) -> ExitCode {
    tracing::info!(limit_ms = limit.as_millis(), "draining: nothing new is accepted, everybody is told");
    let handle: Handle = running.handle.clone();
    handle.drain(limit);
    let ended = tokio::task::spawn_blocking(move || running.join());
    tokio::select! {
        result = tokio::time::timeout(limit.saturating_add(DRAIN_SLACK), ended) => match result {
            Ok(Ok(Err(why))) => {
                tracing::error!(why, "a shard did not end well");
                ExitCode::FAILURE
            }
            Ok(_) if broken => ExitCode::FAILURE,
            Ok(_) => {
                tracing::info!("drained");
                ExitCode::SUCCESS
            }
            Err(_) => {
                tracing::warn!("the limit of the drain is over; what is left is cut off");
                std::process::exit(i32::from(broken))
            }
        },
        () = end_again(signals) => std::process::exit(130),
    }
}

async fn end_again(signals: &mut Signals) {
    while signals.next().await != Told::End {}
}

async fn watch(certificates: Arc<Certificates>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let certificates = Arc::clone(&certificates);
        // Files are read off this thread.
        let read = tokio::task::spawn_blocking(move || reload(Some(&certificates))).await;
        if let Err(error) = read {
            tracing::error!(%error, "the certificate could not be looked at");
        }
    }
}

fn reload(certificates: Option<&Certificates>) {
    match certificates.map(Certificates::reload) {
        Some(Ok(true)) => tracing::info!("certificate reloaded; connections that exist keep the old one"),
        Some(Err(why)) => tracing::error!(why, "the new certificate is no good; the old one stays in force"),
        Some(Ok(false)) | None => {}
    }
}

fn admin_listener(config: &Settings) -> Result<Option<std::net::TcpListener>, String> {
    if !config.admin.enabled {
        return Ok(None);
    }
    let addr = SocketAddr::new(config.admin.bind, config.admin.port);
    let listener = std::net::TcpListener::bind(addr)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| start::bind_error(addr, "admin.port", &error))?;
    if let Ok(addr) = listener.local_addr() {
        tracing::info!(%addr, "admin API");
    }
    Ok(Some(listener))
}

/// Says where to push and where to watch.
fn banner(config: &Settings, running: &Running, password: Option<&str>) {
    let mut out = std::io::stdout().lock();
    let mut lines = Vec::new();
    for (listener, addr) in &running.addresses {
        let host = shown_host(addr.ip());
        let port = addr.port();
        lines.push(match (listener.speaks, listener.tls) {
            (Speaks::Rtmp, false) => format!("push and play  rtmp://{host}:{port}/live/NAME"),
            (Speaks::Rtmp, true) => format!("push and play  rtmps://{host}:{port}/live/NAME"),
            (Speaks::Http, false) => format!(
                "watch          http://{host}:{port}/live/NAME.flv   ws://{host}:{port}/live/NAME.flv   page http://{host}:{port}/"
            ),
            (Speaks::Http, true) => format!(
                "watch          https://{host}:{port}/live/NAME.flv   wss://{host}:{port}/live/NAME.flv"
            ),
        });
    }
    if config.admin.enabled {
        let host = shown_host(config.admin.bind);
        lines.push(format!("admin API      http://{host}:{}/api/v1/openapi.json", config.admin.port));
    }
    if let Some(password) = password {
        lines.push(format!(
            "first login    admin / {password}   (shown this once; PUT /api/v1/users/admin changes it)"
        ));
    }
    // Nobody may be reading.
    let _ = writeln!(out, "Shardcast {} is up\n  {}", env!("CARGO_PKG_VERSION"), lines.join("\n  "));
}

/// An address that a player on this machine can use.
fn shown_host(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
