//! Whatever stamps come in: players keep playing, nothing is lost, no stamp that leaves goes back, and what was repaired
//! is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{Tag, VIDEO, assert_never_back, assert_same_coded, assert_same_frames};
use common::media::H264_AAC;
use common::play::Over;
use common::tools::{self, Listing, assert_same, ffmpeg, list};
use common::{Mode, Pace, Player, Publisher, Server};
use serde_json::Value;

on_backends! {
    starting_before_2_to_24;
    starting_before_2_to_31;
    wrapping_at_2_to_32;
    an_encoder_far_from_zero;
    an_hour_forward;
    two_hours_back;
    there_and_back_again;
    every_stamp_twice;
    small_steps_back;
    one_stamp_for_everything;
    sound_hours_from_the_picture;
    nonsense;
}

const HOUR: u32 = 3_600_000;

/// How far apart pictures leave around a jump at most, in milliseconds.
const SEAM_MS: u32 = 250;

/// What came out on one carrier.
type Seen = (Over, Vec<Tag>);

/// Publishes the clip with other stamps, to a player over RTMP and one over HTTP; what each saw, and what the API said
/// of the stream before its end.
fn restamped(mode: Mode, stamp: impl FnMut(&Tag) -> u32) -> (Vec<Tag>, Vec<Seen>, Value) {
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let players = [Over::Rtmp, Over::Http].map(|over| (over, Player::start(&server, over, "clip")));
    server.until_viewers("clip", 2);
    let clip = H264_AAC.tags();
    let stamps: Vec<u32> = clip.iter().map(stamp).collect();
    let mut publisher = Publisher::start(&server, "clip");
    let pace = Pace::new(2.0);
    for (tag, ms) in clip.iter().zip(stamps) {
        pace.keep(tag.ms);
        assert!(publisher.send(&Tag { ms, ..tag.clone() }));
    }
    let pictures = clip.iter().filter(|tag| tag.kind == VIDEO && tag.is_frame()).count();
    let seen = players.map(|(over, player)| {
        player.wait("all pictures", |tags| {
            tags.iter().filter(|tag| tag.kind == VIDEO && tag.is_frame()).count() >= pictures
        });
        (over, player)
    });
    let stream = server.stream("clip").unwrap();
    publisher.finish();
    let seen = seen.map(|(over, player)| (over, player.to_end().0)).to_vec();
    for (over, tags) in &seen {
        assert_never_back(tags, &format!("{over:?}"));
        assert_same_coded(&clip, tags, 0, &format!("{over:?}"));
    }
    (clip, seen, stream)
}

fn repairs(stream: &Value) -> (u64, u64) {
    (stream["timestamp_repairs"].as_u64().unwrap(), stream["timestamp_jumps"].as_u64().unwrap())
}

/// A start anywhere: nothing to repair, every distance kept.
fn starting_at(mode: Mode, start: u32) {
    let (clip, seen, stream) = restamped(mode, |tag| tag.ms.wrapping_add(start));
    assert_eq!(repairs(&stream), (0, 0));
    for (over, tags) in seen {
        assert_same_frames(&clip, &tags, 0, &format!("{over:?}"));
    }
}

fn starting_before_2_to_24(mode: Mode) {
    starting_at(mode, (1 << 24) - 1500);
}

fn starting_before_2_to_31(mode: Mode) {
    starting_at(mode, (1 << 31) - 1500);
}

fn wrapping_at_2_to_32(mode: Mode) {
    starting_at(mode, 1500_u32.wrapping_neg());
}

/// ffmpeg's own stamps near the same edges, and ffmpeg's own reading of what comes out. At each multiple of 2^31 ffmpeg's muxer starts again
/// from 0: on the wire that is a jump, which is closed as jumps are.
fn an_encoder_far_from_zero(mode: Mode) {
    for (offset, jumps) in [("16775.7", false), ("2147482.1", true), ("4294965.7", true)] {
        let server = Server::start(mode, &[("play.wait_ms", "20000")]);
        let player = list(&["-i", &server.rtmp_url("clip")]);
        server.until_viewers("clip", 1);
        let path = H264_AAC.path();
        let mut pusher = ffmpeg();
        pusher.args([
            "-re",
            "-i",
            &path,
            "-c",
            "copy",
            "-output_ts_offset",
            offset,
            "-f",
            "flv",
            &server.rtmp_url("clip"),
        ]);
        tools::run(&mut pusher);
        let sent = Listing::parse(&list(&["-i", &path]).success());
        let seen = Listing::parse(&player.success());
        if jumps {
            assert_same_but_for_a_seam(&sent, &seen);
        } else {
            assert_same(&sent, &seen, offset);
        }
    }
}

fn assert_same_but_for_a_seam(sent: &Listing, seen: &Listing) {
    for codec in ["h264", "aac"] {
        let (sent, seen) = (sent.of(codec), seen.of(codec));
        let skipped = sent.len() - seen.len();
        assert!(skipped <= usize::from(codec == "aac") * 2, "{skipped} packets of {codec} are missing");
        assert!(sent[skipped..].iter().zip(&seen).all(|(sent, seen)| sent.md5 == seen.md5), "{codec}");
        for pair in seen.windows(2) {
            let step = pair[1].dts - pair[0].dts;
            assert!(
                (0..=i64::from(SEAM_MS)).contains(&step),
                "{codec}: {} after {}",
                pair[1].dts,
                pair[0].dts
            );
        }
    }
}

/// What leaves is one timeline without a gap.
#[track_caller]
fn assert_without_seam(seen: &[Seen]) {
    for (over, tags) in seen {
        for kind in [common::flv::AUDIO, VIDEO] {
            let stamps: Vec<u32> =
                tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).map(|tag| tag.ms).collect();
            for pair in stamps.windows(2) {
                assert!(pair[1] - pair[0] <= SEAM_MS, "{over:?}: {} after {}", pair[1], pair[0]);
            }
        }
    }
}

fn an_hour_forward(mode: Mode) {
    let (_, seen, stream) = restamped(mode, |tag| if tag.ms < 1500 { tag.ms } else { tag.ms + HOUR });
    assert_without_seam(&seen);
    assert!(repairs(&stream).1 >= 1, "{stream}");
}

fn two_hours_back(mode: Mode) {
    let (_, seen, stream) = restamped(mode, |tag| if tag.ms < 1500 { tag.ms + 2 * HOUR } else { tag.ms });
    assert_without_seam(&seen);
    assert!(repairs(&stream).1 >= 1, "{stream}");
}

fn there_and_back_again(mode: Mode) {
    let (_, seen, stream) =
        restamped(mode, |tag| if (1000..2000).contains(&tag.ms) { tag.ms + 3 * HOUR } else { tag.ms });
    assert_without_seam(&seen);
    assert!(repairs(&stream).1 >= 2, "{stream}");
}

fn every_stamp_twice(mode: Mode) {
    let (_, seen, _) = restamped(mode, |tag| tag.ms / 80 * 80);
    assert_without_seam(&seen);
}

/// As encoders do that stamp by a clock which is set back a little, again and again.
fn small_steps_back(mode: Mode) {
    let (_, seen, stream) = restamped(mode, |tag| tag.ms - if tag.ms % 500 > 300 { 200 } else { 0 });
    assert_without_seam(&seen);
    let (repairs, jumps) = repairs(&stream);
    assert!(repairs > 0 && jumps == 0, "{stream}");
}

fn one_stamp_for_everything(mode: Mode) {
    restamped(mode, |_| 0);
}

fn sound_hours_from_the_picture(mode: Mode) {
    restamped(mode, |tag| if tag.kind == VIDEO { tag.ms } else { tag.ms.wrapping_sub(5 * HOUR) });
}

fn nonsense(mode: Mode) {
    let mut state = 1_u32;
    let (_, _, stream) = restamped(mode, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    });
    let (repairs, jumps) = repairs(&stream);
    assert!(repairs + jumps > 10, "{stream}");
}
