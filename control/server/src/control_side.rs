//! The control side of a running server: admission, events, callbacks, configuration in force, and the API.

use crate::start;
use control::access::{Configured, Jwt};
use control::accounts::Accounts;
use control::admission::Admission;
use control::api::{About, Access, Anonymous, Api, MoreMetrics, Parts};
use control::audit::Audit;
use control::config::live::{Apply, Live};
use control::config::{AnonymousReads, Resolved, Settings, Sources, Unreachable};
use control::events::Events;
use control::hooks::{Asker, Deliverer, Recorder, Spool, SpoolLimits, Target, TargetCounts};
use control::metrics::{Kind, Metrics};
use drivers::Running;
use drivers::tls::Certificates;
use engine::Handle;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause before a set of keys that could not be read is tried again.
const KEYS_AGAIN: Duration = Duration::from_secs(5);

/// What is read and made before the shards start, so that what is wrong is told in time.
pub struct Prepared {
    accounts: Accounts,
    audit: Audit,
    spool: Arc<Spool>,
    asker: Asker,
    configured: Configured,
}

/// What it is started with.
pub struct Given {
    /// The engine.
    pub handle: Handle,
    /// What the server says of itself.
    pub about: About,
    /// Where the configuration comes from.
    pub sources: Sources,
    /// What it came to.
    pub resolved: Resolved,
    /// Number of shards.
    pub shards: usize,
    /// Connections that there are descriptors for.
    pub max_connections: usize,
    /// Certificate in use.
    pub certificates: Option<Arc<Certificates>>,
    /// Where the API listens.
    pub listener: Option<std::net::TcpListener>,
}

/// See the module.
pub struct ControlSide {
    /// The configuration in force.
    pub live: Arc<Live>,
    /// The API.
    pub api: Arc<Api>,
    events: JoinHandle<()>,
}

/// The check whose keys are fetched, if there is one; replaced with the configuration.
type Keyed = Arc<Mutex<Option<Arc<Jwt>>>>;

impl ControlSide {
    /// Opens what is kept in files.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn prepare(config: &Settings) -> Result<Prepared, String> {
        let folder = config.admin.data_dir.as_deref();
        let told = |why: String| {
            format!(
                "admin.data_dir cannot be used: {why}; set it to a folder that the server may write, or to nothing: \
                 users, tokens, the audit log and callbacks that wait then last as long as the process"
            )
        };
        let kept = folder.filter(|_| config.admin.enabled);
        let accounts = Accounts::open(kept).map_err(told)?;
        let audit = Audit::open(kept).map_err(|error| told(error.to_string()))?;
        let targets = Target::configured(config);
        // Also if nobody is told yet: that may change while the server runs.
        let spool = Spool::open(folder, spool_limits(config), &targets).map_err(told)?;
        Ok(Prepared {
            accounts,
            audit,
            spool: Arc::new(spool),
            asker: Asker::new()?,
            configured: Configured::new(config)?,
        })
    }

    /// Waits until what happened is written down. The shards are gone by then.
    pub fn end(self) {
        if self.events.join().is_err() {
            tracing::error!("the events' thread broke");
        }
    }
}

impl Prepared {
    /// Starts it; gives the first user's password, if there was none.
    ///
    /// # Errors
    /// One line.
    pub fn start(self, given: Given) -> Result<(ControlSide, Option<String>), String> {
        let runtime = tokio::runtime::Handle::current();
        let handle = given.handle.clone();
        let (resolved, settings) = (&given.resolved, given.resolved.settings());
        let targets = Target::configured(settings);
        let deliverer = Deliverer::new(Arc::clone(&self.spool), self.asker.clone(), runtime.clone());
        deliverer.set_targets(&targets)?;
        let admission = Admission::new(handle.clone(), self.asker.clone());
        let keyed: Keyed = Arc::new(Mutex::new(self.configured.jwt.clone()));
        admission.replace(self.configured, targets, unreachable_allows(settings));
        admission.start(runtime).map_err(|error| format!("the admission thread cannot start: {error}"))?;
        let events = Arc::new(Events::default());
        let recorder = Recorder::new(Arc::clone(&self.spool), deliverer.clone());
        let reader = events
            .start(&handle, vec![admission.sink(), Box::new(recorder)])
            .map_err(|error| format!("the events' thread cannot start: {error}"))?;
        let change = Change {
            handle: handle.clone(),
            admission: admission.clone(),
            deliverer: deliverer.clone(),
            spool: self.spool,
            keyed: Arc::clone(&keyed),
            shards: given.shards,
            max_connections: given.max_connections,
            certificates: given.certificates,
        };
        let live = Arc::new(Live::new(given.sources, resolved.clone(), change.applying()));
        tokio::spawn(fetch_keys(Arc::clone(&live), keyed, self.asker.clone()));
        let in_force = Arc::clone(&live);
        let api = Api::new(Parts {
            handle,
            about: given.about,
            accounts: self.accounts,
            events,
            audit: self.audit,
            config: Arc::clone(&live),
            metrics: Metrics::default(),
            denials: admission.denials(),
            names: Box::new({
                let admission = admission.clone();
                move || admission.names()
            }),
            more_metrics: more_metrics(admission, deliverer, self.asker),
            access: Box::new(move || access(in_force.now().settings())),
        });
        let listener = given
            .listener
            .map(tokio::net::TcpListener::from_std)
            .transpose()
            .map_err(|error| format!("admin API: {error}"))?;
        api.serve(listener).map_err(|error| format!("admin API: {error}"))?;
        // Last: nobody may come to have it before it is shown.
        let password = if settings.admin.enabled { api.accounts.first_user()? } else { None };
        Ok((ControlSide { live, api, events: reader }, password))
    }
}

/// What a change of the configuration reaches.
struct Change {
    handle: Handle,
    admission: Admission,
    deliverer: Deliverer,
    spool: Arc<Spool>,
    keyed: Keyed,
    shards: usize,
    max_connections: usize,
    certificates: Option<Arc<Certificates>>,
}

impl Change {
    fn applying(self) -> Apply {
        Box::new(move |resolved| {
            let settings = resolved.settings();
            let targets = Target::configured(settings);
            // What can fail comes first.
            let configured = Configured::new(settings)?;
            self.deliverer.set_targets(&targets)?;
            self.spool.limit(spool_limits(settings));
            let mut keyed = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(new), Some(old)) = (&configured.jwt, &*keyed) {
                // Until its own keys are read.
                new.adopt_set(old);
            }
            keyed.clone_from(&configured.jwt);
            drop(keyed);
            self.admission.replace(configured, targets, unreachable_allows(settings));
            let mut engine = resolved.engine(self.shards);
            engine.limits.sessions = self.max_connections;
            self.handle.configure(engine);
            Running::configure(&self.handle, start::drivers(settings, self.certificates.clone()));
            Ok(())
        })
    }
}

/// Reads the set of public keys, from a file or an address, and again from time to time.
async fn fetch_keys(live: Arc<Live>, keyed: Keyed, asker: Asker) {
    let mut last: Option<Arc<Jwt>> = None;
    loop {
        let settings = live.now();
        let auth = &settings.settings().auth;
        let jwt = keyed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(jwt) = jwt else {
            last = None;
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        let text = if auth.jwks.starts_with("http") {
            asker.get(&auth.jwks, auth.jwks_refresh_ms.min(Duration::from_secs(10))).await
        } else {
            let path = auth.jwks.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
            read.await
                .map_err(|error| error.to_string())
                .and_then(|text| text.map_err(|error| error.to_string()))
        };
        let mut wait = auth.jwks_refresh_ms;
        match text.and_then(|text| jwt.take_set(&text)) {
            Ok(keys) if last.is_none() => tracing::info!(keys, "auth.jwks: keys read"),
            Ok(_) => {}
            Err(why) => {
                tracing::error!(why, "auth.jwks cannot be read; keys read before stay good");
                wait = wait.min(KEYS_AGAIN);
            }
        }
        last = Some(Arc::clone(&jwt));
        // A new configuration has a check of its own, which has no keys yet.
        let until = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < until {
            let now = keyed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !now.is_some_and(|now| Arc::ptr_eq(&now, &jwt)) {
                break;
            }
            tokio::time::sleep(wait.min(Duration::from_millis(500))).await;
        }
    }
}

fn more_metrics(admission: Admission, deliverer: Deliverer, asker: Asker) -> MoreMetrics {
    Box::new(move |report| {
        let (allowed, refused) = admission.counts();
        let verdict = |word: &str| vec![("verdict", word.to_owned())];
        let rows = [(verdict("allowed"), allowed), (verdict("refused"), refused)];
        report("admissions", "Publish and play requests that were decided", Kind::Counter, &rows);
        report(
            "callback_questions",
            "Questions put to callback targets",
            Kind::Counter,
            &[(vec![], asker.asked())],
        );
        let counts = deliverer.counts();
        type Figure = (&'static str, &'static str, Kind, fn(&TargetCounts) -> u64);
        const FIGURES: [Figure; 6] = [
            ("callbacks_waiting", "Facts that wait for a target", Kind::Gauge, |c| c.spool.waiting),
            ("callbacks_oldest_ms", "Age of the oldest fact that waits", Kind::Gauge, |c| c.spool.oldest_ms),
            ("callbacks_in_flight", "Requests that are open", Kind::Gauge, |c| c.in_flight),
            ("callbacks_delivered", "Facts that were taken", Kind::Counter, |c| c.delivered),
            ("callbacks_failed", "Tries that failed", Kind::Counter, |c| c.failed),
            ("callbacks_dead", "Facts that were given up", Kind::Counter, |c| c.spool.dead),
        ];
        for (name, help, kind, of) in FIGURES {
            let rows: Vec<_> =
                counts.iter().map(|count| (vec![("target", count.name.clone())], of(count))).collect();
            report(name, help, kind, &rows);
        }
    })
}

fn spool_limits(settings: &Settings) -> SpoolLimits {
    SpoolLimits { facts: settings.notify.max_waiting, age: settings.notify.max_age_ms }
}

fn unreachable_allows(settings: &Settings) -> bool {
    settings.notify.unreachable == Unreachable::Allow
}

fn access(settings: &Settings) -> Access {
    let admin = &settings.admin;
    Access {
        anonymous: match admin.anonymous {
            AnonymousReads::None => Anonymous::None,
            AnonymousReads::Metrics => Anonymous::Metrics,
            AnonymousReads::Read => Anonymous::Read,
        },
        allow: admin.allow.clone(),
        nms: admin.nms_api,
        max_connections: admin.max_connections,
    }
}
