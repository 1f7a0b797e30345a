//! The control side of a running server: admission, events, configuration in force, and the API.

use crate::start;
use control::accounts::Accounts;
use control::admission::{Admission, Patterns, Rule};
use control::api::{About, Access, Anonymous, Api, Parts};
use control::audit::Audit;
use control::config::live::{Apply, Live};
use control::config::{AnonymousReads, Resolved, Settings, Sources};
use control::events::{Counting, Events};
use control::metrics::Metrics;
use drivers::Running;
use drivers::tls::Certificates;
use engine::Handle;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What is read and made before the shards start, so that what is wrong is told in time.
pub struct Prepared {
    accounts: Accounts,
    password: Option<String>,
    audit: Audit,
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
    events: JoinHandle<()>,
}

impl ControlSide {
    /// Opens what is kept in files.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn prepare(config: &Settings) -> Result<Prepared, String> {
        let folder = config.admin.data_dir.as_deref().filter(|_| config.admin.enabled);
        let told = |why: String| {
            format!(
                "admin.data_dir cannot be used: {why}; set it to a folder that the server may write, or to nothing: \
                 users, tokens and the audit log then last as long as the process"
            )
        };
        let (accounts, password) = Accounts::open(folder).map_err(told)?;
        let audit = Audit::open(folder).map_err(|error| told(error.to_string()))?;
        Ok(Prepared { accounts, password: password.filter(|_| config.admin.enabled), audit })
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
        let Given { handle, about, sources, resolved, shards, max_connections, certificates, listener } =
            given;
        let admission = Admission::new(rules(resolved.settings()));
        admission
            .start(handle.clone())
            .map_err(|error| format!("the admission thread cannot start: {error}"))?;
        let events = Arc::new(Events::default());
        let reader = events
            .start(&handle, vec![Box::new(Counting::default())])
            .map_err(|error| format!("the events' thread cannot start: {error}"))?;
        let apply = applying(handle.clone(), Arc::clone(&admission), shards, max_connections, certificates);
        let live = Arc::new(Live::new(sources, resolved, apply));
        let in_force = Arc::clone(&live);
        let api = Api::new(Parts {
            handle,
            about,
            accounts: self.accounts,
            events,
            audit: self.audit,
            config: Arc::clone(&live),
            metrics: Metrics::default(),
            denials: Arc::clone(&admission.denials),
            more_metrics: Box::new(|_| {}),
            access: Box::new(move || access(in_force.now().settings())),
        });
        let listener = listener
            .map(tokio::net::TcpListener::from_std)
            .transpose()
            .map_err(|error| format!("admin API: {error}"))?;
        api.serve(listener).map_err(|error| format!("admin API: {error}"))?;
        Ok((ControlSide { live, events: reader }, self.password))
    }
}

/// Puts a configuration in force.
fn applying(
    handle: Handle,
    admission: Arc<Admission>,
    shards: usize,
    max_connections: usize,
    certificates: Option<Arc<Certificates>>,
) -> Apply {
    Box::new(move |resolved| {
        let mut engine = resolved.engine(shards);
        engine.limits.sessions = max_connections;
        let settings = resolved.settings();
        handle.configure(engine);
        Running::configure(&handle, start::drivers(settings, certificates.clone()));
        admission.replace(rules(settings));
        Ok(())
    })
}

fn rules(settings: &Settings) -> Vec<Box<dyn Rule>> {
    vec![Box::new(Patterns { publish: settings.publish.allow.clone(), play: settings.play.allow.clone() })]
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
