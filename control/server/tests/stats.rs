//! The numbers of the API are right for a stream that is known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Mode, Player, Publisher, Server, media, play::Over, server::get};

on_backends! {
    a_streams_numbers;
    sessions_tell_their_steps_and_their_end;
    the_api_answers_only_what_there_is;
}

fn a_streams_numbers(mode: Mode) {
    let server = Server::start(mode, &[]);
    let tags = media::H264_AAC.tags();
    let mut publisher = Publisher::start(&server, "n");
    let player = Player::start(&server, Over::Http, "n");
    publisher.send_paced(&tags, 2.0);
    let (configs, frames) = media::split(&tags);
    assert!(!configs.is_empty());
    let video = frames.iter().filter(|t| t.kind == common::flv::VIDEO).count() as u64;
    let audio = frames.len() as u64 - video;
    let stream = server.until_stream("n", "all packets", |s| {
        s["video"]["packets"].as_u64() == Some(video) && s["audio"]["packets"].as_u64() == Some(audio)
    });
    assert_eq!((&stream["video"]["codec"], &stream["audio"]["codec"]), (&"H264".into(), &"AAC".into()));
    assert!(stream["video"]["width"].as_u64() > Some(0) && stream["video"]["height"].as_u64() > Some(0));
    let payload: u64 = frames.iter().map(|t| t.coded().0.len() as u64).sum();
    assert_eq!(stream["bytes_in"].as_u64(), Some(payload));
    assert_eq!(stream["timestamp_repairs"], 0);
    assert_eq!(stream["live"], true);
    assert!(stream["gop_ms"].as_u64() > Some(0) && stream["gop_packets"].as_u64() > Some(0));
    assert!(stream["bits_per_second_in"].as_u64() > Some(0));
    player.wait_frames(frames.len() - 1);
    let sessions = server.sessions();
    let viewer = sessions.iter().find(|s| s["role"] == "viewer").unwrap();
    assert_eq!(viewer["protocol"], "http-flv");
    assert!(viewer["bytes_out"].as_u64() > Some(payload));
    assert_eq!(viewer["latency_class"], "normal");
}

fn sessions_tell_their_steps_and_their_end(mode: Mode) {
    let server = Server::start(mode, &[]);
    let mut publisher = Publisher::start(&server, "s");
    publisher.send_all(&media::SMALL.tags());
    let player = Player::start(&server, Over::Ws, "s");
    player.wait_frames(2);
    publisher.finish();
    player.to_end();
    let ended = common::until("the ended viewer", common::SOON, || {
        let all = server.api("/api/v1/sessions");
        let found = all["sessions"]
            .as_array()?
            .iter()
            .find(|s| s["role"] == "viewer" && !s["ended"].is_null())?
            .clone();
        Some(found)
    });
    assert_eq!((&ended["ended"], &ended["protocol"]), (&"stream ended".into(), &"ws-flv".into()));
    let steps: Vec<&str> =
        ended["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    for step in ["request", "admission", "playing", "first media out"] {
        assert!(steps.contains(&step), "{step} is not in {steps:?}");
    }
}

fn the_api_answers_only_what_there_is(mode: Mode) {
    let server = Server::start(mode, &[]);
    for (path, status) in [
        ("/api/v1/server", 200),
        ("/api/v1/streams", 200),
        ("/api/v1/sessions", 200),
        ("/api/v1/streams/live/none", 404),
        ("/api/v1/nothing", 404),
        ("/", 404),
    ] {
        let (seen, body) = get(server.admin, path).unwrap();
        assert_eq!(seen, status, "{path}");
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["error"]["code"].is_string(), status != 200, "{path}");
    }
}
