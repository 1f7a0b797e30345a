//! A filter that forbids io_uring, as container runtimes do by default.
//!
//! Knows nothing of shards. Invariant: once installed it stays for the life of the process, on every
//! thread, and everything else stays allowed.
#![allow(unsafe_code)]

use std::io;

/// `io_uring_setup`, `io_uring_enter`, `io_uring_register`: the same numbers on every machine.
const FIRST_CALL: u32 = 425;
const LAST_CALL: u32 = 427;

#[cfg(target_arch = "x86_64")]
const ARCH: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<u32> = None;

const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
const SECCOMP_FILTER_FLAG_TSYNC: libc::c_long = 1;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;
#[cfg(test)]
pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;

/// Offsets inside `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_ABOVE: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Makes the three io_uring calls fail with `EPERM` in every thread of this process and in its children,
/// as Docker's default profile does. It cannot be undone. For tests of the other back-end.
///
/// # Errors
/// `Unsupported` on machines other than x86_64 and aarch64; otherwise the system's.
pub fn forbid_uring() -> io::Result<()> {
    answer_uring_with(RET_ERRNO | libc::EPERM.cast_unsigned())
}

/// Installs the filter that answers the three calls with `verdict`.
pub(crate) fn answer_uring_with(verdict: u32) -> io::Result<()> {
    let Some(arch) = ARCH else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut program = [
        step(LOAD, ARCH_AT, 0, 0),
        step(IF_EQUAL, arch, 0, 4),
        step(LOAD, NUMBER_AT, 0, 0),
        step(IF_AT_LEAST, FIRST_CALL, 0, 2),
        step(IF_ABOVE, LAST_CALL, 1, 0),
        step(RETURN, verdict, 0, 0),
        step(RETURN, RET_ALLOW, 0, 0),
    ];
    let length = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let (one, zero): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points at its steps, which outlive the call; the kernel copies them.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    match rc {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}
