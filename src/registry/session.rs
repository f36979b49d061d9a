//! [`Session`]: one registry as this run knows it, and the registration of one schema there, with as many tries as
//! the time allows.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{
    SchemaIds, Verdict, check_type_of_newest, classify, read_found, read_registered,
};
use super::artifact::Artifact;
use super::dialect::{Call, Dialect};
use super::http::{Certificates, Failure, Http, Reply, Request};
use super::login::Login;
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::settings::registry::{Api, OnSchemaError, Registry, SchemaMode};

/// Tries of the same call where another writer came in between. One more healed every conflict that was seen (spec
/// apicurio.md, 1.2).
const CONFLICT_TRIES: u32 = 6;
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A call may have this part of the whole time: one that hangs is not the last. (Version 3.3 hangs when its database
/// is gone.)
const PART_OF_TIME: u32 = 3;
/// But so much at least: the first call that a registry answers takes part of a second.
const LEAST_OF_CALL: Duration = Duration::from_secs(1);
/// What a registration may take where schemas may be done without, and the registry was not available the last time.
const TIME_WHILE_AWAY: Duration = Duration::from_secs(1);

/// The registry, our login there, and what we speak.
pub(super) struct Session {
    pub(super) settings: Registry,
    http: Http,
    login: Login,
    pub(super) dialect: Dialect,
    /// The last registration that has ended found nobody.
    is_away: AtomicBool,
}

/// The tries of one registration.
struct Tries {
    deadline: Instant,
    conflicts: u32,
    pause: Duration,
    is_group_made: bool,
}

impl Session {
    /// Fails with `Config` where certificates, login or proxy cannot be used. Nobody is asked.
    pub(super) fn new(settings: &Registry) -> Result<Self, Error> {
        let url = settings.url.to_string();
        let certificates = Certificates {
            ca: settings.ca.as_deref(),
            own: settings.cert.as_deref().zip(settings.key.as_ref()),
        };
        Ok(Self {
            http: Http::new(&url, &certificates)?,
            login: Login::new(settings)?,
            dialect: Dialect::new(settings),
            settings: settings.clone(),
            is_away: AtomicBool::new(false),
        })
    }

    /// Registers a schema, or looks it up, as the settings say, and returns its ids.
    ///
    /// Fails with `Refused` where another try would fail as well, and with `Unavailable` where the time is over.
    pub(super) fn register(&self, artifact: &Artifact) -> Result<SchemaIds, Error> {
        let outcome = match self.settings.mode {
            SchemaMode::Register => self.register_until_done(artifact),
            SchemaMode::Lookup => self.find_until_done(artifact),
        };
        let is_away = matches!(&outcome, Err(error) if error.kind() == Kind::Unavailable);
        self.is_away.store(is_away, Ordering::Relaxed);
        let ids = outcome.map_err(|error| {
            let id = artifact.short_id();
            let group = &self.dialect.group;
            let what =
                format!("the schema is not registered as artifact '{id}' in group '{group}'");
            Error::new(error.kind(), what)
                .stream(&*artifact.stream)
                .cause(error)
        })?;
        if let Some(state) = &ids.state {
            log::warn!(
                "the schema of stream '{}' is in the registry as a version in state {state}",
                artifact.stream
            );
        }
        Ok(ids)
    }

    fn register_until_done(&self, artifact: &Artifact) -> Result<SchemaIds, Error> {
        let mut tries = self.tries();
        loop {
            let verdict = match self.register_once(artifact, tries.deadline) {
                Ok(ids) => return Ok(ids),
                Err(verdict) => verdict,
            };
            match verdict {
                Verdict::NoGroup(error) if tries.is_group_made => return Err(error),
                Verdict::NoGroup(error) => match self.make_group(error, artifact, tries.deadline) {
                    Ok(()) => tries.is_group_made = true,
                    Err(verdict) => tries.go_on(verdict)?,
                },
                // It may be there already: then nothing need be written.
                Verdict::ReadOnly(why) => match self.find(artifact, tries.deadline) {
                    Ok(ids) => return Ok(ids),
                    Err(Verdict::Lasting(error)) => return Err(error),
                    Err(_) => tries.pause_for(&why, None)?,
                },
                other => tries.go_on(other)?,
            }
        }
    }

    fn register_once(&self, artifact: &Artifact, deadline: Instant) -> Result<SchemaIds, Verdict> {
        if self.dialect.api == Api::Ccompat {
            // An answer of Confluent's API has no type, and the registry puts a schema into an artifact of any.
            let reply = self.send(&self.dialect.look_at_newest(artifact), deadline)?;
            if reply.status != 404 {
                check_type_of_newest(&reply, artifact, &self.dialect)?;
            }
        }
        let reply = self.send(&self.dialect.register(artifact), deadline)?;
        read_registered(&reply, artifact, &self.dialect)
    }

    fn find_until_done(&self, artifact: &Artifact) -> Result<SchemaIds, Error> {
        let mut tries = self.tries();
        loop {
            match self.find(artifact, tries.deadline) {
                Ok(ids) => return Ok(ids),
                Err(verdict) => tries.go_on(verdict)?,
            }
        }
    }

    fn find(&self, artifact: &Artifact, deadline: Instant) -> Result<SchemaIds, Verdict> {
        let reply = self.send(&self.dialect.find(artifact), deadline)?;
        read_found(&reply, artifact, &self.dialect)
    }

    /// Makes the group that is missing. That somebody else has made it meanwhile is as good.
    fn make_group(
        &self,
        missing: Error,
        artifact: &Artifact,
        deadline: Instant,
    ) -> Result<(), Verdict> {
        let Some(call) = self.dialect.create_group() else {
            return Err(Verdict::Lasting(missing));
        };
        let reply = self.send(&call, deadline)?;
        if matches!(reply.status, 200 | 204 | 409) {
            return Ok(());
        }
        Err(match classify(&reply, artifact, &self.dialect) {
            Verdict::Lasting(error) | Verdict::Unauthorised(error) => {
                let what = "the schema registry has no such group, and it cannot be made";
                Verdict::Lasting(Error::new(Kind::Refused, what).cause(error))
            }
            other => other,
        })
    }

    /// Sends a call with our login, and once more with another token where that one is refused.
    pub(super) fn send(&self, call: &Call, deadline: Instant) -> Result<Reply, Verdict> {
        let part = (self.settings.timeout / PART_OF_TIME).max(LEAST_OF_CALL);
        let deadline = deadline.min(Instant::now() + part);
        let login = self.login.header(deadline).map_err(of_failure)?;
        let reply = self.send_as(call, login.as_ref(), deadline)?;
        if reply.status == 401
            && let Some(refused) = &login
            && let Some(renewed) = self.login.renew(refused, deadline).map_err(of_failure)?
        {
            return self.send_as(call, Some(&renewed), deadline);
        }
        Ok(reply)
    }

    fn send_as(
        &self,
        call: &Call,
        login: Option<&Secret>,
        deadline: Instant,
    ) -> Result<Reply, Verdict> {
        let mut headers = vec![("Accept", "application/json")];
        headers.extend(
            call.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        headers.extend(login.map(|login| ("Authorization", login.expose())));
        let request = Request {
            url: &call.url,
            headers: &headers,
            body: (call.body.as_ref()).map(|(content_type, body)| (*content_type, body.as_bytes())),
        };
        self.http.call(&request, deadline).map_err(of_failure)
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    fn tries(&self) -> Tries {
        let may_do_without = self.settings.on_error == OnSchemaError::Warn;
        let deadline = if may_do_without && self.is_away.load(Ordering::Relaxed) {
            Instant::now() + self.settings.timeout.min(TIME_WHILE_AWAY)
        } else {
            self.deadline()
        };
        Tries {
            deadline,
            conflicts: 0,
            pause: FIRST_PAUSE,
            is_group_made: false,
        }
    }
}

impl Tries {
    /// Waits as long as the next try should; fails where there is no next one.
    fn go_on(&mut self, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Conflict(why) => {
                self.conflicts += 1;
                if self.conflicts == CONFLICT_TRIES {
                    let what = "others register the same artifact again and again";
                    return Err(Error::new(Kind::Unavailable, what).cause(why));
                }
                thread::sleep(jitter(CONFLICT_PAUSE * self.conflicts));
                Ok(())
            }
            Verdict::Passing(why, patience) => self.pause_for(&why, patience),
            Verdict::ReadOnly(why) => self.pause_for(&why, None),
            Verdict::NotThere => Err(Error::new(
                Kind::Refused,
                "the schema registry does not have this schema (schema_mode lookup)",
            )),
            Verdict::NoGroup(error) | Verdict::Unauthorised(error) | Verdict::Lasting(error) => {
                Err(error)
            }
        }
    }

    fn pause_for(&mut self, why: &str, patience: Option<Duration>) -> Result<(), Error> {
        // No patience is asked for by 0, which some proxies say.
        let pause = jitter(self.pause).max(patience.unwrap_or_default());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let time_is_over = || {
            let what = "the schema registry is not available (schema_registry_timeout_seconds)";
            Err(Error::new(Kind::Unavailable, what).cause(why))
        };
        if Instant::now() + pause >= self.deadline {
            return time_is_over();
        }
        log::debug!("the schema registry is tried again in {pause:?}: {why}");
        thread::sleep(pause);
        // A busy machine may wake us late, and a call without time would tell no reason.
        if Instant::now() >= self.deadline {
            return time_is_over();
        }
        Ok(())
    }
}

fn of_failure(failure: Failure) -> Verdict {
    match failure {
        Failure::Passing(why) => Verdict::Passing(why, None),
        Failure::Lasting(error) => Verdict::Lasting(error),
    }
}

/// A time from this to twice as long, so that those who met do not meet again.
fn jitter(pause: Duration) -> Duration {
    // Each state has random keys of its own, from the operating system.
    let thousandths = RandomState::new().build_hasher().finish() % 1000;
    pause + pause * u32::try_from(thousandths).unwrap_or_default() / 1000
}
