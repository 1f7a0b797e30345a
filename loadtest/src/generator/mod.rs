//! One thread of the generator: its publishers and its viewers, served by one loop that wakes once a millisecond. Waking
//! more often would make its figures finer than they are asked for, and cost the server it shares the machine with.

mod crowd;
mod shared;

pub use crowd::key;
pub use shared::{Phase, Shared};

use crate::clock::now_us;
use crate::dial;
use crate::measure::Tally;
use crate::publish::Publisher;
use crowd::Crowd;
use rt::{Poller, Ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two rounds of the loop.
const ROUND_US: u64 = 1000;
/// Marks a publisher's token.
const PUBLISHER: u64 = 1 << 63;
/// Events that one look at a poller brings at most.
const BATCH: usize = 1024;

struct Generator {
    shared: Arc<Shared>,
    index: usize,
    threads: usize,
    begun_us: u64,
    poller: Poller,
    publishers: Vec<Publisher>,
    next_stream: usize,
    ready: usize,
    told: Told,
    crowd: Crowd,
    events: Vec<Ready>,
    scratch: Vec<u8>,
}

/// What `shared` was told so far.
#[derive(Default)]
struct Told {
    joined: u64,
    failed: u64,
    bytes: u64,
    faults: u64,
}

/// Runs thread `index` of so many until the end of the run; gives what was seen.
///
/// # Errors
/// The system's.
pub fn run(shared: Arc<Shared>, index: usize, threads: usize) -> Result<Tally, String> {
    let text = |error: std::io::Error| error.to_string();
    let crowd = Crowd::new(Arc::clone(&shared), index, threads).map_err(text)?;
    let mut generator = Generator {
        shared,
        index,
        threads,
        begun_us: now_us(),
        poller: Poller::new().map_err(text)?,
        publishers: Vec::new(),
        next_stream: index,
        ready: 0,
        told: Told::default(),
        crowd,
        events: Vec::new(),
        scratch: vec![0; 64 * 1024],
    };
    generator.run().map_err(text)?;
    Ok(generator.crowd.tally)
}

impl Generator {
    fn run(&mut self) -> std::io::Result<()> {
        let mut counted = None;
        let mut before = now_us();
        loop {
            let now = now_us();
            self.crowd.tally.came_round(now.saturating_sub(before));
            before = now;
            match self.shared.phase() {
                Phase::Count if counted.is_none() => {
                    self.tell();
                    self.crowd.begin_count();
                    self.told =
                        Told { joined: self.told.joined, failed: self.told.failed, ..Told::default() };
                    counted = Some((now, rt::thread_cpu_time()));
                }
                Phase::Stop => {
                    if let Some((since_us, cpu)) = counted {
                        let cpu = rt::thread_cpu_time().saturating_sub(cpu).as_micros() as f64;
                        self.crowd.tally.seen.generator_load =
                            cpu / now.saturating_sub(since_us).max(1) as f64;
                    }
                    self.crowd.finish();
                    return Ok(());
                }
                _ => {}
            }
            self.publish(now);
            self.crowd.arrive(&self.poller);
            self.poll()?;
            self.crowd.tick(&self.poller);
            self.tell();
            let used = now_us().saturating_sub(now);
            if let Some(rest) = ROUND_US.checked_sub(used) {
                std::thread::sleep(Duration::from_micros(rest));
            }
        }
    }

    fn poll(&mut self) -> std::io::Result<()> {
        loop {
            self.events.clear();
            let count = self.poller.poll(&mut self.events)?;
            for at in 0..count {
                let Some(ready) = self.events.get(at).copied() else { break };
                if ready.token & PUBLISHER == 0 {
                    self.crowd.ready(ready);
                } else {
                    self.publisher_ready(ready);
                }
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    /// New publishers connect, and all send what is due.
    fn publish(&mut self, now: u64) {
        let publish = self.shared.scenario.publish.clone();
        while !self.shared.target.feeds_itself && self.next_stream < publish.streams {
            let after =
                (self.next_stream as u64 * 1_000_000).checked_div(u64::from(publish.ramp)).unwrap_or(0);
            if self.begun_us + after > now {
                break;
            }
            let stream = self.next_stream;
            self.next_stream += self.threads;
            if let Err(why) = self.connect(stream) {
                self.shared.fail(format!("publisher {stream}: {why}"));
            }
        }
        let clip = &self.shared.clip;
        let mut ready = 0;
        for (at, publisher) in self.publishers.iter_mut().enumerate() {
            if let Err(why) = publisher.send_due(clip, now_us) {
                let stream = at * self.threads + self.index;
                self.shared.fail(format!("publisher {stream}: {why}"));
            }
            // The whole GOP and a little: then a server has one to give.
            ready += usize::from(publisher.sent_ms(clip) > clip.gop_ms() + 200);
        }
        if ready > self.ready {
            self.shared.ready.fetch_add(ready - self.ready, Ordering::Relaxed);
            self.ready = ready;
        }
    }

    fn connect(&mut self, stream: usize) -> Result<(), String> {
        let (target, scenario) = (&self.shared.target, &self.shared.scenario);
        let fd = dial::start(target.rtmp, stream, None).map_err(|error| error.to_string())?;
        let number = u32::try_from(stream).map_err(|_| "too many streams")?;
        let phase_us =
            stream as u64 * self.shared.clip.gop_ms() * 1000 / scenario.publish.streams.max(1) as u64;
        let publisher =
            Publisher::new(fd, &target.rtmp.to_string(), key(&target.app, number)?, number, phase_us);
        let token = PUBLISHER | self.publishers.len() as u64;
        self.poller.add(publisher.fd(), token).map_err(|error| error.to_string())?;
        self.publishers.push(publisher);
        Ok(())
    }

    fn publisher_ready(&mut self, ready: Ready) {
        let at = usize::try_from(ready.token & !PUBLISHER).unwrap_or(usize::MAX);
        let Some(publisher) = self.publishers.get_mut(at) else { return };
        let now = now_us();
        let mut result = if ready.writable { publisher.flush(now) } else { Ok(()) };
        if result.is_ok() && ready.readable {
            result = publisher.read(&mut self.scratch, now);
        }
        if let Err(why) = result {
            let stream = at * self.threads + self.index;
            self.shared.fail(format!("publisher {stream}: {why}"));
        }
    }

    /// Tells the one that shows how it goes.
    fn tell(&mut self) {
        let tally = &self.crowd.tally;
        let seen = &tally.seen;
        let now = Told {
            joined: seen.joined,
            failed: seen.failed,
            bytes: tally.bytes,
            faults: seen.gaps + seen.repeats + seen.reordered + seen.corrupt,
        };
        for (to, new, old) in [
            (&self.shared.joined, now.joined, self.told.joined),
            (&self.shared.failed, now.failed, self.told.failed),
            (&self.shared.bytes, now.bytes, self.told.bytes),
            (&self.shared.faults, now.faults, self.told.faults),
        ] {
            if new > old {
                to.fetch_add(new - old, Ordering::Relaxed);
            }
        }
        self.told = now;
    }
}
