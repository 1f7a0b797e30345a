//! Slows down those who guess: each failure makes the next try wait longer.
//!
//! An address that fails waits up to half a minute. A name waits at most a second, whoever tries it, for otherwise
//! strangers could lock its owner out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries of each kind that are kept; past it the oldest is forgotten.
const MAX_ENTRIES: usize = 4096;
/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;
/// Wait after the first that does.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST_OF_ADDRESS: Duration = Duration::from_secs(30);
const LONGEST_OF_NAME: Duration = Duration::from_secs(1);
/// After this nothing is remembered.
const FORGET: Duration = Duration::from_secs(900);
/// Longest name that is remembered, in bytes.
const NAME_BYTES: usize = 64;

/// How long to wait before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(self, longest: Duration) -> Duration {
        let Some(steps) = self.count.checked_sub(FREE) else { return Duration::ZERO };
        FIRST.saturating_mul(1 << steps.min(16)).min(longest)
    }
}

#[derive(Default)]
struct Tables {
    addresses: HashMap<IpAddr, Failures>,
    names: HashMap<String, Failures>,
    failed: u64,
    too_soon: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Tables>);

impl Throttle {
    /// Whether a try may be made now.
    pub fn check(&self, from: IpAddr, name: &str) -> Result<(), Wait> {
        let mut tables = self.lock();
        let left = left(&tables.addresses, &from, LONGEST_OF_ADDRESS).max(left(
            &tables.names,
            &kept(name),
            LONGEST_OF_NAME,
        ));
        if left.is_zero() {
            return Ok(());
        }
        tables.too_soon += 1;
        Err(Wait(left))
    }

    pub fn failed(&self, from: IpAddr, name: &str) {
        let mut tables = self.lock();
        tables.failed += 1;
        note(&mut tables.addresses, from);
        note(&mut tables.names, kept(name));
    }

    pub fn succeeded(&self, from: IpAddr, name: &str) {
        let mut tables = self.lock();
        tables.addresses.remove(&from);
        tables.names.remove(&kept(name));
    }

    pub fn counts(&self) -> (u64, u64) {
        let tables = self.lock();
        (tables.failed, tables.too_soon)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept(name: &str) -> String {
    name.chars().take(NAME_BYTES).collect()
}

fn left<K: Hash + Eq>(table: &HashMap<K, Failures>, key: &K, longest: Duration) -> Duration {
    table
        .get(key)
        .map_or(Duration::ZERO, |failures| failures.wait(longest).saturating_sub(failures.last.elapsed()))
}

fn note<K: Hash + Eq + Clone>(table: &mut HashMap<K, Failures>, key: K) {
    if table.len() >= MAX_ENTRIES && !table.contains_key(&key) {
        table.retain(|_, failures| failures.last.elapsed() < FORGET);
        if table.len() >= MAX_ENTRIES
            && let Some(oldest) =
                table.iter().min_by_key(|(_, failures)| failures.last).map(|(k, _)| k.clone())
        {
            table.remove(&oldest);
        }
    }
    let failures = table.entry(key).or_insert(Failures { count: 0, last: Instant::now() });
    failures.count = failures.count.saturating_add(1);
    failures.last = Instant::now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bounds_and_end_with_a_success() {
        let throttle = Throttle::default();
        let here: IpAddr = "10.0.0.1".parse().unwrap();
        for n in 0..FREE - 1 {
            throttle.failed(here, "a");
            assert_eq!(throttle.check(here, "a"), Ok(()), "{n}");
        }
        let mut before = Duration::ZERO;
        for _ in 0..12 {
            throttle.failed(here, "a");
            let Err(Wait(wait)) = throttle.check(here, "a") else { panic!("no wait") };
            assert!(wait + Duration::from_millis(50) >= before && wait <= LONGEST_OF_ADDRESS);
            before = wait;
        }
        assert!(before > LONGEST_OF_NAME);
        // From elsewhere the owner of the name waits a second at most.
        let Err(Wait(wait)) = throttle.check("10.0.0.2".parse().unwrap(), "a") else { panic!("no wait") };
        assert!(wait <= LONGEST_OF_NAME);
        throttle.succeeded(here, "a");
        assert_eq!(throttle.check(here, "a"), Ok(()));
    }

    #[test]
    fn it_remembers_only_so_many() {
        let throttle = Throttle::default();
        for n in 0..MAX_ENTRIES as u32 + 500 {
            throttle.failed(IpAddr::from(n.to_be_bytes()), &format!("{n}"));
        }
        let tables = throttle.lock();
        assert_eq!((tables.addresses.len(), tables.names.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
