//! Script tags: metadata, and what is relayed.

use super::*;
use crate::amf;

fn named(names: &[&str], fields: &[(String, MetaValue)]) -> Vec<u8> {
    let mut body = Vec::new();
    names.iter().for_each(|name| amf::write_text(name, &mut body));
    amf::write_ecma_array(fields, &mut body);
    body
}

fn numbers(fields: &[(&str, f64)]) -> Vec<(String, MetaValue)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), MetaValue::Number(*value))).collect()
}

#[test]
fn metadata_comes_with_or_without_its_prefix_and_is_told_once() {
    let fields = numbers(&[("width", 640.0)]);
    let mut d = fresh();
    assert_eq!(
        feed(&mut d, TagKind::Script, &named(&["@setDataFrame", "onMetaData"], &fields)),
        ["metadata 1"]
    );
    assert!(feed(&mut d, TagKind::Script, &named(&["onMetaData"], &fields)).is_empty());
    assert!(feed(&mut d, TagKind::Script, &named(&["@clearDataFrame", "onMetaData"], &[])).is_empty());
    assert_eq!(feed(&mut d, TagKind::Script, &named(&["onMetaData"], &[])), ["metadata 0"]);
    // As an object, and behind a value that is none.
    let mut object = Vec::new();
    amf::write_text("onMetaData", &mut object);
    amf::write_null(&mut object);
    amf::write_value(&MetaValue::Object(fields), &mut object);
    assert_eq!(feed(&mut d, TagKind::Script, &object), ["metadata 1"]);
}

#[test]
fn everything_else_is_relayed_as_it_is() {
    for name in ["onTextData", "onCuePoint", "onFI", "anything"] {
        let bare = named(&[name], &numbers(&[("a", 1.0)]));
        let prefixed = named(&["@setDataFrame", name], &numbers(&[("a", 1.0)]));
        for body in [&bare, &prefixed] {
            let seen = events(&mut fresh(), TagKind::Script, body);
            let [Event::Packet(packet)] = &seen[..] else { panic!("{name}: no packet") };
            assert_eq!((packet.track, packet.kind), (media::TrackId::DATA, Kind::Data));
            assert_eq!((packet.dts.millis(), packet.payload.as_ref()), (40, &bare[..]));
        }
    }
    for unusable in [&b"\x05"[..], b"\x02\xff\xffx", b"\x02\0\x0aonMetaData", b"\x02\0\x0d@setDataFrame"] {
        assert_eq!(feed(&mut fresh(), TagKind::Script, unusable), ["(unusable script tag)"]);
    }
}

#[test]
fn metadata_is_bounded_and_what_is_too_large_is_passed_over() {
    let many: Vec<_> = (0..300).map(|n| (format!("f{n}"), MetaValue::Null)).collect();
    let mut d = fresh();
    assert_eq!(
        feed(&mut d, TagKind::Script, &named(&["onMetaData"], &many)),
        ["(metadata cut)", "metadata 256"]
    );
    assert_eq!(feed(&mut d, TagKind::Script, &vec![0; 70_000]), ["(script data too large)"]);
    // The seek index of a file of three hours.
    let index = vec![("keyframes".to_owned(), MetaValue::Array(vec![MetaValue::Number(1.0); 5_400]))];
    assert_eq!(feed(&mut d, TagKind::Script, &named(&["onMetaData"], &index)), ["(script data too large)"]);
    let deep = [&named(&["onMetaData"], &[])[..13], &b"\x03\0\x01a".repeat(10_000)].concat();
    let limit = d.tag(TagKind::Script, Timestamp::ZERO, deep.into(), &mut |_| ());
    assert_eq!(limit, Err(amf::TOO_DEEP));
}

fn pictures(events: &[Event]) -> Vec<(u32, u32, u32)> {
    let video = |event: &Event| match event {
        Event::Track(t) => Some((t.video.width, t.video.height, t.video.frame_rate_milli)),
        _ => None,
    };
    events.iter().filter_map(video).collect()
}

#[test]
fn metadata_tells_what_the_configuration_does_not() {
    let metadata = |width, rate| {
        named(&["onMetaData"], &numbers(&[("width", width), ("height", 480.0), ("framerate", rate)]))
    };
    // Before the track, after it, and changed.
    let mut d = fresh();
    events(&mut d, TagKind::Script, &metadata(640.0, 29.97));
    let config = [b"\x17\0\0\0\0".as_slice(), AVCC].concat();
    assert_eq!(pictures(&events(&mut d, TagKind::Video, &config)), [(640, 480, 29_970)]);
    assert!(events(&mut d, TagKind::Video, &config).is_empty());
    assert_eq!(pictures(&events(&mut d, TagKind::Script, &metadata(800.0, 29.97))), [(800, 480, 29_970)]);
    assert!(events(&mut d, TagKind::Video, &config).is_empty(), "the same track, told again");
    // What the configuration tells stands: x264, 1280x720 at 25.
    let sps = b"\x17\0\0\0\0\x01\x64\x00\x1f\xff\xe1\0\x1a\x67\x64\x00\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\0\0\x03\0\x10\0\0\x03\x03\x20\xf1\x83\x19\x60";
    assert_eq!(pictures(&events(&mut d, TagKind::Video, sps)), [(1280, 720, 25_000)]);
    assert!(pictures(&events(&mut d, TagKind::Script, &metadata(320.0, 15.0))).is_empty());
    // Nonsense is unknown.
    for (width, rate) in [(f64::NAN, -1.0), (-5.0, f64::NAN)] {
        let mut d = fresh();
        events(&mut d, TagKind::Script, &metadata(width, rate));
        assert_eq!(pictures(&events(&mut d, TagKind::Video, &config)), [(0, 480, 0)]);
    }
}
