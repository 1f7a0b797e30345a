//! What an idle connection costs: memory of this process, counted at the allocator.
//!
//! Knows nothing of the kernel's share. Invariant: alone in its process, so that nobody else allocates.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering};

use rt::{TcpListener, TcpStream};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only sizes are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn idle_connections_cost_little_memory() {
    const COUNT: usize = 1000;
    rt::limits::raise_nofile(4096).unwrap();
    support::on_each(|backend| async move {
        let listener = rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 1024).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let mut pairs = Vec::new();
        for _ in 0..COUNT {
            let theirs = std::net::TcpStream::connect(address).unwrap();
            pairs.push((listener.accept().await.unwrap().0, theirs));
        }
        let scratch = Rc::new(RefCell::new(vec![0u8; 64 << 10]));
        let mut theirs = Vec::with_capacity(COUNT);
        let waiting = Rc::new(Cell::new(0));
        let (before, resident) = (HELD.load(Ordering::Relaxed), support::resident());
        for (fd, other) in pairs.drain(..) {
            theirs.push(other);
            let (scratch, waiting) = (Rc::clone(&scratch), Rc::clone(&waiting));
            rt::spawn(async move {
                let mut stream = TcpStream::from_fd(fd).unwrap();
                waiting.set(waiting.get() + 1);
                while stream.read_with(&scratch, <[u8]>::len).await.is_ok_and(|(n, _)| n > 0) {}
                waiting.set(waiting.get() - 1);
            });
        }
        while waiting.get() < COUNT {
            rt::yield_now().await;
        }
        rt::yield_now().await;
        let count = isize::try_from(COUNT).unwrap();
        let each = (HELD.load(Ordering::Relaxed) - before) / count;
        let seen = support::resident().saturating_sub(resident) / COUNT;
        eprintln!("{backend}: {each} bytes allocated an idle connection with its task ({seen} resident)");
        assert!(each < 4096, "{each} bytes each");
        drop(theirs);
        while waiting.get() > 0 {
            rt::yield_now().await;
        }
    });
}
