//! `rt`: cores, tasks, timers, sockets and doorbells behind one surface.
//!
//! Two back-ends serve every call: `io_uring` (glommio) and `epoll` (tokio's current-thread
//! runtime). A shard is one pinned OS thread that runs one of them; the choice is a thread-local fact,
//! so no type parameter and no type of either leaks out of this crate.
//!
//! What it does not know: media, streams, sessions, configuration, logging. It is told what to do and
//! answers with `io::Result`; text for people comes back as a `String` or goes to the panic hook.
//!
//! Invariants:
//! - Everything except [`spawn_shard`], [`bind_tcp`], [`doorbell`], `limits`, `seccomp`, [`probe_uring`],
//!   [`sock`] and the plain free functions must be called inside a shard; elsewhere it answers an error,
//!   it never panics.
//! - A panic inside a task ends that task and nothing else.
//! - Every future here may be dropped at any await without losing a byte, a connection, or a wake,
//!   except [`TcpStream::write_all`], after which an unknown part has been sent.
//! - `unsafe` stands only in the modules that allow it at their top, each block with its reason.

mod bell;
mod cpus;
mod either;
pub mod limits;
mod notify;
mod poller;
mod probe;
pub mod seccomp;
mod shard;
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), allow(dead_code))]
mod slice;
pub mod sock;
mod socket;
mod task;
mod tcp;
mod time;
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), path = "uring_absent.rs")]
mod uring;

pub use bell::{Doorbell, Ringer, doorbell};
pub use cpus::{online_cpus, thread_cpu_time};
pub use either::{Either, either, timeout};
pub use notify::Notify;
pub use poller::{Poller, Ready};
pub use probe::{UringUnavailable, probe_uring};
pub use shard::{Backend, ShardSpec, ShardThread, current_backend, spawn_shard};
pub use sock::{
    peer_addr, recv_now, send_gather, set_linger_zero, set_nodelay, set_notsent_lowat, set_receive_low_water,
    set_recv_buffer, set_send_buffer, shutdown_write, unsent_bytes,
};
pub use task::{Task, set_panic_hook, spawn};
pub use tcp::{TcpListener, TcpStream, bind_tcp};
pub use time::{sleep, sleep_until, yield_now};
