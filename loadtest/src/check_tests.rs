//! The check sees each kind of fault exactly once, wherever the bytes are cut.

use super::*;
use crate::measure::merged;
use crate::outcome::Viewers;
use crate::scenario;

/// One tag as a server would send it.
#[derive(Clone)]
struct Tag {
    kind: TagKind,
    ms: u32,
    body: Vec<u8>,
}

fn clip() -> Clip {
    Clip::of(&scenario::Clip { video_kbps: 150, ..Default::default() }).unwrap()
}

/// Packets of stream 7, shifted as a server that starts its clock anew shifts them.
fn tags(clip: &Clip, numbers: std::ops::Range<u64>) -> Vec<Tag> {
    let tag = |number| {
        let mut body = Vec::new();
        clip.write(Mark { number, stream: 7, sent_us: number * 10 }, &mut body);
        let ms = u32::try_from(clip.stamp_ms(number)).unwrap().wrapping_sub(5);
        Tag { kind: clip.piece(number).unwrap().kind, ms, body }
    };
    numbers.map(tag).collect()
}

fn viewed(clip: &Clip, tags: &[Tag], piece: usize, faults: Faults) -> Viewers {
    let (mut check, mut tally) = (Check::new(7), Tally::default());
    for tag in tags {
        check.begin(tag.kind, tag.ms, u32::try_from(tag.body.len()).unwrap());
        for part in tag.body.chunks(piece) {
            check.take(clip, part);
        }
        check.finish(clip, &mut tally, faults);
    }
    merged(vec![tally])
}

/// Packets, gaps, repeats, reordered, corrupt.
fn counted(clip: &Clip, tags: &[Tag]) -> [u64; 5] {
    let whole = viewed(clip, tags, usize::MAX, Faults::All);
    [whole.packets, whole.gaps, whole.repeats, whole.reordered, whole.corrupt]
}

#[test]
fn what_was_published_is_without_fault_over_the_loop_and_cut_anywhere() {
    let clip = clip();
    let mut all = tags(&clip, 3..900);
    all.insert(0, Tag { kind: TagKind::Video, ms: 0, body: clip.config(TagKind::Video).to_vec() });
    all.insert(1, Tag { kind: TagKind::Audio, ms: 0, body: clip.config(TagKind::Audio).to_vec() });
    all.insert(2, Tag { kind: TagKind::Script, ms: 0, body: b"anything at all".to_vec() });
    assert!(clip.stamp_ms(899) > 10_000, "no loop");
    assert_eq!(counted(&clip, &all), [897, 0, 0, 0, 0]);
    for piece in 1..80 {
        let seen = viewed(&clip, &all, piece, Faults::All);
        assert_eq!(
            [seen.gaps, seen.repeats, seen.reordered, seen.corrupt],
            [0; 4],
            "{piece}: {:?}",
            seen.notes
        );
    }
}

#[test]
fn lost_repeated_and_swapped_packets_are_counted_one_by_one() {
    let clip = clip();
    let all = tags(&clip, 0..200);
    // Not the first of a kind: what is lost before it cannot be known.
    for at in [4, 50, 51, 52, 150] {
        let mut lost = all.clone();
        lost.remove(at);
        assert_eq!(counted(&clip, &lost), [199, 1, 0, 0, 0], "{at}");
        let mut again = all.clone();
        again.insert(at + 1, all[at].clone());
        assert_eq!(counted(&clip, &again), [201, 0, 1, 0, 0], "{at}");
        // The next of the same kind comes first.
        let next = (at + 1..).find(|next| all[*next].kind == all[at].kind).unwrap();
        let mut swapped = all.clone();
        swapped.swap(at, next);

        assert_eq!(counted(&clip, &swapped), [200, 0, 0, 1, 0], "{at}");
    }
    let lost: Vec<Tag> =
        all.iter().enumerate().filter(|(at, _)| *at < 100 || *at > 129).map(|(_, t)| t.clone()).collect();
    assert_eq!(counted(&clip, &lost), [170, 30, 0, 0, 0]);
    assert_eq!(viewed(&clip, &lost, 9, Faults::NoGaps).gaps, 0);
    assert_eq!(viewed(&clip, &lost, 9, Faults::NoGaps).skipped_by_slow, 30);
}

#[test]
fn one_changed_byte_anywhere_in_a_tag_is_one_corrupt_packet() {
    let clip = clip();
    let all = tags(&clip, 0..12);
    for at in [0, 1, 5] {
        for byte in 0..all[at].body.len() {
            let mut changed = all.clone();
            changed[at].body[byte] ^= 0x41;
            for piece in [7, usize::MAX] {
                let seen = viewed(&clip, &changed, piece, Faults::All);
                assert_eq!(
                    [seen.gaps, seen.repeats, seen.reordered, seen.corrupt],
                    [0, 0, 0, 1],
                    "{at} {byte}"
                );
            }
        }
    }
}

#[test]
fn a_shorter_longer_or_foreign_packet_is_corrupt() {
    let clip = clip();
    let all = tags(&clip, 0..40);
    let mut shorter = all.clone();
    shorter[20].body.pop();
    assert_eq!(counted(&clip, &shorter), [40, 0, 0, 0, 1]);
    let mut longer = all.clone();
    longer[20].body.push(0);
    assert_eq!(counted(&clip, &longer), [40, 0, 0, 0, 1]);
    let mut foreign = all.clone();
    let number = 20;
    clip.write(Mark { number, stream: 8, sent_us: 0 }, &mut foreign[20].body);
    assert_eq!(counted(&clip, &foreign), [40, 0, 0, 0, 1]);
    for body in [vec![], vec![0x27], vec![0x27, 1, 0, 0]] {
        let mut tiny = all.clone();
        tiny[20].body = body;
        assert_eq!(counted(&clip, &tiny), [40, 0, 0, 0, 1]);
    }
    let config = Tag { kind: TagKind::Video, ms: 0, body: vec![0x17, 0, 0, 0, 0, 1, 2, 3] };
    assert_eq!(counted(&clip, &[vec![config], all].concat()), [40, 0, 0, 0, 1]);
}

#[test]
fn a_shifted_stamp_is_corrupt_and_a_rounded_one_is_not() {
    let clip = clip();
    let all = tags(&clip, 10..60);
    for (shift, corrupt) in [(0_i32, 0), (1, 0), (-1, 0), (2, 1), (-2, 1), (1000, 1), (i32::MAX / 2, 1)] {
        let mut shifted = all.clone();
        shifted[20].ms = shifted[20].ms.wrapping_add_signed(shift);
        assert_eq!(counted(&clip, &shifted), [50, 0, 0, 0, corrupt], "{shift}");
    }
    // Servers wrap at 31 or at 32 bits.
    for wrap in [u32::MAX, u32::MAX >> 1] {
        let base = wrap - clip.stamp_ms(30) as u32;
        let wrapped: Vec<Tag> =
            all.iter().map(|tag| Tag { ms: tag.ms.wrapping_add(base) & wrap, ..tag.clone() }).collect();
        assert_eq!(counted(&clip, &wrapped), [50, 0, 0, 0, 0]);
    }
}

#[test]
fn joining_in_the_middle_is_no_gap_and_a_late_older_packet_is_reordered() {
    let clip = clip();
    let mut all = tags(&clip, 100..200);
    let older = tags(&clip, 90..91);
    all.insert(30, older[0].clone());
    let seen = counted(&clip, &all);
    assert_eq!(seen, [101, 0, 0, 1, 0]);
}
