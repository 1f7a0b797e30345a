//! Which paths are streams. It does not know whether such a stream exists.

/// Application and name of a path that ends in `.flv`; `None` for every other path. Empty levels are left out, as
/// for RTMP, so a doubled slash changes nothing. Whether the two are allowed names is for
/// [`media::StreamKey::parse`] to say; each may be empty here.
pub fn route(path: &str) -> Option<(String, String)> {
    let path = path.strip_suffix(".flv")?;
    let (app, name) = path.rsplit_once('/')?;
    let levels: Vec<&str> = app.split('/').filter(|level| !level.is_empty()).collect();
    Some((levels.join("/"), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_streams() {
        for (path, expected) in [
            ("/live/demo.flv", Some(("live", "demo"))),
            ("//live//demo.flv", Some(("live", "demo"))),
            ("/live/studio/demo.flv", Some(("live/studio", "demo"))),
            ("/live/a.b.flv", Some(("live", "a.b"))),
            ("/live/demo.flv.flv", Some(("live", "demo.flv"))),
            ("/demo.flv", Some(("", "demo"))),
            ("/live/.flv", Some(("live", ""))),
            ("/live/demo", None),
            ("/live/demo.FLV", None),
            ("/live/demo.flv/", None),
            ("/", None),
            ("", None),
            ("*", None),
        ] {
            let found = route(path);
            assert_eq!(found.as_ref().map(|(a, n)| (a.as_str(), n.as_str())), expected, "{path}");
        }
    }
}
