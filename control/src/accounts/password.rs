//! Hashes and random words. Everything random comes from the operating system.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};
use std::sync::OnceLock;

pub(super) fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// argon2id with the parameters of its RFC's second choice, which the crate has as its default (19 MiB, 2 passes).
pub(super) fn hash(text: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

pub(super) fn verify(text: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(text.as_bytes(), &hash).is_ok())
}

/// A hash that no password has.
pub(super) fn nobodys() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&token()).unwrap_or_default()).clone()
}

/// A password that can be typed: 100 bits.
pub(super) fn random() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map_or('a', |letter| char::from(*letter));
    bytes::<20>().iter().map(letter).collect()
}

/// The secret part of a token: 256 bits.
pub(super) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// Number of a token.
pub(super) fn id() -> String {
    hex(&bytes::<8>())
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails on no system that runs this; without randomness nothing here may go on.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the system has no random numbers");
        std::process::abort();
    }
    bytes
}
