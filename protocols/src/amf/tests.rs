//! AMF on vectors, truncated at every byte, nested without end, and on noise.

use super::*;
use proptest::prelude::*;

fn object(fields: &[(&str, MetaValue)]) -> MetaValue {
    MetaValue::Object(fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
}

fn all_kinds() -> MetaValue {
    object(&[
        ("number", MetaValue::Number(-1.5)),
        ("flag", MetaValue::Bool(true)),
        ("text", MetaValue::Text("äöü".into())),
        ("long", MetaValue::Text("x".repeat(65_535 - 10))),
        ("nothing", MetaValue::Null),
        ("at", MetaValue::Date(1e12)),
        ("list", MetaValue::Array(vec![MetaValue::Number(1.0), object(&[("inner", MetaValue::Null)])])),
    ])
}

#[test]
fn reads_back_what_it_writes_and_any_prefix_is_harmless() {
    let value = all_kinds();
    let mut bytes = Vec::new();
    write_value(&value, &mut bytes);
    assert_eq!(decode_all(&bytes, &Limits::default()), Ok(vec![value]));
    for len in (0..bytes.len()).filter(|len| *len < 200 || bytes.len() - len < 200) {
        let _ = decode_all(&bytes[..len], &Limits::default());
    }
}

#[test]
fn the_count_of_an_ecma_array_is_a_hint_and_its_end_may_be_missing() {
    let expected = Ok(vec![object(&[("a", MetaValue::Bool(true))])]);
    for count in [0_u32, 1, u32::MAX] {
        let mut bytes = vec![0x08];
        bytes.extend(count.to_be_bytes());
        bytes.extend(b"\0\x01a\x01\x01");
        assert_eq!(decode_all(&bytes, &Limits::default()), expected);
        // Its end byte by byte.
        for byte in [0, 0, 9] {
            bytes.push(byte);
            assert_eq!(decode_all(&bytes, &Limits::default()), expected);
        }
        // What follows the end is no part of it.
        bytes.push(0x05);
        assert_eq!(decode_all(&bytes, &Limits::default()).map(|values| values.len()), Ok(2));
    }
}

/// Each marker as it stands on the wire, and what it becomes.
#[test]
fn every_amf0_marker_is_read() {
    let text = |text: &str| MetaValue::Text(text.into());
    let cases: [(&[u8], MetaValue); 15] = [
        (b"\x00\x3f\xf8\0\0\0\0\0\0", MetaValue::Number(1.5)),
        (b"\x01\x00", MetaValue::Bool(false)),
        (b"\x01\x07", MetaValue::Bool(true)),
        (b"\x02\0\x03abc", text("abc")),
        (b"\x02\0\0", text("")),
        (b"\x02\0\x01\xff", text("\u{fffd}")),
        (b"\x03\0\x01a\x05\0\0\x09", object(&[("a", MetaValue::Null)])),
        (b"\x06", MetaValue::Null),
        (b"\x07\0\x01", MetaValue::Null),
        (b"\x0a\0\0\0\x02\x05\x01\x01", MetaValue::Array(vec![MetaValue::Null, MetaValue::Bool(true)])),
        (b"\x0b\x3f\xf8\0\0\0\0\0\0\xff\xc4", MetaValue::Date(1.5)),
        (b"\x0c\0\0\0\x02hi", text("hi")),
        (b"\x0d", MetaValue::Null),
        (b"\x0f\0\0\0\x04<a/>", text("<a/>")),
        (b"\x10\0\x03Cls\0\x01a\x05\0\0\x09", object(&[("a", MetaValue::Null)])),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode_first(bytes, &Limits::default()), Ok((value, bytes.len())), "{bytes:02x?}");
        for len in 0..bytes.len() {
            let _ = decode_first(&bytes[..len], &Limits::default());
        }
    }
    for unknown in [0x04, 0x0e, 0x12, 0xff] {
        let wrong = Err(Error::malformed("unknown AMF0 marker"));
        assert_eq!(decode_all(&[unknown, 0, 0, 0, 0], &Limits::default()), wrong);
    }
}

/// Objects, arrays and AMF3 arrays in one another, ten thousand deep.
fn deep() -> [Vec<u8>; 4] {
    let repeated = |head: &[u8], part: &[u8]| [head, &part.repeat(10_000)].concat();
    [
        repeated(b"", b"\x03\0\x01a"),
        repeated(b"", b"\x0a\0\0\0\x01"),
        repeated(b"\x11", b"\x09\x03\x01"),
        repeated(b"\x11", b"\x0a\x0b\x01\x03a"),
    ]
}

#[test]
fn nested_ten_thousand_deep_is_a_limit_even_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(64 * 1024).spawn(|| {
        for bytes in deep() {
            assert_eq!(decode_all(&bytes, &Limits::default()), Err(TOO_DEEP));
        }
    });
    small.unwrap().join().unwrap();
    let thirty_two = b"\x0a\0\0\0\x01".repeat(32);
    assert!(decode_all(&[&thirty_two[..], b"\x05"].concat(), &Limits::default()).is_ok());
    assert_eq!(decode_all(&[&thirty_two[..], b"\x0a"].concat(), &Limits::default()), Err(TOO_DEEP));
}

#[test]
fn values_and_texts_are_bounded() {
    let many = vec![0x05; 5_000];
    assert_eq!(decode_all(&many, &Limits::default()), Err(Error::limit("too many AMF values")));
    assert_eq!(decode_all(&many[..4_096], &Limits::default()).map(|v| v.len()), Ok(4_096));
    let mut long = vec![0x0c];
    long.extend(70_000_u32.to_be_bytes());
    long.resize(80_000, b'x');
    assert_eq!(decode_all(&long, &Limits::default()), Err(Error::limit("AMF text too long")));
    for len in [0_u32, 1, u32::MAX] {
        let mut bytes = vec![0x0a];
        bytes.extend(len.to_be_bytes());
        bytes.push(0x05);
        assert_eq!(decode_all(&bytes, &Limits::default()).is_ok(), len < 2, "{len}");
    }
}

#[test]
fn amf3_values_come_out() {
    // {"app":"live","n":-2,"list":[1.5,"live"(reference)],"t":true}, dynamic, anonymous.
    let bytes = [
        &[0x0a, 0x0b, 0x01][..],
        b"\x07app\x06\x09live",
        b"\x03n\x04\xff\xff\xff\xfe",
        b"\x09list\x09\x05\x01\x05\x3f\xf8\0\0\0\0\0\0\x06\x02",
        b"\x03t\x03",
        &[0x01],
    ]
    .concat();
    let expected = object(&[
        ("app", MetaValue::Text("live".into())),
        ("n", MetaValue::Number(-2.0)),
        ("list", MetaValue::Array(vec![MetaValue::Number(1.5), MetaValue::Text("live".into())])),
        ("t", MetaValue::Bool(true)),
    ]);
    assert_eq!(decode_amf3(&bytes, &Limits::default()), Ok(expected.clone()));
    let switched = [&[0x11][..], &bytes].concat();
    assert_eq!(decode_all(&switched, &Limits::default()), Ok(vec![expected]));
    for len in 0..bytes.len() {
        assert!(decode_amf3(&bytes[..len], &Limits::default()).is_err());
    }
}

#[test]
fn every_amf3_marker_is_read() {
    let number = MetaValue::Number;
    let cases: [(&[u8], MetaValue); 18] = [
        (b"\x00", MetaValue::Null),
        (b"\x01", MetaValue::Null),
        (b"\x04\x7f", number(127.0)),
        (b"\x04\x81\0", number(128.0)),
        (b"\x04\x81\x80\0", number(16_384.0)),
        (b"\x04\x80\xc0\x80\0", number(2_097_152.0)),
        (b"\x04\xbf\xff\xff\xff", number(268_435_455.0)),
        (b"\x04\xc0\x80\x80\0", number(-268_435_456.0)),
        (b"\x07\x09<a/>", MetaValue::Text("<a/>".into())),
        (b"\x08\x01\x3f\xf8\0\0\0\0\0\0", MetaValue::Date(1.5)),
        // An array with a named value: the names win.
        (b"\x09\x03\x03a\x03\x01\x02", object(&[("a", MetaValue::Bool(true))])),
        (b"\x0b\x09<b/>", MetaValue::Text("<b/>".into())),
        (b"\x0c\x05ab", MetaValue::Null),
        (b"\x0d\x05\x01\0\0\0\x01\0\0\0\x02", MetaValue::Null),
        (b"\x0e\x03\x01\0\0\0\x01", MetaValue::Null),
        (b"\x0f\x03\x01\x3f\xf8\0\0\0\0\0\0", MetaValue::Null),
        (b"\x10\x05\x01\x01\x02\x03", MetaValue::Array(vec![MetaValue::Bool(false), MetaValue::Bool(true)])),
        // A dictionary; a key that is no text is passed over.
        (b"\x11\x05\x00\x06\x03k\x03\x04\x01\x02", object(&[("k", MetaValue::Bool(true))])),
    ];
    for (bytes, value) in cases {
        // A mark behind it shows that exactly its bytes were taken.
        let marked = [b"\x11", bytes, b"\x01\x01"].concat();
        let expected = Ok(vec![value, MetaValue::Bool(true)]);
        assert_eq!(decode_all(&marked, &Limits::default()), expected, "{bytes:02x?}");
        for len in 0..bytes.len() {
            assert!(decode_amf3(&bytes[..len], &Limits::default()).is_err(), "{bytes:02x?} {len}");
        }
    }
    // Sealed members, then a second object of the same traits.
    let sealed = b"\x09\x05\x01\x0a\x23\x03C\x03a\x03b\x04\x01\x04\x02\x0a\x01\x04\x03\x04\x04";
    let pair = |a, b| object(&[("a", number(a)), ("b", number(b))]);
    let expected = MetaValue::Array(vec![pair(1.0, 2.0), pair(3.0, 4.0)]);
    assert_eq!(decode_amf3(sealed, &Limits::default()).as_ref(), Ok(&expected));
    let external = Err(Error::unsupported("AMF3 externalizable object"));
    assert_eq!(decode_amf3(b"\x0a\x07\x03C", &Limits::default()), external);
    for wrong in [&b"\x06\x00"[..], b"\x0a\x01", b"\x09\x02", b"\x0a\x04", b"\x12", b"\xff"] {
        assert!(decode_amf3(wrong, &Limits::default()).is_err(), "{wrong:02x?}");
    }
}

#[test]
fn amf3_references_give_the_object_again_and_never_go_round() {
    // [{x:1.5 as "v"}, reference to that object, date, reference to the date, reference to the array itself]
    let bytes = [
        &b"\x09\x0b\x01"[..],
        b"\x0a\x0b\x01\x03x\x06\x03v\x01",
        b"\x0a\x02",
        b"\x08\x01\x3f\xf8\0\0\0\0\0\0",
        b"\x08\x04",
        b"\x09\x00",
    ]
    .concat();
    let one = object(&[("x", MetaValue::Text("v".into()))]);
    let expected = vec![one.clone(), one, MetaValue::Date(1.5), MetaValue::Date(1.5), MetaValue::Null];
    assert_eq!(decode_amf3(&bytes, &Limits::default()), Ok(MetaValue::Array(expected)));
    // An object that holds itself, named again from outside.
    let knot = b"\x09\x05\x01\x0a\x0b\x01\x03o\x0a\x02\x01\x0a\x02";
    let inner = object(&[("o", MetaValue::Null)]);
    let expected = MetaValue::Array(vec![inner.clone(), inner]);
    assert_eq!(decode_amf3(knot, &Limits::default()), Ok(expected));
}

#[test]
fn a_few_bytes_of_amf3_do_not_become_many() {
    // Arrays that each name the one before twice: 2^n values without a bound.
    let mut bytes = b"\x09\x3d\x01\x09\x01\x01".to_vec();
    for index in 1..30 {
        bytes.extend([0x09, 0x05, 0x01, 0x09, index << 1, 0x09, index << 1]);
    }
    let bounded = decode_amf3(&bytes, &Limits::default());
    assert!(bounded == Err(Error::limit("too many AMF values")) || bounded == Err(TOO_DEEP), "{bounded:?}");
    // A long text, named a thousand times as a value, as the name of a member, in traits.
    // 13,440 bytes of text; an array of 1,001.
    let long = [&b"\x06\x81\xd2\x01"[..], &[b'x'; 13_440]].concat();
    for part in [&b"\x06\x00"[..], b"\x0a\x0b\x01\x00\x01\x01", b"\x0a\x13\x01\x00\x01"] {
        let bytes = [&b"\x09\x8f\x53\x01"[..], &long, &part.repeat(1_000)].concat();
        assert_eq!(decode_amf3(&bytes, &Limits::default()), Err(Error::limit("too much AMF text")));
    }
}

proptest! {
    #[test]
    fn noise_is_harmless(bytes: Vec<u8>) {
        let _ = decode_all(&bytes, &Limits::default());
        let _ = decode_amf3(&bytes, &Limits::default());
    }

    #[test]
    fn noise_made_of_markers_is_harmless(bytes in proptest::collection::vec(0_u8..0x14, 0..200)) {
        let _ = decode_all(&bytes, &Limits::default());
        let _ = decode_amf3(&bytes, &Limits::default());
    }
}
