//! Shards: one pinned, named OS thread that runs one executor.
//!
//! Knows nothing of what runs inside. Invariants: the thread-local back-end is set for the whole life of
//! the executor and only then; when `main` returns, every task left is dropped before the thread ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;

use crate::{cpus, task, uring};

/// What an executor waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring, by glommio.
    Uring,
    /// epoll, by tokio's current-thread runtime.
    Epoll,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// How to start a shard.
#[derive(Clone, Debug)]
pub struct ShardSpec {
    /// Name of the OS thread (Linux shows its first 15 bytes).
    pub name: String,
    /// CPU to pin to. One outside the affinity mask, or `None`, leaves the thread unpinned.
    pub cpu: Option<usize>,
    /// What it waits with. Ask [`crate::probe_uring`] before choosing [`Backend::Uring`].
    pub backend: Backend,
}

thread_local! {
    static CURRENT: Cell<Option<Backend>> = const { Cell::new(None) };
}

/// The back-end of the shard that this thread is, or `None` outside a shard.
#[must_use]
pub fn current_backend() -> Option<Backend> {
    CURRENT.get()
}

/// The error of every call that needs a shard and was made outside one.
pub(crate) fn outside() -> io::Error {
    io::Error::other("called outside a shard")
}

/// Sets the thread-local back-end for as long as it lives.
struct Entered;

impl Entered {
    fn new(backend: Backend) -> Self {
        CURRENT.set(Some(backend));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Starts a thread that runs `main` on the asked back-end until it returns, then drops whatever tasks
/// are left.
///
/// # Errors
/// Only when the thread cannot be started. An executor that cannot start shows in [`ShardThread::join`]:
/// let `main` report that it runs, and wait for that with a time-out.
pub fn spawn_shard<F, Fut>(spec: ShardSpec, main: F) -> io::Result<ShardThread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let ShardSpec { name, cpu, backend } = spec;
    let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
        // A CPU that cannot be pinned costs locality, never the shard.
        if let Some(cpu) = cpu {
            let _ = cpus::pin_thread(cpu);
        }
        // Declared before the guard: dropped after it.
        let _entered = Entered::new(backend);
        match backend {
            Backend::Uring => uring::run(&name, || run_main(main)),
            Backend::Epoll => run_epoll(|| run_main(main)),
        }
    })?;
    Ok(ShardThread { handle })
}

/// Runs `main` guarded, then lets every task left go, inside the executor.
async fn run_main<F, Fut>(main: F) -> Result<(), String>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let failure = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&failure);
    task::catching(async move { main().await }, move |text| *slot.borrow_mut() = Some(text)).await;
    task::drop_all().await;
    match failure.take() {
        Some(text) => Err(text),
        None => Ok(()),
    }
}

fn run_epoll<Fut>(main: impl FnOnce() -> Fut) -> Result<(), String>
where
    Fut: Future<Output = Result<(), String>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| format!("the epoll executor cannot start: {error}"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, main())
}

/// A running shard.
#[derive(Debug)]
pub struct ShardThread {
    handle: JoinHandle<Result<(), String>>,
}

impl ShardThread {
    /// Waits for the shard to end.
    ///
    /// # Errors
    /// The text of the panic, or of what kept the executor from starting.
    pub fn join(self) -> Result<(), String> {
        match self.handle.join() {
            Ok(result) => result,
            Err(payload) => Err(task::panic_text(payload.as_ref())),
        }
    }

    /// Whether the thread has ended, so that `join` returns at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}
