//! Limits of this process: open files and locked memory.
//!
//! Knows nothing of what needs them. Invariant: a limit is only ever raised.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Which {
    Files,
    Locked,
}

/// Soft and hard limit; `RLIM_INFINITY` is told as [`UNLIMITED`].
fn get(which: Which) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, writable rlimit.
    let rc = unsafe {
        match which {
            Which::Files => libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit),
            Which::Locked => libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit),
        }
    };
    if rc == 0 { Ok((told(limit.rlim_cur), told(limit.rlim_max))) } else { Err(io::Error::last_os_error()) }
}

fn set(which: Which, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: asked(soft), rlim_max: asked(hard) };
    // SAFETY: `limit` is a valid rlimit, which the call only reads.
    let rc = unsafe {
        match which {
            Which::Files => libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit),
            Which::Locked => libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit),
        }
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// `rlim_t` is 64 bits wide on some machines and 32 on others.
#[allow(clippy::useless_conversion)]
fn told(value: libc::rlim_t) -> u64 {
    if value == libc::RLIM_INFINITY { UNLIMITED } else { u64::from(value) }
}

#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
fn asked(value: u64) -> libc::rlim_t {
    if value == UNLIMITED { libc::RLIM_INFINITY } else { value.try_into().unwrap_or(libc::RLIM_INFINITY) }
}

fn raise(which: Which, want: u64) -> io::Result<u64> {
    let (soft, hard) = get(which)?;
    if soft >= want {
        return Ok(soft);
    }
    // With the privilege the hard limit goes up too; without it the soft one goes as far as it may.
    if hard >= want || set(which, want, want).is_err() {
        set(which, want.min(hard), hard)?;
    }
    get(which).map(|(soft, _)| soft)
}

/// Raises the number of files this process may open to `want`, or as near as is allowed; answers what it
/// is now (never less than before).
///
/// # Errors
/// The system's.
pub fn raise_nofile(want: u64) -> io::Result<u64> {
    raise(Which::Files, want)
}

/// Makes room for so many open files, no more than are allowed, in the kernel's table of them (eight bytes each), so that
/// it need not grow later: of a process with threads, each doubling halts the thread that opens a file for 8 to 30 ms,
/// until every core has let go of the old table.
///
/// # Errors
/// The system's.
pub fn reserve_files(files: u64) -> io::Result<()> {
    let (allowed, _) = get(Which::Files)?;
    let last = libc::c_int::try_from(files.min(allowed).saturating_sub(1)).unwrap_or(libc::c_int::MAX);
    let any = UnixDatagram::unbound()?;
    // SAFETY: `any` is an open descriptor, and the call touches no memory of this process.
    let copy = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened it, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

/// Raises the memory, in bytes, that this process may lock as far as is allowed; answers what it is now
/// ([`UNLIMITED`] for no limit).
///
/// # Errors
/// The system's.
pub fn raise_memlock() -> io::Result<u64> {
    raise(Which::Locked, UNLIMITED)
}

/// Files this process may open: the soft and the hard limit. Zeros when they cannot be read.
#[must_use]
pub fn nofile() -> (u64, u64) {
    get(Which::Files).unwrap_or((0, 0))
}

/// Bytes this process may lock: the soft and the hard limit. Zeros when they cannot be read.
#[must_use]
pub fn memlock() -> (u64, u64) {
    get(Which::Locked).unwrap_or((0, 0))
}
