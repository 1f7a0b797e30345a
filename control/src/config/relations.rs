//! What the settings must be to each other.

use super::error::ConfigError;
use super::resolved::Resolved;
use super::table::Settings;
use super::typed::AnonymousReads;
use std::collections::HashSet;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Checks; the first contradiction is told.
pub(super) fn check(resolved: &Resolved) -> Result<(), ConfigError> {
    something_is_served(resolved)?;
    ports_differ(resolved)?;
    certificate_is_there(resolved)?;
    classes_can_keep_their_pace(resolved)?;
    secrets_are_there(resolved)?;
    targets_differ(resolved)
}

/// What is allowed but hardly meant, a line each.
pub(super) fn odd(settings: &Settings) -> Vec<String> {
    let Settings { rtmp, rtmps, https, tls, gop, publish, play, admin, .. } = settings;
    let mut notes = Vec::new();
    if gop.cache && gop.max_bytes < rtmp.message_bytes {
        notes.push(
            "gop.max_bytes is less than rtmp.message_bytes: a stream with a picture larger than the cache starts late"
                .into(),
        );
    }
    if (tls.cert_file.is_some() || tls.key_file.is_some()) && !rtmps.enabled && !https.enabled {
        notes.push(
            "tls.cert_file and tls.key_file are not used, for rtmps.enabled and https.enabled are false"
                .into(),
        );
    }
    for (key, allow, what) in
        [("publish.allow", &publish.allow, "publish"), ("play.allow", &play.allow, "play")]
    {
        if allow.is_empty() {
            notes.push(format!("{key} is empty: nobody may {what}"));
        }
    }
    if admin.enabled && !admin.bind.is_loopback() && admin.anonymous == AnonymousReads::Read {
        notes.push(format!(
            "admin.bind is {} and admin.anonymous = read: whoever reaches it may read all",
            admin.bind
        ));
    }
    notes
}

/// Two entries of one address would be told, and asked, as one: the second one's filters and secret would be lost.
fn targets_differ(resolved: &Resolved) -> Result<(), ConfigError> {
    let notify = &resolved.settings().notify;
    let first = Some(notify.url.as_str()).filter(|url| !url.is_empty());
    let more = notify.targets.iter().filter_map(|text| text.split_whitespace().next());
    let mut seen = HashSet::new();
    if first.into_iter().chain(more).all(|url| seen.insert(url)) {
        return Ok(());
    }
    Err(resolved.wrong(
        "notify.targets",
        "name each address once, and not that of notify.url: put all actions and streams behind it",
    ))
}

fn something_is_served(resolved: &Resolved) -> Result<(), ConfigError> {
    let Settings { server, rtmp, rtmps, http, https, .. } = resolved.settings();
    if !(rtmp.enabled || rtmps.enabled || http.enabled || https.enabled) {
        return Err(resolved
            .wrong("rtmp.enabled", "be true, or rtmps, http or https be enabled: nothing would be served"));
    }
    if server.bind.is_empty() {
        return Err(resolved.wrong("server.bind", "name at least one address"));
    }
    Ok(())
}

fn ports_differ(resolved: &Resolved) -> Result<(), ConfigError> {
    let Settings { server, rtmp, rtmps, http, https, admin, .. } = resolved.settings();
    let public = &server.bind[..];
    let admin_bind = [admin.bind];
    let ports = [
        ("rtmp.port", rtmp.enabled, rtmp.port, public),
        ("rtmps.port", rtmps.enabled, rtmps.port, public),
        ("http.port", http.enabled, http.port, public),
        ("https.port", https.enabled, https.port, public),
        ("admin.port", admin.enabled, admin.port, &admin_bind[..]),
    ];
    let mut seen: Vec<(&'static str, u16, &[IpAddr])> = Vec::new();
    for (key, _, port, addresses) in ports.into_iter().filter(|(_, enabled, port, _)| *enabled && *port != 0)
    {
        let taken = seen.iter().find(|(_, other, there)| *other == port && overlap(addresses, there));
        if let Some((other, ..)) = taken {
            return Err(resolved.wrong(key, format!("differ from {other}")));
        }
        seen.push((key, port, addresses));
    }
    let mut addresses = server.bind.clone();
    addresses.sort();
    addresses.dedup();
    if addresses.len() != server.bind.len() {
        return Err(resolved.wrong("server.bind", "name each address once"));
    }
    if addresses.len() > 1 && addresses.iter().any(IpAddr::is_unspecified) {
        return Err(
            resolved.wrong("server.bind", "stand alone where it is :: or 0.0.0.0 (:: alone serves IPv4 too)")
        );
    }
    Ok(())
}

fn overlap(a: &[IpAddr], b: &[IpAddr]) -> bool {
    let any = |addresses: &[IpAddr]| addresses.iter().any(IpAddr::is_unspecified);
    any(a) || any(b) || a.iter().any(|address| b.contains(address))
}

fn certificate_is_there(resolved: &Resolved) -> Result<(), ConfigError> {
    let Settings { rtmps, https, tls, .. } = resolved.settings();
    let needed_by = match (rtmps.enabled, https.enabled) {
        (false, false) => return Ok(()),
        (true, _) => "rtmps.enabled",
        (false, true) => "https.enabled",
    };
    for (key, file) in [("tls.cert_file", &tls.cert_file), ("tls.key_file", &tls.key_file)] {
        match file {
            None => return Err(resolved.wrong(key, format!("name a PEM file, for {needed_by} is true"))),
            Some(path) => readable(path).map_err(|why| resolved.wrong(key, format!("be readable: {why}")))?,
        }
    }
    Ok(())
}

fn readable(path: &Path) -> Result<(), String> {
    let meta = File::open(path).and_then(|file| file.metadata()).map_err(|error| error.to_string())?;
    if meta.is_file() { Ok(()) } else { Err("it is not a file".into()) }
}

/// A check that is on and can be passed by nobody, or by everybody who reads a sample configuration, is not meant.
fn secrets_are_there(resolved: &Resolved) -> Result<(), ConfigError> {
    const SAMPLE: &str = "nodemedia2017privatekey";
    let auth = &resolved.settings().auth;
    let of_apps = auth.secrets.iter().filter_map(|text| text.split_once('=')).map(|(_, secret)| secret);
    let all = [("auth.secret", auth.secret.as_str()), ("auth.second_secret", &auth.second_secret)];
    for (key, secret) in all.into_iter().chain(of_apps.map(|secret| ("auth.secrets", secret))) {
        if secret == SAMPLE {
            return Err(resolved.wrong(key, "be a secret of your own: this one is in a public sample"));
        }
    }
    for (key, on) in [("auth.sign_publish", auth.sign_publish), ("auth.sign_play", auth.sign_play)] {
        if on && auth.secret.is_empty() && auth.second_secret.is_empty() && auth.secrets.is_empty() {
            return Err(resolved.wrong(key, "be false, or auth.secret or auth.secrets be set"));
        }
    }
    for (key, on) in [("auth.jwt_publish", auth.jwt_publish), ("auth.jwt_play", auth.jwt_play)] {
        if on && auth.jwt_secret.is_empty() && auth.jwt_key_file.is_none() && auth.jwks.is_empty() {
            return Err(
                resolved.wrong(key, "be false, or auth.jwt_secret, auth.jwt_key_file or auth.jwks be set")
            );
        }
    }
    Ok(())
}

fn classes_can_keep_their_pace(resolved: &Resolved) -> Result<(), ConfigError> {
    let Settings { latency_live: live, latency_normal: normal, latency_bulk: bulk, play, .. } =
        resolved.settings();
    let classes: [(&'static str, &'static str, Duration, Duration); 3] = [
        ("latency.live.budget_ms", "latency.live.tick_ms", live.budget_ms, live.tick_ms),
        ("latency.normal.budget_ms", "latency.normal.tick_ms", normal.budget_ms, normal.tick_ms),
        ("latency.bulk.budget_ms", "latency.bulk.tick_ms", bulk.budget_ms, bulk.tick_ms),
    ];
    for (key, tick, budget_ms, tick_ms) in classes {
        // A viewer that is written to once in a budget would always look late.
        if budget_ms < tick_ms.saturating_mul(2) {
            let must = format!("be at least twice {tick}, which is {}", tick_ms.as_millis());
            return Err(resolved.wrong(key, must));
        }
        if play.stuck_timeout_ms <= tick_ms {
            return Err(resolved.wrong("play.stuck_timeout_ms", format!("be more than {tick}")));
        }
    }
    Ok(())
}
