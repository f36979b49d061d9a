//! The schema registry: when a schema is registered, and what is remembered of it.
//!
//! A [`Registrar`] registers on threads of its own, so that a slow registry holds up nobody but the streams that wait
//! for it. What it is asked for twice it knows. How a registration goes is in `session`; `dialect` and `answer` are what
//! is said and heard, `http`, `tls`, `login` and `oauth` by what means. `inspect` is `--check`.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use self::session::Session;
use crate::error::{Error, Kind};
use crate::settings::registry::Registry;

pub(crate) use self::answer::SchemaIds;
pub(crate) use self::artifact::{Artifact, ArtifactType};
pub(crate) use self::inspect::inspect;

mod answer;
mod artifact;
mod dialect;
mod http;
mod inspect;
mod login;
mod oauth;
mod proxy;
mod session;
mod tls;

/// Registrations at a time. A registry takes 4 to 8 ms for one; more at once make it no faster (spec apicurio.md, 5).
const MAX_THREADS: usize = 8;
/// The schemas that wait for a thread, above which no more are taken.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Registers schemas.
pub(crate) struct Registrar {
    session: Arc<Session>,
    jobs: Sender<Job>,
    waiting: Receiver<Job>,
    outcome_sender: Sender<Registered>,
    outcomes: Receiver<Registered>,
    threads: usize,
    /// Asked for and not told of yet.
    open: usize,
    waiting_bytes: usize,
    known: HashMap<Key, SchemaIds>,
}

/// The artifact's id and type, and a digest of the schema.
type Key = (Box<str>, ArtifactType, u64, usize);

struct Job {
    ticket: usize,
    artifact: Artifact,
}

/// What became of a registration.
pub(crate) struct Registered {
    /// What it was asked for under.
    pub(crate) ticket: usize,
    pub(crate) artifact: Artifact,
    pub(crate) outcome: Result<SchemaIds, Error>,
}

impl Registrar {
    /// Fails with `Config` where certificates, login or proxy cannot be used. Nobody is asked yet.
    pub(crate) fn new(settings: &Registry) -> Result<Self, Error> {
        let (jobs, waiting) = crossbeam_channel::unbounded();
        let (outcome_sender, outcomes) = crossbeam_channel::unbounded();
        Ok(Self {
            session: Arc::new(Session::new(settings)?),
            jobs,
            waiting,
            outcome_sender,
            outcomes,
            threads: 0,
            open: 0,
            waiting_bytes: 0,
            known: HashMap::new(),
        })
    }

    pub(crate) fn settings(&self) -> &Registry {
        &self.session.settings
    }

    /// What is to be registered for a stream; `text` is the same whenever the schema is.
    ///
    /// Fails with `Refused` where no registry keeps such an id.
    pub(crate) fn artifact(
        &self,
        stream: &str,
        kind: ArtifactType,
        text: String,
    ) -> Result<Artifact, Error> {
        Artifact::new(&self.settings().prefix, stream, kind, text)
    }

    /// The ids of a schema that was registered in this run.
    pub(crate) fn known(&self, artifact: &Artifact) -> Option<&SchemaIds> {
        self.known.get(&key(artifact))
    }

    /// Whether a registration may be asked for.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes < MAX_WAITING_BYTES
    }

    /// Asks for a registration. Its outcome comes in [`Registrar::outcomes`], under this ticket.
    pub(crate) fn register(&mut self, ticket: usize, artifact: Artifact) -> Result<(), Error> {
        self.waiting_bytes += artifact.text.len();
        self.open += 1;
        if self.threads < MAX_THREADS.min(self.open) {
            self.start_thread()?;
        }
        self.jobs
            .send(Job { ticket, artifact })
            .expect("we hold a receiver ourselves");
        Ok(())
    }

    /// Where outcomes come. Each is to be given to [`Registrar::take`].
    pub(crate) fn outcomes(&self) -> &Receiver<Registered> {
        &self.outcomes
    }

    /// Takes note of an outcome.
    pub(crate) fn take(&mut self, registered: &Registered) {
        self.open -= 1;
        let artifact = &registered.artifact;
        self.waiting_bytes -= artifact.text.len();
        if let Ok(ids) = &registered.outcome {
            self.known.insert(key(artifact), ids.clone());
            let (stream, id) = (&artifact.stream, artifact.short_id());
            let group = &self.settings().group;
            let content_id = ids.content_id;
            let version = ids.version.as_ref();
            let version = version.map_or(String::new(), |version| format!(", version {version}"));
            log::info!(
                "Schema of stream '{stream}' is registered as artifact '{id}' in group '{group}'{version} (contentId {content_id})."
            );
        }
    }

    /// Works until the registrar is gone.
    fn start_thread(&mut self) -> Result<(), Error> {
        let session = Arc::clone(&self.session);
        let jobs = self.waiting.clone();
        let outcomes = self.outcome_sender.clone();
        let work = move || {
            for Job { ticket, artifact } in jobs {
                let outcome = session.register(&artifact);
                let registered = Registered {
                    ticket,
                    artifact,
                    outcome,
                };
                if outcomes.send(registered).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name(format!("registrar-{}", self.threads))
            .spawn(work)
            .map_err(|error| {
                Error::new(Kind::Internal, "no thread could be started").cause(error)
            })?;
        self.threads += 1;
        Ok(())
    }
}

/// Equal for equal schemas. Two schemas of one stream that share length and digest do not occur by chance.
fn key(artifact: &Artifact) -> Key {
    let hasher = BuildHasherDefault::<DefaultHasher>::new();
    (
        artifact.id.as_str().into(),
        artifact.kind,
        hasher.hash_one(&artifact.text),
        artifact.text.len(),
    )
}
