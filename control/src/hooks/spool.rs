//! Facts on disk until they are taken.
//!
//! SQLite with a write-ahead log: what was committed survives the death of the process at any point without a sync for each
//! commit (tens of microseconds); after a loss of power the last commits before it may be missing, never torn.
//!
//! One row a fact and target; one row a target and stream with facts, which names the oldest of them and when it may be tried.
//! So finding work does not depend on how much waits.

use super::ask::LONGEST_PAUSE;
use super::body::{Fields, millis};
use super::target::Target;
use crate::events::Numbered;
use crate::files;
use engine::What;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Streams whose sequence is remembered; past it those that were quiet for the longest are forgotten.
const MAX_SEQUENCES: i64 = 100_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS facts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, stream TEXT NOT NULL, event INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS facts_by_stream ON facts (target, stream, id);
    CREATE INDEX IF NOT EXISTS facts_by_target ON facts (target, id);
    CREATE TABLE IF NOT EXISTS heads (
        target TEXT NOT NULL, stream TEXT NOT NULL, fact INTEGER NOT NULL, attempts INTEGER NOT NULL,
        next_ms INTEGER NOT NULL, busy INTEGER NOT NULL, PRIMARY KEY (target, stream)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS heads_by_time ON heads (target, busy, next_ms);
    CREATE TABLE IF NOT EXISTS sequences (
        stream TEXT PRIMARY KEY, last INTEGER NOT NULL, used_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS open (
        session INTEGER NOT NULL, done TEXT NOT NULL, stream TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (session, done)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    UPDATE heads SET busy = 0;
";

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Facts of one target.
    pub facts: u64,
    /// How old a fact may become.
    pub age: Duration,
}

/// A fact that may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Row.
    pub id: i64,
    /// Its stream.
    pub stream: String,
    /// Number that a target can recognise it by.
    pub event: u64,
    /// What is sent.
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
}

/// What waits and what was given up, of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Facts that wait.
    pub waiting: u64,
    /// Age of the oldest in milliseconds.
    pub oldest_ms: u64,
    /// Facts that were given up.
    pub dead: u64,
}

/// See the module.
pub struct Spool {
    connection: Mutex<Connection>,
    limits: Mutex<SpoolLimits>,
}

impl Spool {
    /// Opens or makes the spool in a folder; without one it is in memory and ends with the process. Sessions that died with the
    /// process before are told as done to these targets.
    ///
    /// # Errors
    /// One line.
    pub fn open(folder: Option<&Path>, limits: SpoolLimits, targets: &[Target]) -> Result<Self, String> {
        let opened = match folder {
            Some(folder) => {
                files::folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
                let file = folder.join("callbacks.sqlite");
                // SQLite gives the files beside it the same rights.
                files::private(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                Connection::open(&file).map_err(|error| format!("{}: {error}", file.display()))?
            }
            None => Connection::open_in_memory().map_err(|error| error.to_string())?,
        };
        let prepare = |connection: &Connection| {
            // One server a folder: a second would send what the first is sending.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)
        };
        prepare(&opened).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => "callbacks.sqlite: another server uses it".to_owned(),
            _ => format!("callbacks.sqlite: {error}"),
        })?;
        let spool = Self { connection: Mutex::new(opened), limits: Mutex::new(limits) };
        spool.end_open_sessions(targets)?;
        Ok(spool)
    }

    /// Other bounds, from the next fact on.
    pub fn limit(&self, limits: SpoolLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// The sequence that the next event of a stream has when it is [recorded](Self::record).
    ///
    /// # Errors
    /// The database's.
    pub fn number(&self, stream: &str) -> Result<u64, String> {
        let last: Option<i64> = self
            .lock()
            .prepare_cached("SELECT last FROM sequences WHERE stream = ?")
            .and_then(|mut last| last.query_row([stream], |row| row.get(0)).optional())
            .map_err(|error| error.to_string())?;
        Ok(last.unwrap_or(0).cast_unsigned().saturating_add(1))
    }

    /// Writes facts for all targets that want them, and that their sequences are used.
    ///
    /// # Errors
    /// The database's; nothing is written then.
    pub fn record(&self, targets: &[Target], facts: &[(&Numbered, &Fields)]) -> Result<(), String> {
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(|tx| facts.iter().try_for_each(|(event, fields)| record(tx, targets, limits, event, fields)))
    }

    /// Takes facts that may be sent now, each the oldest of its stream; they are busy until [`Self::done`] or
    /// [`Self::again`]. None once `ended` is set: whoever would send them is gone.
    ///
    /// # Errors
    /// The database's.
    pub fn take(&self, target: &str, most: usize, ended: &AtomicBool) -> Result<Vec<Due>, String> {
        self.run(|tx| {
            if ended.load(Ordering::SeqCst) {
                return Ok(Vec::new());
            }
            let mut found = tx.prepare_cached(
                "SELECT f.id, f.stream, f.event, f.body, h.attempts FROM heads h JOIN facts f ON f.id = h.fact
                 WHERE h.target = ?1 AND h.busy = 0 AND h.next_ms <= ?2 ORDER BY h.next_ms LIMIT ?3",
            )?;
            let rows = found.query_map(params![target, now_ms(), most.min(10_000) as i64], |row| {
                Ok(Due {
                    id: row.get(0)?,
                    stream: row.get(1)?,
                    event: row.get::<_, i64>(2)?.cast_unsigned(),
                    body: row.get(3)?,
                    attempts: row.get(4)?,
                })
            })?;
            let due = rows.collect::<Result<Vec<Due>, _>>()?;
            let mut busy = tx.prepare_cached("UPDATE heads SET busy = 1 WHERE target = ? AND stream = ?")?;
            for fact in &due {
                busy.execute(params![target, fact.stream])?;
            }
            Ok(due)
        })
    }

    /// A fact was taken by its target.
    ///
    /// # Errors
    /// The database's.
    pub fn done(&self, target: &str, fact: &Due) -> Result<(), String> {
        self.run(|tx| remove(tx, target, fact))
    }

    /// A fact was not taken: it is tried again after a while, or given up if it is too old. Gives whether it was given up.
    ///
    /// # Errors
    /// The database's.
    pub fn again(&self, target: &str, fact: &Due, after: Duration) -> Result<bool, String> {
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(|tx| {
            let now = now_ms();
            let at: Option<i64> = tx
                .query_row("SELECT at_ms FROM facts WHERE id = ?", [fact.id], |row| row.get(0))
                .optional()?;
            let age = i64::try_from(limits.age.as_millis()).unwrap_or(i64::MAX);
            let Some(at) = at else {
                // Its target was taken out of the configuration meanwhile.
                return Ok(false);
            };
            if now.saturating_sub(at) > age {
                remove(tx, target, fact)?;
                count_dead(tx, target, 1)?;
                return Ok(true);
            }
            let next = now.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
            tx.prepare_cached(
                "UPDATE heads SET busy = 0, attempts = ?, next_ms = ? WHERE target = ? AND stream = ? AND fact = ?",
            )?
            .execute(params![fact.attempts.saturating_add(1), next, target, fact.stream, fact.id])?;
            Ok(false)
        })
    }

    /// When the next fact of a target may be tried; `None`: none waits that is not busy.
    ///
    /// # Errors
    /// The database's.
    pub fn next(&self, target: &str) -> Result<Option<Duration>, String> {
        self.run(|tx| {
            let next: Option<i64> = tx
                .prepare_cached("SELECT MIN(next_ms) FROM heads WHERE target = ? AND busy = 0")?
                .query_row([target], |row| row.get(0))?;
            let Some(next) = next else { return Ok(None) };
            let now = now_ms();
            let wait = Duration::from_millis(next.saturating_sub(now).max(0).cast_unsigned());
            if wait <= LONGEST_PAUSE {
                return Ok(Some(wait));
            }
            // Nothing waits that long unless the clock was set back.
            tx.execute(
                "UPDATE heads SET next_ms = ?2 WHERE target = ?1 AND busy = 0 AND next_ms > ?2",
                params![target, now],
            )?;
            Ok(Some(Duration::ZERO))
        })
    }

    /// Gives up what waits for others than these; gives how many facts that were.
    ///
    /// # Errors
    /// The database's.
    pub fn keep_targets(&self, targets: &[Target]) -> Result<u64, String> {
        self.run(|tx| {
            let known = tx
                .prepare("SELECT DISTINCT target FROM heads")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            let mut given_up = 0;
            for url in known.iter().filter(|url| targets.iter().all(|target| target.url != **url)) {
                let facts = tx.execute("DELETE FROM facts WHERE target = ?", [url])?;
                tx.execute("DELETE FROM heads WHERE target = ?", [url])?;
                tx.execute("DELETE FROM counters WHERE name = ?", [waiting_name(url)])?;
                count_dead(tx, url, i64::try_from(facts).unwrap_or(i64::MAX))?;
                given_up += facts as u64;
            }
            Ok(given_up)
        })
    }

    /// What waits for a target, and what was given up.
    ///
    /// # Errors
    /// The database's.
    pub fn counts(&self, target: &str) -> Result<Counts, String> {
        self.run(|tx| {
            let oldest: Option<i64> = tx.query_row(
                "SELECT MIN(f.at_ms) FROM heads h JOIN facts f ON f.id = h.fact WHERE h.target = ?",
                [target],
                |row| row.get(0),
            )?;
            Ok(Counts {
                waiting: counted(tx, &waiting_name(target))?.cast_unsigned(),
                oldest_ms: oldest.map_or(0, |at| now_ms().saturating_sub(at).max(0).cast_unsigned()),
                dead: counted(tx, &dead_name(target))?.cast_unsigned(),
            })
        })
    }

    /// Whether somebody was told of sessions that have not ended.
    ///
    /// # Errors
    /// The database's.
    pub fn has_open(&self) -> Result<bool, String> {
        let connection = self.lock();
        let mut open = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM open)")
            .map_err(|error| error.to_string())?;
        open.query_row([], |row| row.get(0)).map_err(|error| error.to_string())
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// The database's.
    pub fn sync(&self) -> Result<(), String> {
        let connection = self.lock();
        let mut checkpoint =
            connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)").map_err(|error| error.to_string())?;
        let mut rows = checkpoint.query([]).map_err(|error| error.to_string())?;
        rows.next().map(|_| ()).map_err(|error| error.to_string())
    }

    fn end_open_sessions(&self, targets: &[Target]) -> Result<(), String> {
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(|tx| {
            let mut open = tx.prepare("SELECT done, stream, body FROM open ORDER BY session, done")?;
            let rows = open.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let open = rows.collect::<Result<Vec<(String, String, String)>, _>>()?;
            // Viewers before their publishers, as when a server is stopped in order.
            let (viewers, publishers): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|(done, ..)| done == "donePlay");
            for (done, stream, body) in viewers.into_iter().chain(publishers) {
                let Ok(body) = serde_json::from_str(&body) else { continue };
                let mut fields = Fields(body);
                fields.put("action", json!(done));
                fields.put("endtime", json!(millis(SystemTime::now())));
                fields.put("sequence", json!(next_sequence(tx, &stream)?));
                fields.put("reason", json!("the server died"));
                put(tx, targets, limits, &done, &stream, &fields)?;
            }
            tx.execute("DELETE FROM open", [])?;
            Ok(())
        })
    }

    fn run<T>(&self, run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, String> {
        let mut connection = self.lock();
        let done = connection.transaction().and_then(|tx| {
            let done = run(&tx)?;
            tx.commit()?;
            Ok(done)
        });
        done.map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sequence behind the last one that was used.
fn next_sequence(tx: &Transaction<'_>, stream: &str) -> rusqlite::Result<u64> {
    let last: Option<i64> = tx
        .prepare_cached("SELECT last FROM sequences WHERE stream = ?")?
        .query_row([stream], |row| row.get(0))
        .optional()?;
    let next = last.unwrap_or(0).cast_unsigned().saturating_add(1);
    use_sequence(tx, stream, next)?;
    Ok(next)
}

fn use_sequence(tx: &Transaction<'_>, stream: &str, sequence: u64) -> rusqlite::Result<()> {
    let known = tx
        .prepare_cached("UPDATE sequences SET last = max(last, ?2), used_ms = ?3 WHERE stream = ?1")?
        .execute(params![stream, sequence.cast_signed(), now_ms()])?;
    if known == 0 {
        tx.prepare_cached("INSERT INTO sequences (stream, last, used_ms) VALUES (?1, ?2, ?3)")?
            .execute(params![stream, sequence.cast_signed(), now_ms()])?;
        // Only a new stream can be one too many. One that is forgotten has nothing waiting.
        let count: i64 =
            tx.prepare_cached("SELECT COUNT(*) FROM sequences")?.query_row([], |row| row.get(0))?;
        if count > MAX_SEQUENCES {
            tx.execute(
                "DELETE FROM sequences WHERE stream IN (SELECT stream FROM sequences
                 WHERE stream NOT IN (SELECT stream FROM heads) ORDER BY used_ms LIMIT ?)",
                [MAX_SEQUENCES / 10],
            )?;
        }
    }
    Ok(())
}

fn record(
    tx: &Transaction<'_>,
    targets: &[Target],
    limits: SpoolLimits,
    event: &Numbered,
    fields: &Fields,
) -> rusqlite::Result<()> {
    let stream = event.event.key.as_str();
    let session = event.event.session.0.cast_signed();
    if event.event.what != What::Left {
        use_sequence(tx, stream, event.sequence)?;
    }
    match event.event.what {
        What::PublishStarted | What::PlayStarted => {
            let done = if event.event.what == What::PublishStarted { "donePublish" } else { "donePlay" };
            tx.prepare_cached(
                "INSERT OR REPLACE INTO open (session, done, stream, body) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![session, done, stream, fields.text()])?;
        }
        What::PublishEnded | What::PlayEnded => {
            tx.prepare_cached("DELETE FROM open WHERE session = ? AND done = ?")?
                .execute(params![session, event.action()])?;
        }
        What::Left => return Ok(()),
    }
    put(tx, targets, limits, event.action(), stream, fields)
}

/// Puts a fact behind the others of its stream, for all targets that want it.
fn put(
    tx: &Transaction<'_>,
    targets: &[Target],
    limits: SpoolLimits,
    action: &str,
    stream: &str,
    fields: &Fields,
) -> rusqlite::Result<()> {
    let mut fields = fields.clone();
    let event = count(tx, "events", 1)?;
    fields.put("event_id", json!(event.to_string()));
    let body = fields.text();
    for target in targets.iter().filter(|target| target.wants(action, stream)) {
        if counted(tx, &waiting_name(&target.url))?.cast_unsigned() >= limits.facts {
            give_up_oldest(tx, &target.url)?;
        }
        tx.prepare_cached("INSERT INTO facts (target, stream, event, at_ms, body) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![target.url, stream, event, now_ms(), body])?;
        let id = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT OR IGNORE INTO heads (target, stream, fact, attempts, next_ms, busy) VALUES (?, ?, ?, 0, 0, 0)",
        )?
        .execute(params![target.url, stream, id])?;
        count(tx, &waiting_name(&target.url), 1)?;
    }
    Ok(())
}

/// The oldest fact of a target that is not being sent makes room.
fn give_up_oldest(tx: &Transaction<'_>, target: &str) -> rusqlite::Result<()> {
    let oldest = tx
        .prepare_cached(
            "SELECT f.id, f.stream FROM facts f WHERE f.target = ? AND NOT EXISTS (
                 SELECT 1 FROM heads h WHERE h.target = f.target AND h.stream = f.stream
                 AND h.fact = f.id AND h.busy = 1)
             ORDER BY f.id LIMIT 1",
        )?
        .query_row([target], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    if let Some((id, stream)) = oldest {
        remove(tx, target, &Due { id, stream, event: 0, body: String::new(), attempts: 0 })?;
        count_dead(tx, target, 1)?;
    }
    Ok(())
}

/// Removes a fact; if it was the oldest of its stream, the one behind it is next.
fn remove(tx: &Transaction<'_>, target: &str, fact: &Due) -> rusqlite::Result<()> {
    let removed = tx.prepare_cached("DELETE FROM facts WHERE id = ?")?.execute([fact.id])?;
    count(tx, &waiting_name(target), -i64::try_from(removed).unwrap_or(0))?;
    let head: Option<i64> = tx
        .prepare_cached("SELECT fact FROM heads WHERE target = ? AND stream = ?")?
        .query_row(params![target, fact.stream], |row| row.get(0))
        .optional()?;
    if head != Some(fact.id) {
        return Ok(());
    }
    let next: Option<i64> = tx
        .prepare_cached("SELECT MIN(id) FROM facts WHERE target = ? AND stream = ?")?
        .query_row(params![target, fact.stream], |row| row.get(0))?;
    match next {
        Some(next) => tx
            .prepare_cached(
                "UPDATE heads SET fact = ?, attempts = 0, next_ms = 0, busy = 0 WHERE target = ? AND stream = ?",
            )?
            .execute(params![next, target, fact.stream])?,
        None => tx
            .prepare_cached("DELETE FROM heads WHERE target = ? AND stream = ?")?
            .execute(params![target, fact.stream])?,
    };
    Ok(())
}

fn count(tx: &Transaction<'_>, name: &str, by: i64) -> rusqlite::Result<i64> {
    tx.prepare_cached(
        "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = value + ?2 RETURNING value",
    )?
    .query_row(params![name, by], |row| row.get(0))
}

fn counted(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    let value = tx
        .prepare_cached("SELECT value FROM counters WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0))
}

fn count_dead(tx: &Transaction<'_>, target: &str, by: i64) -> rusqlite::Result<i64> {
    count(tx, &dead_name(target), by)
}

fn dead_name(target: &str) -> String {
    format!("dead {target}")
}

fn waiting_name(target: &str) -> String {
    format!("waiting {target}")
}

fn now_ms() -> i64 {
    i64::try_from(millis(SystemTime::now())).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
