//! The page that the HTTP port serves, as bytes inside the binary.
//!
//! Knows no route but its own paths; its files stand in `control/web`.

use drivers::Asset;

/// The page and what it loads.
pub static ASSETS: &[Asset] = &[
    asset("/", HTML, include_bytes!("../../web/index.html")),
    asset("/index.html", HTML, include_bytes!("../../web/index.html")),
    asset("/app.js", SCRIPT, include_bytes!("../../web/app.js")),
    asset("/style.css", "text/css; charset=utf-8", include_bytes!("../../web/style.css")),
    asset("/icon.svg", "image/svg+xml", include_bytes!("../../web/icon.svg")),
    asset("/vendor/mpegts.js", SCRIPT, include_bytes!("../../web/vendor/mpegts.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const fn asset(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { path, content_type, bytes }
}
