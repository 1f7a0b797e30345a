//! RTMPS, HTTPS and WSS with real clients, and a certificate that changes under them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::server::scratch;
use common::tools::{self, Listing, assert_same, ffmpeg, list, start};
use common::{Mode, Publisher, SOON, Server, media, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

on_backends! {
    pushed_and_played_inside_tls;
    a_new_certificate_is_taken_without_dropping_anybody;
    the_end_of_a_stream_is_the_proper_end_of_tls;
}

/// A certificate for localhost, with its key, made by the openssl program.
fn certificate(name: &str) -> (PathBuf, PathBuf) {
    let folder = scratch().join("tls");
    std::fs::create_dir_all(&folder).unwrap();
    let (cert, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let subject = format!("/CN={name}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    (cert, key)
}

fn server(mode: Mode, cert: &Path, key: &Path) -> Server {
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    Server::start(
        mode,
        &[
            ("rtmps.enabled", "true"),
            ("https.enabled", "true"),
            ("tls.cert_file", cert),
            ("tls.key_file", key),
            ("tls.reload_check_ms", "1000"),
        ],
    )
}

fn pushed_and_played_inside_tls(mode: Mode) {
    let (cert, key) = certificate(&format!("tls-{mode:?}"));
    let server = server(mode, &cert, &key);
    let clip = media::H264_AAC;
    let input = Listing::parse(&list(&["-i", &clip.path()]).success());
    let rtmps = format!("rtmps://{}/live/t", server.rtmps);
    let https = format!("https://{}/live/t.flv", server.https);
    let mut push = start(ffmpeg().args([
        "-v",
        "error",
        "-re",
        "-i",
        &clip.path(),
        "-c",
        "copy",
        "-f",
        "flv",
        "-tls_verify",
        "0",
        &rtmps,
    ]));
    server.until_stream("t", "live", |s| s["live"] == true && s["video"].is_object());
    let over_rtmps = list(&["-tls_verify", "0", "-i", &rtmps]);
    let over_https = list(&["-tls_verify", "0", "-i", &https]);
    server.until_viewers("t", 2);
    let sessions = server.sessions();
    let protocols: Vec<&str> = sessions.iter().map(|s| s["protocol"].as_str().unwrap()).collect();
    for protocol in ["rtmps", "https-flv"] {
        assert!(protocols.contains(&protocol), "{protocols:?}");
    }
    assert!(push.wait().status.success());
    for (listing, who) in [(over_rtmps, "rtmps"), (over_https, "https")] {
        assert_same(&input, &Listing::parse(&listing.success()), who);
    }
}

/// Subject of the certificate that a new connection is shown.
fn shown(server: &Server) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &server.https.to_string(), "-servername", "localhost"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find(|line| line.contains("subject=")).unwrap_or_default().to_owned()
}

fn a_new_certificate_is_taken_without_dropping_anybody(mode: Mode) {
    let (cert, key) = certificate(&format!("old-{mode:?}"));
    let server = server(mode, &cert, &key);
    let clip = media::H264_AAC;
    let input = Listing::parse(&list(&["-i", &clip.path()]).success());
    let mut push = start(ffmpeg().args([
        "-v",
        "error",
        "-re",
        "-i",
        &clip.path(),
        "-c",
        "copy",
        "-f",
        "flv",
        &server.rtmp_url("c"),
    ]));
    server.until_stream("c", "live", |s| s["live"] == true && s["video"].is_object());
    let https = format!("https://{}/live/c.flv", server.https);
    let viewer = list(&["-tls_verify", "0", "-i", &https]);
    server.until_viewers("c", 1);
    assert!(shown(&server).contains("old-"), "{}", shown(&server));
    // First one that is no good: nothing changes.
    let good = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, "nonsense").unwrap();
    server.signal("HUP");
    until("the complaint", SOON, || server.log().contains("old one stays in force").then_some(()));
    assert!(shown(&server).contains("old-"));
    std::fs::write(&cert, good).unwrap();
    let (new_cert, new_key) = certificate(&format!("new-{mode:?}"));
    std::fs::rename(&new_key, &key).unwrap();
    std::fs::rename(&new_cert, &cert).unwrap();
    until("the new certificate", SOON, || shown(&server).contains("new-").then_some(()));
    assert!(push.wait().status.success());
    assert_same(&input, &Listing::parse(&viewer.success()), "the viewer from before");
    drop(tools::tools());
}

/// curl says so if TLS ends without a goodbye, which could as well be somebody who cut the line.
fn the_end_of_a_stream_is_the_proper_end_of_tls(mode: Mode) {
    let (cert, key) = certificate(&format!("end-{mode:?}"));
    let server = server(mode, &cert, &key);
    let tags = media::SMALL.tags();
    let mut publisher = Publisher::start(&server, "t");
    publisher.send_all(&tags[..tags.len() / 2]);
    let file = scratch().join(format!("tls-end-{}.flv", server.pid()));
    let viewer = Command::new("curl")
        .args(["-sSk", "-o"])
        .arg(&file)
        .arg(format!("https://{}/live/t.flv", server.https))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.until_viewers("t", 1);
    publisher.send_all(&tags[tags.len() / 2..]);
    publisher.finish();
    let output = viewer.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(file.metadata().unwrap().len() > 10_000);
    std::fs::remove_file(file).unwrap();
}
