//! Whether io_uring can be had, asked before the first executor is made: glommio itself panics or ends
//! the process when it cannot.
//!
//! Knows nothing of executors beyond what glommio asks of the kernel. Invariants: the trial calls run in a
//! forked child, so that a filter which kills is survived; nothing is left open.
#![allow(unsafe_code)]

use std::fmt;
use std::fs;
use std::io;

use crate::limits;
use crate::uring::IO_MEMORY;

/// Why io_uring cannot be had, one line, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UringUnavailable {
    /// The reason, one line.
    pub why: String,
    /// What would allow it, one line.
    pub remedy: String,
}

impl fmt::Display for UringUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why, self.remedy)
    }
}

impl std::error::Error for UringUnavailable {}

fn no(why: impl Into<String>, remedy: impl Into<String>) -> UringUnavailable {
    UringUnavailable { why: why.into(), remedy: remedy.into() }
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";
const REGISTER_PROBE: libc::c_long = 8;
const OP_SUPPORTED: u8 = 1;

/// The oldest kernel that glommio supports.
const OLDEST: (u32, u32) = (5, 8);

/// glommio refuses to start below this soft limit of locked memory, whoever runs it.
const LEAST_LOCKED: u64 = 512 << 10;

/// Locked memory that the kernel charges a shard: three rings of 256 entries, each with the registered
/// buffer. Measured as an ordinary user on Linux 6.18: 264 KiB (31 shards start in 8 MiB); elsewhere 315 KiB
/// was seen. A test holds that what is allowed here does start.
const LOCKED_PER_SHARD: u64 = 3 * (IO_MEMORY as u64 + (44 << 10));

/// What glommio needs of the kernel: its own list, and the cancellation that it uses beside it.
const OPS: &[(u8, &str)] = &[
    (0, "NOP"),
    (1, "READV"),
    (2, "WRITEV"),
    (3, "FSYNC"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (6, "POLL_ADD"),
    (7, "POLL_REMOVE"),
    (9, "SENDMSG"),
    (10, "RECVMSG"),
    (11, "TIMEOUT"),
    (12, "TIMEOUT_REMOVE"),
    (13, "ACCEPT"),
    (14, "ASYNC_CANCEL"),
    (15, "LINK_TIMEOUT"),
    (16, "CONNECT"),
    (17, "FALLOCATE"),
    (18, "OPENAT"),
    (19, "CLOSE"),
    (21, "STATX"),
    (22, "READ"),
    (23, "WRITE"),
    (26, "SEND"),
    (27, "RECV"),
];

/// Asks whether `shards` io_uring shards can be had on this machine, by this process, now. Costs about a
/// millisecond. Raise the limit of locked memory first ([`limits::raise_memlock`]).
///
/// # Errors
/// The reason and the remedy.
pub fn probe_uring(shards: usize) -> Result<(), UringUnavailable> {
    if cfg!(not(all(target_os = "linux", target_pointer_width = "64"))) {
        return Err(no("io_uring is not built for this machine", "use 64-bit Linux"));
    }
    let sysctl = read_number(SYSCTL).unwrap_or(0);
    if sysctl == 2 {
        return Err(no("io_uring is disabled by sysctl (kernel.io_uring_disabled=2)", SYSCTL_REMEDY));
    }
    match try_calls() {
        Trial::Works => {}
        Trial::Missing(op) => {
            let name = OPS.iter().find(|(number, _)| i32::from(*number) == op).map_or("?", |(_, name)| name);
            return Err(no(
                format!("the kernel's io_uring lacks the operation {name}"),
                "use Linux 5.8 or later",
            ));
        }
        Trial::Refused(errno) => return Err(refused(errno, sysctl)),
        Trial::Killed(signal) => {
            return Err(no(
                format!("io_uring is blocked by seccomp (the call is answered with signal {signal})"),
                SECCOMP_REMEDY,
            ));
        }
    }
    if let Some(version) = kernel_version()
        && version < OLDEST
    {
        return Err(no(
            format!("the kernel is {}.{}, older than 5.8", version.0, version.1),
            "use Linux 5.8 or later",
        ));
    }
    locked_memory(shards)
}

const SYSCTL_REMEDY: &str = "set kernel.io_uring_disabled=0";
const SECCOMP_REMEDY: &str =
    "run with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register";

fn refused(errno: i32, sysctl: u64) -> UringUnavailable {
    let text = io::Error::from_raw_os_error(errno);
    match errno {
        libc::ENOSYS => {
            no("the kernel has no io_uring (ENOSYS)", "use Linux 5.8 or later with CONFIG_IO_URING")
        }
        libc::EPERM if sysctl == 1 => no(
            "io_uring is disabled by sysctl for this user (kernel.io_uring_disabled=1)",
            "set kernel.io_uring_disabled=0, or join the group of kernel.io_uring_group",
        ),
        libc::EPERM => {
            let by = if status_field("Seccomp:") == Some(0) { "a security policy" } else { "seccomp" };
            no(format!("io_uring is blocked by {by} (EPERM), as in Docker's default profile"), SECCOMP_REMEDY)
        }
        libc::ENOMEM => no(
            "too little locked memory for io_uring (ENOMEM)",
            "raise the limit of locked memory (ulimit -l, LimitMEMLOCK)",
        ),
        _ => no(format!("io_uring cannot be set up: {text}"), "see the error of the system"),
    }
}

/// The first number in a file.
fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A field of this process's status, in whatever base the kernel writes it (`CapEff` is hexadecimal).
fn status_field(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?.trim();
    let base = if name.starts_with("Cap") { 16 } else { 10 };
    u64::from_str_radix(value, base).ok()
}

fn kernel_version() -> Option<(u32, u32)> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut parts = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether the kernel charges locked memory to this process: not with CAP_IPC_LOCK in the first user
/// namespace, which alone maps all ids.
fn locked_is_charged() -> bool {
    const IPC_LOCK: u64 = 1 << 14;
    let capable = status_field("CapEff:").is_some_and(|caps| caps & IPC_LOCK != 0);
    let first_namespace = fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
    !(capable && first_namespace)
}

fn locked_memory(shards: usize) -> Result<(), UringUnavailable> {
    let (soft, _) = limits::memlock();
    let charged = if locked_is_charged() {
        u64::try_from(shards).unwrap_or(u64::MAX).saturating_mul(LOCKED_PER_SHARD)
    } else {
        0
    };
    let need = charged.max(LEAST_LOCKED);
    if soft >= need {
        return Ok(());
    }
    Err(no(
        format!(
            "too little locked memory: {} KiB allowed, {} KiB needed for {shards} shards",
            soft >> 10,
            need >> 10
        ),
        "raise the limit of locked memory (ulimit -l, LimitMEMLOCK), or use fewer shards",
    ))
}

/// What the trial calls gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Works,
    Missing(i32),
    Refused(i32),
    Killed(i32),
}

/// Makes the trial calls in a forked child; in this process when it cannot fork.
fn try_calls() -> Trial {
    let mut ends: [libc::c_int; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return decode(trial_calls());
    }
    let [reader, writer] = ends;
    // SAFETY: the child makes only raw system calls on its own stack and leaves by `_exit`, which is what
    // a child of a process with many threads may do.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let report = trial_calls();
        // SAFETY: `report` is live for its whole size; `_exit` does not return.
        unsafe {
            libc::write(writer, (&raw const report).cast(), size_of_val(&report));
            libc::_exit(0);
        }
    }
    // SAFETY: both descriptors are ours alone; the reader is closed below.
    unsafe { libc::close(writer) };
    let trial = if child < 0 { decode(trial_calls()) } else { hear(reader, child) };
    // SAFETY: see above.
    unsafe { libc::close(reader) };
    trial
}

/// Reads the child's report and waits for its end.
fn hear(reader: libc::c_int, child: libc::pid_t) -> Trial {
    let mut report = [0i32; 2];
    // SAFETY: `report` is live and writable for its whole size.
    let read = restarted(|| unsafe {
        libc::read(reader, (&raw mut report).cast(), size_of_val(&report)).try_into().unwrap_or(-1)
    });
    let mut status = 0;
    // SAFETY: `status` is a valid, writable int, and `child` is our own child.
    restarted(|| unsafe { libc::waitpid(child, &raw mut status, 0) });
    if usize::try_from(read) == Ok(size_of_val(&report)) {
        decode(report)
    } else {
        Trial::Killed(if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { libc::SIGSYS })
    }
}

fn restarted(mut call: impl FnMut() -> libc::c_int) -> libc::c_int {
    loop {
        let rc = call();
        if rc != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return rc;
        }
    }
}

fn decode(report: [i32; 2]) -> Trial {
    match report {
        [0, _] => Trial::Works,
        [1, errno] => Trial::Refused(errno),
        [_, op] => Trial::Missing(op),
    }
}

/// `io_uring_setup` and `IORING_REGISTER_PROBE`. Answers `[0, _]` when all is there, `[1, errno]` when a
/// call failed, `[2, operation]` when one is missing. Allocates nothing.
fn trial_calls() -> [i32; 2] {
    let mut params = [0u64; 15]; // struct io_uring_params: 120 bytes
    let entries: libc::c_long = 4;
    // SAFETY: `params` is zeroed, writable, and of the size of io_uring_params.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, &raw mut params) };
    let Ok(fd) = libc::c_int::try_from(ring) else { return [1, libc::EINVAL] };
    if fd < 0 {
        return [1, errno()];
    }
    const HEAD: usize = 16;
    const ENTRY: usize = 8;
    let mut probe = [0u8; HEAD + 256 * ENTRY]; // struct io_uring_probe with 256 operations
    let count: libc::c_long = 256;
    // SAFETY: `probe` is zeroed, writable, and has room for the 256 operations asked for.
    let rc =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_PROBE, &raw mut probe, count) };
    let failed = if rc < 0 { Some(errno()) } else { None };
    // SAFETY: `fd` is the ring made above, ours alone.
    unsafe { libc::close(fd) };
    if let Some(errno) = failed {
        return [1, errno];
    }
    for (op, _) in OPS {
        let flags = probe.get(HEAD + usize::from(*op) * ENTRY + 2).copied().unwrap_or(0);
        if flags & OP_SUPPORTED == 0 {
            return [2, i32::from(*op)];
        }
    }
    [0, 0]
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "RT_TEST_KILLED";

    /// A filter that kills instead of refusing: only the forked trial dies of it.
    #[test]
    fn a_killing_filter_is_survived() {
        if std::env::var_os(CHILD).is_some() {
            crate::seccomp::answer_uring_with(crate::seccomp::KILL_PROCESS).unwrap();
            let error = probe_uring(1).unwrap_err();
            assert!(error.why.contains("seccomp") && error.why.contains("signal 31"), "{error}");
            return;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "probe::tests::a_killing_filter_is_survived"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        let errors = [
            refused(libc::ENOSYS, 0),
            refused(libc::EPERM, 0),
            refused(libc::EPERM, 1),
            refused(libc::ENOMEM, 0),
            refused(libc::EMFILE, 0),
        ];
        for (i, error) in errors.iter().enumerate() {
            assert!(!error.why.contains('\n') && !error.remedy.is_empty());
            assert!(errors[..i].iter().all(|other| other.why != error.why), "{error}");
        }
        assert!(errors[2].why.contains("sysctl"));
    }

    #[test]
    fn the_kernel_tells_its_version() {
        assert!(kernel_version().unwrap() > (2, 6));
        assert!(status_field("CapEff:").is_some());
    }
}
