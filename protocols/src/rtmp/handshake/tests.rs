//! Both sides against each other and against vectors computed by another implementation.

use super::digest::{PACKET, Scheme, Signer};
use super::{ConnectingHandshake, HandshakeForm, ServingHandshake};
use crate::ErrorKind;

const FORMS: [HandshakeForm; 3] = [
    HandshakeForm::Simple,
    HandshakeForm::Digest(Scheme::DigestFirst),
    HandshakeForm::Digest(Scheme::KeyFirst),
];

/// Runs both sides, the bytes of each direction cut at every multiple of `cut`.
fn run(form: HandshakeForm, cut: usize) -> (ConnectingHandshake, Vec<u8>, Vec<u8>) {
    let mut from_us = Vec::new();
    let mut from_server = Vec::new();
    let mut connecting = ConnectingHandshake::new(form, 7, &mut from_us);
    let mut serving = ServingHandshake::new(8);
    for piece in from_us.chunks(cut) {
        let mut piece = piece;
        assert!(!serving.read(&mut piece, &mut from_server).unwrap());
        assert!(piece.is_empty());
    }
    assert_eq!(from_server.len(), 1 + 2 * PACKET, "S0, S1 and S2 as soon as C1 is complete");
    let mut c2 = Vec::new();
    let mut done = false;
    for piece in from_server.chunks(cut) {
        let mut piece = piece;
        assert!(!done);
        done = connecting.read(&mut piece, &mut c2).unwrap();
        assert!(piece.is_empty());
    }
    assert!(done);
    assert_eq!(c2.len(), PACKET);
    c2.extend_from_slice(b"next");
    let mut rest = c2.as_slice();
    let mut nothing = Vec::new();
    assert!(serving.read(&mut rest, &mut nothing).unwrap());
    assert_eq!((rest, nothing.len()), (b"next".as_slice(), 0));
    (connecting, from_server, c2)
}

#[test]
fn both_sides_finish_in_every_form_however_the_bytes_are_cut() {
    for form in FORMS {
        for cut in [1, 2, 3, 100, 1535, 1536, 1537, 3072, 3073, 4000] {
            let (connecting, _, _) = run(form, cut);
            assert_eq!(connecting.is_proven(), form != HandshakeForm::Simple, "{form:?} {cut}");
        }
    }
}

#[test]
fn the_simple_form_echoes_both_ways_and_says_version_zero() {
    let mut c0c1 = Vec::new();
    ConnectingHandshake::new(HandshakeForm::Simple, 7, &mut c0c1);
    let (_, from_server, c2) = run(HandshakeForm::Simple, 5000);
    assert_eq!(&from_server[1 + PACKET..], &c0c1[1..], "S2 is C1");
    assert_eq!(&c2[..PACKET], &from_server[1..=PACKET], "C2 is S1");
    assert_eq!(&from_server[5..9], &[0; 4]);
}

#[test]
fn the_reply_to_a_digest_is_signed_by_both_keys() {
    for scheme in Scheme::ALL {
        let (_, from_server, c2) = run(HandshakeForm::Digest(scheme), 5000);
        let s1: [u8; PACKET] = from_server[1..=PACKET].try_into().unwrap();
        let (found, digest) = Signer::Server.find(&s1).unwrap();
        assert_eq!(found, scheme, "the server's digest stands where the peer's stood");
        assert!(Signer::Player.answers(&c2[..PACKET].try_into().unwrap(), &digest));
        assert_eq!(Signer::Player.find(&s1), None);
    }
}

#[test]
fn a_version_without_a_valid_digest_is_answered_in_the_simple_form() {
    let mut c1 = [0x55; PACKET];
    c1[4] = 9;
    let mut bytes = vec![3];
    bytes.extend_from_slice(&c1);
    let mut out = Vec::new();
    ServingHandshake::new(1).read(&mut bytes.as_slice(), &mut out).unwrap();
    assert_eq!(&out[1 + PACKET..], &c1);
    assert_eq!(&out[5..9], &[0; 4]);
}

#[test]
fn other_versions_are_refused_at_the_first_byte() {
    for (version, kind) in [
        (0, ErrorKind::Malformed),
        (4, ErrorKind::Malformed),
        (6, ErrorKind::Unsupported),
        (0x16, ErrorKind::Malformed),
        (b'G', ErrorKind::Malformed),
    ] {
        let mut out = Vec::new();
        let error = ServingHandshake::new(1).read(&mut [version].as_slice(), &mut out).unwrap_err();
        assert_eq!((error.kind, out.len()), (kind, 0), "{version}");
        let mut connecting = ConnectingHandshake::new(HandshakeForm::Simple, 1, &mut out);
        let error = connecting.read(&mut [version].as_slice(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind, kind);
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Computed with Python's `hmac` over the packet whose byte `i` is `7 i + 3`.
#[test]
fn digests_are_those_of_another_implementation() {
    for (scheme, at, digest, proof) in [
        (
            Scheme::DigestFirst,
            290,
            "36d27b365b84e5e55f376e2f24f3a7dd6b8b5e9b002f035f99366c07e43b8d41",
            "772fa88ea2f1725a5aaf4012f46e06c449901b7afae690f60982a347dbd77d24",
        ),
        (
            Scheme::KeyFirst,
            942,
            "492c04ebd265e6343c4c12f5580a46399bec2724821f27f321b95ca75b63b318",
            "28c49ea8906be3ecaad271897e9a62ce638c2bfda0e72d33e08ee915b5d67188",
        ),
    ] {
        let plain: [u8; PACKET] = std::array::from_fn(|i| (i.wrapping_mul(7) + 3) as u8);
        assert_eq!(scheme.position(&plain), at);
        let mut c1 = plain;
        let signed = Signer::Player.sign(&mut c1, scheme);
        assert_eq!(signed.as_slice(), hex(digest));
        assert_eq!(&c1[at..at + 32], hex(digest));
        assert_eq!(Signer::Player.find(&c1), Some((scheme, signed)));
        let mut s2 = plain;
        Signer::Server.answer(&mut s2, &signed);
        assert_eq!(&s2[1504..], hex(proof));
        assert!(Signer::Server.answers(&s2, &signed));
        assert!(!Signer::Player.answers(&s2, &signed));
    }
}

#[test]
fn a_digest_at_the_last_possible_place_is_inside_the_packet() {
    for scheme in Scheme::ALL {
        let mut c1 = [0; PACKET];
        // 255 + 255 + 217 + 0 = 727, the largest remainder.
        let at = if scheme == Scheme::DigestFirst { 8 } else { 772 };
        c1[at..at + 4].copy_from_slice(&[255, 255, 217, 0]);
        Signer::Player.sign(&mut c1, scheme);
        assert_eq!(scheme.position(&c1), at + 4 + 727);
        assert_eq!(Signer::Player.find(&c1).map(|(scheme, _)| scheme), Some(scheme));
    }
}
