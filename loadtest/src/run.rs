//! Drives one scenario against one server, from the first publisher to the result.

use crate::calls::Calls;
use crate::clip::Clip;
use crate::generator::{self, Phase, Shared};
use crate::measure::{self, Tally};
use crate::outcome::{Outcome, Used};
use crate::proc::{Account, Sample};
use crate::scenario::Scenario;
use crate::target::Target;
use indicatif::{ProgressBar, ProgressStyle};
use rt::{Backend, ShardSpec, ShardThread};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long publishers may take beyond their ramp and their first GOP.
const PUBLISH_LIMIT: Duration = Duration::from_secs(20);
/// How long a thread may take to start its share of viewers beyond the ramp.
const VIEW_LIMIT: Duration = Duration::from_secs(60);
/// Files besides the sockets.
const OTHER_FILES: u64 = 256;
/// Shorter counts of system calls would be chance.
const CALLS_LEAST: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);
/// How often memory is looked at during the count: seldom, for it costs a moment of the generator.
const MEMORY_LOOK: Duration = Duration::from_secs(30);

type Results = Arc<Mutex<Vec<Result<Tally, String>>>>;

/// Runs a scenario.
///
/// # Errors
/// One line that says why there is no result: a clip that cannot be used, a publisher that was not taken, no files left.
pub fn drive(scenario: &Scenario, target: &Target, progress: bool) -> Result<Outcome, String> {
    let clip = Clip::of(&scenario.clip)?;
    let shared = Arc::new(Shared::new(scenario.clone(), target.clone(), clip));
    raise_files(&shared)?;
    let results = Results::default();
    let threads = start(&shared, &results)?;
    let bar = bar(progress);
    let measured = steps(&shared, &bar);
    shared.enter(Phase::Stop);
    let joined: Result<Vec<()>, String> = threads.into_iter().map(ShardThread::join).collect();
    bar.finish_and_clear();
    let used = measured?;
    joined?;
    let tallies = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
    let viewers = measure::merged(tallies.into_iter().collect::<Result<_, _>>()?);
    Ok(Outcome {
        server: target.name.clone(),
        version: target.version.clone(),
        scenario: scenario.clone(),
        at: now(),
        machine: machine(),
        commit: commit(),
        viewers,
        used,
    })
}

fn raise_files(shared: &Shared) -> Result<(), String> {
    let wanted = (shared.viewers() + shared.scenario.publish.streams) as u64 + OTHER_FILES;
    let got =
        rt::limits::raise_nofile(wanted).map_err(|error| format!("the limit of open files: {error}"))?;
    if got < wanted {
        return Err(format!("{wanted} open files are needed, and {got} allowed: raise `ulimit -Hn`"));
    }
    rt::limits::reserve_files(wanted).map_err(|error| format!("room for open files: {error}"))
}

fn start(shared: &Arc<Shared>, results: &Results) -> Result<Vec<ShardThread>, String> {
    let cores = &shared.scenario.server.generator_cores;
    let one = |(index, core): (usize, &usize)| {
        let spec = ShardSpec { name: format!("generator{index}"), cpu: Some(*core), backend: Backend::Epoll };
        let (shared, results, count) = (Arc::clone(shared), Arc::clone(results), cores.len());
        // The thread is wanted for its core alone: the loop waits by itself.
        rt::spawn_shard(spec, move || async move {
            let result = generator::run(Arc::clone(&shared), index, count);
            if let Err(why) = &result {
                shared.fail(format!("generator {index}: {why}"));
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        })
    };
    cores.iter().enumerate().map(one).collect::<Result<_, _>>().map_err(|error| format!("a thread: {error}"))
}

/// From publishers to the end of the count; what the server used meanwhile.
fn steps(shared: &Shared, bar: &ProgressBar) -> Result<Used, String> {
    let Scenario { publish, view, time, .. } = &shared.scenario;
    let account = shared.target.pid.map(Account::of);
    let sample = || account.as_ref().map(Account::sample).unwrap_or_default();

    let first_gop = Duration::from_millis(shared.clip.gop_ms() * 2);
    let limit = PUBLISH_LIMIT + first_gop + ramp(publish.streams, publish.ramp);
    let publishers = if shared.target.feeds_itself { 0 } else { publish.streams };
    wait(shared, limit, bar, |shared| {
        let ready = shared.ready.load(Ordering::Relaxed);
        (ready >= publishers, format!("{ready} of {publishers} streams published"))
    })?;
    let idle = sample();

    shared.enter(Phase::View);
    shared.view_from_us.store(crate::clock::now_us(), Ordering::Release);
    let limit = VIEW_LIMIT + ramp(shared.viewers(), view.ramp);
    wait(shared, limit, bar, |shared| {
        (shared.started.load(Ordering::Relaxed) >= shared.viewers(), watching(shared))
    })?;
    let calls_per_gib = settle(shared, account.as_ref(), bar)?;

    shared.enter(Phase::Count);
    let (begin, before) = (Instant::now(), sample());
    bar.set_length(time.measure_ms);
    let mut memory_kib = vec![before.rss_kib];
    let measured = shared.scenario.measured();
    let looks = u32::try_from(measured.as_millis() / MEMORY_LOOK.as_millis()).unwrap_or(u32::MAX);
    for look in 1..=looks {
        pause(shared, begin, MEMORY_LOOK * look, bar)?;
        memory_kib.push(sample().rss_kib);
    }
    pause(shared, begin, measured, bar)?;
    let (after, seconds) = (sample(), begin.elapsed().as_secs_f64());
    Ok(Used { calls_per_gib, memory_kib, ..used(seconds, &idle, &before, &after) })
}

/// The settling time. In its second half system calls are counted, if they can be: not later, for it slows them down.
fn settle(shared: &Shared, account: Option<&Account>, bar: &ProgressBar) -> Result<Option<f64>, String> {
    let half = Duration::from_millis(shared.scenario.time.settle_ms / 2);
    pause(shared, Instant::now(), half, bar)?;
    let calls =
        account.filter(|_| half >= CALLS_LEAST).and_then(|account| Calls::count(&account.pids(), half));
    let (begin, before) = (Instant::now(), shared.bytes.load(Ordering::Relaxed));
    pause(shared, begin, half, bar)?;
    let (seconds, after) = (begin.elapsed().as_secs_f64(), shared.bytes.load(Ordering::Relaxed));
    let Some(a_second) = calls.and_then(Calls::a_second) else { return Ok(None) };
    let gib_a_second = after.saturating_sub(before) as f64 / f64::from(1 << 30) / seconds;
    Ok((gib_a_second > 0.0).then(|| a_second / gib_a_second))
}

fn used(seconds: f64, idle: &Sample, before: &Sample, after: &Sample) -> Used {
    Used {
        seconds,
        cpu_user: after.user.saturating_sub(before.user).as_secs_f64(),
        cpu_system: after.system.saturating_sub(before.system).as_secs_f64(),
        idle_kib: idle.rss_kib,
        loaded_kib: after.rss_kib,
        system_calls: after.system_calls.zip(before.system_calls).map(|(a, b)| a.saturating_sub(b)),
        calls_per_gib: None,
        memory_kib: Vec::new(),
    }
}

fn ramp(count: usize, a_second: u32) -> Duration {
    Duration::from_secs((count as u64).checked_div(u64::from(a_second)).unwrap_or(0))
}

/// Until `done` says so.
fn wait(
    shared: &Shared,
    limit: Duration,
    bar: &ProgressBar,
    done: impl Fn(&Shared) -> (bool, String),
) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let (is_done, text) = done(shared);
        if let Some(why) = shared.broken() {
            return Err(why);
        }
        if is_done {
            return Ok(());
        }
        if begin.elapsed() > limit {
            return Err(format!("{text} after {} s", limit.as_secs()));
        }
        bar.set_message(text);
        std::thread::sleep(LOOK);
    }
}

/// Until so long after the beginning.
fn pause(shared: &Shared, begin: Instant, time: Duration, bar: &ProgressBar) -> Result<(), String> {
    while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        if let Some(why) = shared.broken() {
            return Err(why);
        }
        if shared.phase() == Phase::Count {
            bar.set_position(u64::try_from(begin.elapsed().as_millis()).unwrap_or(0));
        }
        bar.set_message(watching(shared));
        std::thread::sleep(left.min(LOOK));
    }
    Ok(())
}

fn watching(shared: &Shared) -> String {
    let mib = shared.bytes.load(Ordering::Relaxed) >> 20;
    let [joined, failed, faults] =
        [&shared.joined, &shared.failed, &shared.faults].map(|counter| counter.load(Ordering::Relaxed));
    format!("{joined} of {} joined, {failed} failed, {mib} MiB, {faults} faults", shared.viewers())
}

fn bar(shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Today as `2026-11-23`, in UTC.
pub fn date() -> String {
    date_of(now() / 86_400)
}

/// Days since 1970 to a date of the civil calendar, as Howard Hinnant's `civil_from_days`.
fn date_of(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400)
}

/// Processor, cores, kernel.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let named = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let name = named.trim_start_matches(['\t', ' ', ':']).to_owned();
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!("{name}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// Commit of the tree that the harness is run in, with a `+` if it was changed; `?` outside one.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "?".into() };
    let is_changed = git(&["status", "--porcelain", "-uno"]).is_some_and(|text| !text.is_empty());
    format!("{commit}{}", if is_changed { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_454, "2026-01-01"),
            (20_780, "2026-11-23"),
        ] {
            assert_eq!(date_of(days), date);
        }
    }
}
