//! CPUs: which this process may use, pinning a thread to one, and how long a thread has run.
//!
//! Knows nothing of shards. Invariant: a thread is only ever pinned to a CPU of its affinity mask.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

/// CPUs above this number are not looked at.
const MAX_CPUS: usize = libc::CPU_SETSIZE as usize;

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: `cpu_set_t` is a plain bit array, for which all-zero bytes are the empty set.
    unsafe { std::mem::zeroed() }
}

/// The CPUs in the calling thread's affinity mask, in rising order. When the mask cannot be read, the
/// numbers from 0 to the parallelism that the standard library reports; never empty.
#[must_use]
pub fn online_cpus() -> Vec<usize> {
    let mut set = empty_set();
    // SAFETY: `set` is a valid, writable `cpu_set_t` of the size passed; 0 names the calling thread.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    let mut cpus = Vec::new();
    if rc == 0 {
        // SAFETY: every index is below CPU_SETSIZE, so it lies inside `set`.
        cpus.extend((0..MAX_CPUS).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }));
    }
    if cpus.is_empty() {
        cpus.extend(0..std::thread::available_parallelism().map_or(1, usize::from));
    }
    cpus
}

/// Pins the calling thread to `cpu`. `Ok(false)`: the CPU is not in the affinity mask, nothing was done.
pub(crate) fn pin_thread(cpu: usize) -> io::Result<bool> {
    if cpu >= MAX_CPUS || !online_cpus().contains(&cpu) {
        return Ok(false);
    }
    let mut set = empty_set();
    // SAFETY: `cpu` is below CPU_SETSIZE (checked above), so it lies inside `set`.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a valid `cpu_set_t` of the size passed; 0 names the calling thread.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if rc == 0 { Ok(true) } else { Err(io::Error::last_os_error()) }
}

/// CPU time that the calling thread has used since it started (user and system). Zero if the clock
/// cannot be read.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid, writable timespec.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut spec) };
    if rc != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(spec.tv_sec).unwrap_or(0), u32::try_from(spec.tv_nsec).unwrap_or(0))
}
