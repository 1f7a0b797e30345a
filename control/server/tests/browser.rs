//! A real browser: mpegts.js in headless Chromium plays over HTTP and WebSocket, and the served page shows the picture.
//! Each test leaves a screenshot in `target/tmp/screens/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::server::scratch;
use common::tools::{ffmpeg, start, tools};
use common::{Mode, Server, media};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

on_backends! {
    a_browser_plays_over_http;
    a_browser_plays_over_websocket;
    the_page_shows_the_picture;
}

/// Opens the server's page, or with a URL an empty one with a player of its own; waits until pictures have been decoded
/// and time has passed, and tells what is seen in the middle of the video.
const SCRIPT: &str = r#"
const { chromium } = require('playwright-core');
(async () => {
  const [page_url, url, screen] = process.argv.slice(2);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--disable-gpu', '--disable-quic',
           '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(url ? page_url + 'style.css' : page_url);
    if (url) {
      await page.addScriptTag({ url: page_url + 'vendor/mpegts.js' });
      await page.evaluate((url) => {
        document.body.innerHTML = '<video muted autoplay style="width:640px"></video>';
        const player = mpegts.createPlayer({ type: 'flv', isLive: true, url }, { enableStashBuffer: false });
        window.mediaErrors = [];
        player.on(mpegts.Events.ERROR, (kind, detail) => window.mediaErrors.push(kind + ' ' + detail));
        player.attachMediaElement(document.querySelector('video'));
        player.load();
        player.play();
      }, url);
    }
    await page.waitForFunction(() => {
      const video = document.querySelector('video');
      return video && video.getVideoPlaybackQuality().totalVideoFrames > 20 && video.currentTime > 0.5;
    }, null, { timeout: 30000 });
    const seen = await page.evaluate(() => {
      const video = document.querySelector('video');
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [64, 36];
      const draw = canvas.getContext('2d');
      draw.drawImage(video, 0, 0, 64, 36);
      const pixels = draw.getImageData(0, 0, 64, 36).data;
      const colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) colours.add(pixels.slice(i, i + 3).map((c) => c >> 5).join());
      const quality = video.getVideoPlaybackQuality();
      return { colours: colours.size, frames: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
               width: video.videoWidth, height: video.videoHeight, failed: window.mediaErrors || [] };
    });
    await page.screenshot({ path: screen });
    console.log(JSON.stringify({ ...seen, errors }));
  } finally {
    await browser.close();
  }
})().catch((error) => { console.error(error); process.exit(1); });
"#;

fn seen(page: &str, url: &str, screen: &str) -> Value {
    let folder = scratch().join("screens");
    std::fs::create_dir_all(&folder).unwrap();
    let script: PathBuf = folder.join(format!("{screen}.js"));
    std::fs::write(&script, SCRIPT).unwrap();
    let output = Command::new("node")
        .arg(&script)
        .args([page, url])
        .arg(folder.join(format!("{screen}.png")))
        .env("NODE_PATH", tools().join("npm/node_modules"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Publishes a clip over and over under a name, and tells what a browser sees of it.
fn watched(mode: Mode, name: &str, url: impl FnOnce(&Server) -> String) {
    let server = Server::start(mode, &[]);
    let clip = media::H264_AAC.path();
    let _push = start(ffmpeg().args([
        "-v",
        "error",
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        &clip,
        "-c",
        "copy",
        "-f",
        "flv",
        &server.rtmp_url(name),
    ]));
    server.until_stream(name, "live", |s| {
        s["live"] == true && s["video"].is_object() && s["audio"].is_object()
    });
    let seen = seen(&format!("http://{}/", server.http), &url(&server), &format!("{name}-{mode:?}"));
    assert!(seen["colours"].as_u64() > Some(4), "no picture: {seen}");
    assert!(seen["frames"].as_u64() > Some(20), "{seen}");
    let said = server.stream(name).unwrap();
    assert_eq!((&seen["width"], &seen["height"]), (&said["video"]["width"], &said["video"]["height"]));
    assert_eq!(
        (&seen["failed"], &seen["errors"]),
        (&serde_json::json!([]), &serde_json::json!([])),
        "{seen}"
    );
}

fn a_browser_plays_over_http(mode: Mode) {
    watched(mode, "http", |server| server.http_url("http"));
}

fn a_browser_plays_over_websocket(mode: Mode) {
    watched(mode, "ws", |server| format!("ws://{}/live/ws.flv", server.http));
}

/// The page plays `live/demo` by itself.
fn the_page_shows_the_picture(mode: Mode) {
    watched(mode, "demo", |_| String::new());
}
