//! The environment: `SHARDCAST__RTMP__PORT` for every key, and Node Media Server's own names for those it knows.

use super::table::{KEYS, Key};

/// What our own variables begin with.
const PREFIX: &str = "SHARDCAST__";

/// Node Media Server's variables for what this server does not have (yet); they are named in the log and ignored.
const NMS_IGNORED: &[&str] = &[
    "LICENSE",
    "ADMIN_PANEL",
    "WEB_ROOT",
    "TRANS_AUDIO",
    "CRYPTO_KEY",
    "CRYPTO_RULE",
    "AUTH_API",
    "AUTH_API_USER",
    "AUTH_API_PASS",
    "HLS_LIST",
    "HLS_TIME",
    "HLS_PATH",
    "KMP_PORT",
    "CLUSTER_TYPE",
    "CLUSTER_NODE",
    "CLUSTER_ARGS",
];

/// What names beginning like ours but not naming a key begin with.
const ALMOST: &str = "SHARDCAST_";

/// What an environment says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Key, variable, value; later ones win.
    pub pairs: Vec<(String, String, String)>,
    /// Variables of Node Media Server that were ignored.
    pub ignored: Vec<&'static str>,
    /// Variables that are a key's but for the underscores, and the name that would do.
    pub misspelt: Vec<(String, String)>,
}

/// Reads variables. Node Media Server's come first, so that ours win; theirs are as good as not there when they are empty,
/// for container files pass them on that way.
pub(super) fn read(variables: &[(String, String)]) -> Told {
    let filled = |name: &str| variables.iter().find(|(n, value)| n == name && !value.trim().is_empty());
    let value = |name: &str| filled(name).map(|(_, value)| value.clone());
    let mut told = Told::default();
    for Key { path, nms, .. } in KEYS {
        if let Some(value) = Some(*nms).filter(|nms| !nms.is_empty()).and_then(value) {
            told.pairs.push(((*path).to_owned(), (*nms).to_owned(), value));
        }
    }
    // Node Media Server serves HTTPS when it has a port and a certificate.
    if ["HTTPS_PORT", "KEY_FILE", "CERT_FILE"].iter().all(|name| filled(name).is_some()) {
        told.pairs.push(("https.enabled".into(), "HTTPS_PORT".into(), "true".into()));
    }
    told.ignored = NMS_IGNORED.iter().copied().filter(|name| filled(name).is_some()).collect();
    told.misspelt = variables.iter().filter_map(|(name, _)| Some((name.clone(), meant(name)?))).collect();
    let mut own: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    own.sort();
    for (name, value) in own {
        let path = name.strip_prefix(PREFIX).unwrap_or_default().replace("__", ".").to_ascii_lowercase();
        told.pairs.push((path, name.clone(), value.clone()));
    }
    told
}

/// The variable that was meant by one with single underscores.
fn meant(name: &str) -> Option<String> {
    let rest = name.strip_prefix(ALMOST).filter(|rest| !rest.starts_with('_'))?;
    let plain = |text: &str| text.replace("__", "_").replace('.', "_").to_ascii_uppercase();
    let key = KEYS.iter().find(|key| plain(key.path) == plain(rest))?;
    Some(format!("{PREFIX}{}", key.path.replace('.', "__").to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn own_names_stand_behind_the_others() {
        let told = read(&pairs(&[
            ("SHARDCAST__RTMP__PORT", "1937"),
            ("SHARDCAST__LATENCY__LIVE__TICK_MS", "5"),
            ("RTMP_PORT", "1936"),
            ("PATH", "/bin"),
        ]));
        let expected = [
            ("rtmp.port", "RTMP_PORT", "1936"),
            ("latency.live.tick_ms", "SHARDCAST__LATENCY__LIVE__TICK_MS", "5"),
            ("rtmp.port", "SHARDCAST__RTMP__PORT", "1937"),
        ];
        assert_eq!(told.pairs, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        assert!(told.ignored.is_empty());
    }

    #[test]
    fn https_is_on_where_node_media_server_would_serve_it() {
        let with_files = pairs(&[("HTTPS_PORT", "8443"), ("KEY_FILE", "k"), ("CERT_FILE", "c")]);
        assert!(read(&with_files).pairs.iter().any(|(key, ..)| key == "https.enabled"));
        assert!(!read(&with_files[..2]).pairs.iter().any(|(key, ..)| key == "https.enabled"));
    }

    #[test]
    fn what_is_empty_of_node_media_server_is_not_there() {
        let told = read(&pairs(&[("HTTP_PORT", ""), ("GOP_CACHE", " "), ("SHARDCAST__SERVER__CORES", "")]));
        assert_eq!(told.pairs, [("server.cores".into(), "SHARDCAST__SERVER__CORES".into(), String::new())]);
    }

    #[test]
    fn single_underscores_are_noticed() {
        for (name, expected) in [
            ("SHARDCAST_RTMP_PORT", Some("SHARDCAST__RTMP__PORT")),
            ("SHARDCAST_RTMP__CHUNK_SIZE", Some("SHARDCAST__RTMP__CHUNK_SIZE")),
            ("SHARDCAST_LATENCY_LIVE_TICK_MS", Some("SHARDCAST__LATENCY__LIVE__TICK_MS")),
            ("SHARDCAST__RTMP__PORT", None),
            ("SHARDCAST_HOME", None),
            ("RTMP_PORT", None),
        ] {
            assert_eq!(meant(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn names_for_later_are_told_apart() {
        let told = read(&pairs(&[("KMP_PORT", "6935"), ("CRYPTO_KEY", "x"), ("HLS_TIME", "")]));
        assert_eq!((told.pairs.len(), told.ignored), (0, vec!["CRYPTO_KEY", "KMP_PORT"]));
    }
}
