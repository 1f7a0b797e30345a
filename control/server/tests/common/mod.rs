//! The harness of the black-box tests: the real binary with its own ports, real programs, raw peers.
//!
//! Nothing here sleeps to wait for something to happen: [`until`] asks for a condition, with a limit. Every server, process
//! and thread started here ends with the test that started it.
#![allow(dead_code, unused_imports, unused_macros)] // each test program uses a part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

pub mod api;
pub mod flv;
pub mod media;
pub mod play;
pub mod publish;
pub mod server;
pub mod target;
pub mod tools;

pub use flv::Tag;
pub use play::Player;
pub use publish::Publisher;
pub use server::{Mode, Server};

use std::time::{Duration, Instant};

/// How long a condition may take that usually holds at once.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets media go out no faster than so many times real time.
pub struct Pace {
    start: Instant,
    speed: f64,
}

impl Pace {
    pub fn new(speed: f64) -> Self {
        Self { start: Instant::now(), speed }
    }

    /// How long it is until this time of the media has come.
    pub fn early(&self, ms: u32) -> Option<Duration> {
        Duration::from_secs_f64(f64::from(ms) / 1000.0 / self.speed).checked_sub(self.start.elapsed())
    }

    /// Waits for it.
    pub fn keep(&self, ms: u32) {
        if let Some(early) = self.early(ms) {
            std::thread::sleep(early);
        }
    }
}

/// Makes one test for each back-end of a function that takes a [`Mode`].
#[macro_export]
macro_rules! on_backends {
    ($($(#[$meta:meta])* $name:ident;)+) => { $(
        $(#[$meta])*
        mod $name {
            #[test]
            fn io_uring() {
                super::$name($crate::common::Mode::Uring);
            }

            #[test]
            fn epoll() {
                super::$name($crate::common::Mode::Epoll);
            }
        }
    )+ };
}

/// As [`on_backends`], and on epoll where a seccomp filter forbids io_uring.
#[macro_export]
macro_rules! on_backends_and_seccomp {
    ($($name:ident;)+) => { $(
        mod $name {
            #[test]
            fn io_uring() {
                super::$name($crate::common::Mode::Uring);
            }

            #[test]
            fn epoll() {
                super::$name($crate::common::Mode::Epoll);
            }

            #[test]
            fn epoll_under_seccomp() {
                super::$name($crate::common::Mode::Seccomp);
            }
        }
    )+ };
}
