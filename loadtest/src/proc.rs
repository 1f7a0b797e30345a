//! What a process and all its descendants have used, from the operating system's own accounting (proc(5)).

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` a second: the same on all Linux systems that programs see.
const TICKS_A_SECOND: u64 = 100;
/// A page of `/proc/PID/statm`, in KiB.
const PAGE_KIB: u64 = 4;

/// What was used up to one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// CPU time outside the kernel; of descendants that ended too, if they were waited for.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Resident memory now, shared pages by share.
    pub rss_kib: u64,
    /// System calls so far, where they can be counted.
    pub system_calls: Option<u64>,
}

/// A tree of processes.
#[derive(Debug)]
pub struct Account {
    root: u32,
}

struct Stat {
    parent: u32,
    user: u64,
    system: u64,
}

impl Account {
    /// Of this process and its descendants.
    pub const fn of(pid: u32) -> Self {
        Self { root: pid }
    }

    /// What they have used; zeros if the process is gone.
    pub fn sample(&self) -> Sample {
        let all: HashMap<u32, Stat> = pids().filter_map(|pid| Some((pid, stat(pid)?))).collect();
        let mut sample = Sample::default();
        for (pid, stat) in all.iter().filter(|(pid, _)| self.is_ancestor(**pid, &all)) {
            sample.user += ticks(stat.user);
            sample.system += ticks(stat.system);
            sample.rss_kib += resident_kib(*pid);
        }
        sample
    }

    /// All of them that live.
    pub fn pids(&self) -> Vec<u32> {
        let all: HashMap<u32, Stat> = pids().filter_map(|pid| Some((pid, stat(pid)?))).collect();
        all.keys().copied().filter(|pid| self.is_ancestor(*pid, &all)).collect()
    }

    fn is_ancestor(&self, pid: u32, all: &HashMap<u32, Stat>) -> bool {
        let mut at = pid;
        // A tree is not so deep; processes that change while they are looked at could make a ring.
        for _ in 0..64 {
            if at == self.root {
                return true;
            }
            match all.get(&at) {
                Some(stat) => at = stat.parent,
                None => return false,
            }
        }
        false
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn read(pid: u32, file: &str) -> Option<String> {
    std::fs::read_to_string(PathBuf::from("/proc").join(pid.to_string()).join(file)).ok()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = read(pid, "stat")?;
    // The name in brackets may hold anything; the state follows it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        user: number(11)? + number(13)?,
        system: number(12)? + number(14)?,
    })
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / TICKS_A_SECOND)
}

fn resident_kib(pid: u32) -> u64 {
    let shared = read(pid, "smaps_rollup").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    let all =
        || read(pid, "statm")?.split_whitespace().nth(1)?.parse().ok().map(|pages: u64| pages * PAGE_KIB);
    shared.or_else(all).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A shell whose child does the work.
    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", &format!("({script}); sleep 60")]).spawn().unwrap()
    }

    #[test]
    fn a_busy_child_of_a_child_is_accounted_for_and_an_idle_one_is_not() {
        let mut busy = shell("i=0; while [ $i -lt 6000000 ]; do i=$((i+1)); done");
        let mut idle = shell("true");
        let used = |child: &Child| {
            let sample = Account::of(child.id()).sample();
            sample.user + sample.system
        };
        let mut last = Duration::ZERO;
        // However long it takes.
        while last < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(20));
            let now = used(&busy);
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
        assert!(used(&idle) < Duration::from_millis(150), "{:?}", used(&idle));
        assert!(Account::of(idle.id()).sample().rss_kib > 0);
        for child in [&mut busy, &mut idle] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_is_gone_uses_nothing() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(Account::of(child.id()).sample().rss_kib, 0);
    }
}
