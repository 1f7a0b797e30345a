//! Tasks: panics are caught and told, cancelling drops, and a shard's end drops what is left.
//!
//! Knows nothing of sockets. The panics printed by these tests are meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Panics when it is dropped.
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "panic in a drop");
    }
}

#[test]
fn a_panic_ends_its_task_alone() {
    support::on_each(|_| async {
        let told = Rc::new(RefCell::new(Vec::new()));
        let texts = Rc::clone(&told);
        rt::set_panic_hook(move |text| texts.borrow_mut().push(text.to_owned()));
        let one = rt::spawn(async { panic!("at the first poll") });
        let two = rt::spawn(async {
            rt::sleep(Duration::from_millis(2)).await;
            panic!("after {} ms", 2);
        });
        let three = rt::spawn(async {
            let _touchy = Touchy;
            rt::yield_now().await;
        });
        let begun = rt::Notify::new();
        let tell = begun.clone();
        let four = rt::spawn(async move {
            let _touchy = Touchy;
            tell.notify();
            std::future::pending::<()>().await;
        });
        begun.wait().await;
        four.cancel();
        while !(one.is_finished() && two.is_finished() && three.is_finished()) || told.borrow().len() < 4 {
            rt::sleep(Duration::from_millis(1)).await;
        }
        let mut texts = told.borrow().clone();
        texts.sort();
        assert_eq!(texts, ["after 2 ms", "at the first poll", "panic in a drop", "panic in a drop"]);
        // The hook itself may panic.
        rt::set_panic_hook(|_| panic!("in the hook"));
        let five = rt::spawn(async { panic!("unheard") });
        while !five.is_finished() {
            rt::yield_now().await;
        }
        // And the shard goes on.
        let done = rt::Notify::new();
        let tell = done.clone();
        rt::spawn(async move { tell.notify() });
        done.wait().await;
    });
}

#[test]
fn a_panic_of_main_is_told_by_join() {
    for backend in support::backends() {
        let shard = support::start(backend, || async {
            rt::yield_now().await;
            panic!("main broke")
        });
        assert_eq!(support::finish(shard), Err("main broke".to_owned()));
        let shard = support::start(backend, || -> std::future::Ready<()> { panic!("before main") });
        assert_eq!(support::finish(shard), Err("before main".to_owned()));
    }
}

#[test]
fn cancelling_drops_and_dropping_detaches() {
    support::on_each(|_| async {
        let drops = Arc::new(AtomicUsize::new(0));
        let ran = Rc::new(Cell::new(0));
        // Cancelled before its first poll, while pending, and after its end.
        let counted = Counted(Arc::clone(&drops));
        rt::spawn(async move {
            let _counted = counted;
            std::future::pending::<()>().await;
        })
        .cancel();
        let counted = Counted(Arc::clone(&drops));
        let pending = rt::spawn(async move {
            let _counted = counted;
            std::future::pending::<()>().await;
        });
        let count = Rc::clone(&ran);
        let counted = Counted(Arc::clone(&drops));
        let ended = rt::spawn(async move {
            let _counted = counted;
            count.set(count.get() + 1);
        });
        let count = Rc::clone(&ran);
        drop(rt::spawn(async move {
            rt::yield_now().await;
            count.set(count.get() + 1);
        }));
        while ran.get() < 2 {
            rt::yield_now().await;
        }
        assert!(!pending.is_finished());
        pending.cancel();
        ended.cancel();
        while drops.load(Ordering::SeqCst) < 3 {
            rt::yield_now().await;
        }
    });
}

#[test]
fn tasks_left_are_dropped_with_their_shard() {
    for backend in support::backends() {
        let drops = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&drops);
        let shard = support::start(backend, move || async move {
            for i in 0..1000 {
                let counted = Counted(Arc::clone(&counter));
                rt::spawn(async move {
                    let _counted = counted;
                    if i % 2 == 0 {
                        std::future::pending::<()>().await;
                    }
                    loop {
                        rt::sleep(Duration::from_secs(1000)).await;
                    }
                });
            }
        });
        support::finish(shard).unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1000, "{backend}");
    }
}

#[test]
fn outside_a_shard_a_task_is_dropped_and_told() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    rt::set_panic_hook(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert!(rt::spawn(async {}).is_finished());
    assert_eq!(told.load(Ordering::SeqCst), 1);
}
