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
        bytes.extend(b"\0\0\x09");
        assert_eq!(decode_all(&bytes, &Limits::default()), expected);
    }
}

#[test]
fn nested_ten_thousand_deep_is_a_limit() {
    let deep: Vec<u8> = b"\x03\0\x01a".iter().copied().cycle().take(40_000).collect();
    assert_eq!(decode_all(&deep, &Limits::default()), Err(Error::limit("AMF nested too deep")));
    let arrays: Vec<u8> = b"\x0a\0\0\0\x01".iter().copied().cycle().take(50_000).collect();
    assert_eq!(decode_all(&arrays, &Limits::default()), Err(Error::limit("AMF nested too deep")));
    let amf3: Vec<u8> =
        std::iter::once(0x11).chain(b"\x09\x03\x01".iter().copied().cycle().take(30_000)).collect();
    assert_eq!(decode_all(&amf3, &Limits::default()), Err(Error::limit("AMF nested too deep")));
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

proptest! {
    #[test]
    fn noise_is_harmless(bytes: Vec<u8>) {
        let _ = decode_all(&bytes, &Limits::default());
        let _ = decode_amf3(&bytes, &Limits::default());
    }
}
