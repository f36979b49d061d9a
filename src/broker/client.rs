//! The only file that names the `nats` crate. One [`Generation`] is one connection, until its first failure.
//!
//! The crate's own reconnecting is never relied on: it completes a waiting flush with Ok although no PONG
//! came (spec nats.md, 1b). A generation is lost for good with the first disconnect, failed write or failed
//! flush. The crate's thread then wants to reconnect; it is held until the last user of the generation has
//! let go, so that nothing of the generation is published behind the break. Then it may, which completes
//! whatever flush still waits in it, and the connection ends. Its threads end when the server next speaks to
//! it, and the crate's flush thread within two minutes.

// The crate is deprecated upstream in favour of an async one; this program uses it by decision.
#![allow(deprecated)]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::auth::{self, UserKey};
use super::info::Info;
use super::relay::Relay;
use super::server_error::{ServerError, is_login_error, parse_server_error, quoted};
use super::{Limits, lock};
use crate::error::{Error, Kind};
use crate::route::headers::Headers;
use crate::settings::address::Login;

/// How often a connection that was given up looks whether it may end.
const RETIRE_POLL: Duration = Duration::from_millis(20);
/// How long it waits between its attempts to reach a server, which it needs to end.
const RETIRE_PAUSE: Duration = Duration::from_secs(1);

/// One connection to one server. Shared by the workers that publish over it.
pub(super) struct Generation {
    connection: nats::Connection,
    shared: Arc<Shared>,
    flushes: Sender<Flush>,
    info: Info,
    limits: Limits,
}

/// What the crate's callbacks know of the generation.
#[derive(Default)]
struct Shared {
    /// For the words of a refusal.
    login: Login,
    /// The way to the server, which is kept until the crate has let go of its callbacks.
    _relay: Option<Arc<Relay>>,
    is_lost: AtomicBool,
    /// The server is about to shut down (lame duck mode).
    is_leaving: AtomicBool,
    /// Nobody publishes over it any more.
    is_retired: AtomicBool,
    /// The server's refusal of something that was published, which no new connection would mend.
    refusal: Mutex<Option<Error>>,
    watchers: Mutex<Vec<Sender<Signal>>>,
    /// Subjects that may be denied without harm, and who wants to know: several may ask the same.
    optional: Mutex<HashMap<String, Vec<Sender<Denied>>>>,
}

/// The server does not let us publish or subscribe to a subject that was marked as optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied;

/// A subscription, and what has arrived for it. It ends when it is dropped.
pub(super) struct Inbox(nats::Subscription);

impl Inbox {
    pub(super) fn replies(&self) -> &Receiver<Reply> {
        self.0.receiver()
    }
}

/// A message that has arrived.
pub(super) type Reply = nats::Message;

/// The status of a message that the server itself made in place of an answer, such as 503 where nobody is
/// there to answer.
pub(super) fn reply_status(reply: &Reply) -> Option<&str> {
    reply.headers.as_ref()?.get("Status").map(String::as_str)
}

/// What the users of a generation are told, each on a channel of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The PONG has come for the flush that was asked for with this number.
    Flushed(u64),
    /// The connection is gone.
    Lost,
}

/// The headers of the last message, in the form in which the crate takes them: making that costs more than sending it.
#[derive(Default)]
pub(super) struct LastHeaders {
    text: String,
    map: nats::HeaderMap,
}

impl LastHeaders {
    fn map_of(&mut self, headers: &Headers) -> &nats::HeaderMap {
        if self.text != headers.as_str() {
            headers.as_str().clone_into(&mut self.text);
            // The crate's map has no order. One entry that holds all the lines keeps ours, and `Headers`
            // answers for its being legal on the wire.
            let (name, rest) = headers.first_and_rest();
            self.map = nats::HeaderMap::new();
            self.map.insert(name, rest);
        }
        &self.map
    }
}

/// The connection is gone, as in [`Signal::Lost`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// A user waits for the PONG behind everything that was published so far.
struct Flush {
    number: u64,
    signals: Sender<Signal>,
}

impl Generation {
    /// Connects and logs in to the server at `address`, through a relay if there is one. It blocks as long as the
    /// server likes: call it on a thread that can be abandoned. `flush_timeout` bounds each write of a flush.
    ///
    /// Fails with `Refused` where the login is wrong, else with `Unavailable`.
    pub(super) fn open(
        relay: Option<Arc<Relay>>,
        address: SocketAddr,
        info: &Info,
        login: &Login,
        name: &str,
        flush_timeout: Duration,
    ) -> Result<Self, Error> {
        auth::check_expiry(login)?;
        let (way, name) = match &relay {
            Some(relay) => (relay.address, relay.secret.clone()),
            None => (address, name.to_owned()),
        };
        let shared = Arc::new(Shared {
            login: login.clone(),
            _relay: relay,
            ..Shared::default()
        });
        let options = login_options(login)?;
        let (on_error, on_disconnect) = (Arc::clone(&shared), Arc::clone(&shared));
        let on_leaving = Arc::clone(&shared);
        let before_connect = Arc::clone(&shared);
        let connection = options
            .with_name(&name)
            // Nothing may be kept for after a reconnect.
            .reconnect_buffer_size(0)
            .max_reconnects(None)
            .reconnect_delay_callback(move |_| before_connect.hold_reconnect())
            .error_callback(move |error| on_error.note_server_error(&error.to_string()))
            .disconnect_callback(move || on_disconnect.lose())
            .lame_duck_callback(move || on_leaving.note_leaving())
            .connect(format!("nats://{way}"))
            .map_err(|error| describe_connect_error(address, login, &error))?;
        let limits = Limits {
            max_payload_bytes: connection.max_payload(),
            headers: info.headers,
        };
        let (flushes, requests) = crossbeam_channel::unbounded();
        let confirmer = Confirmer {
            connection: connection.clone(),
            shared: Arc::clone(&shared),
            timeout: flush_timeout,
        };
        thread::Builder::new()
            .name("nats-flush".to_owned())
            .spawn(move || confirmer.run(&requests))
            .map_err(|error| {
                Error::new(Kind::Internal, "no thread could be started").cause(error)
            })?;
        Ok(Self {
            connection,
            shared,
            flushes,
            info: info.clone(),
            limits,
        })
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn info(&self) -> &Info {
        &self.info
    }

    pub(super) fn is_lost(&self) -> bool {
        self.shared.is_lost.load(Ordering::SeqCst)
    }

    /// Whether the server has said that it will shut down.
    pub(super) fn is_leaving(&self) -> bool {
        self.shared.is_leaving.load(Ordering::SeqCst)
    }

    /// Why the server refused something that was published, if it did.
    pub(super) fn refusal(&self) -> Option<Error> {
        lock(&self.shared.refusal).clone()
    }

    /// Sends [`Signal::Lost`] when the connection is lost, at once if it is lost already.
    pub(super) fn watch(&self, signals: Sender<Signal>) {
        self.shared.watch(signals);
    }

    /// Hands a message to the connection.
    pub(super) fn publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<(&Headers, &mut LastHeaders)>,
        payload: &[u8],
    ) -> Result<(), Lost> {
        let headers = headers.map(|(headers, last)| last.map_of(headers));
        self.connection
            .publish_with_reply_or_headers(subject, reply, headers, payload)
            .map_err(|_| {
                self.shared.lose();
                Lost
            })
    }

    /// Subscribes to a subject.
    pub(super) fn subscribe(&self, subject: &str) -> Result<Inbox, Lost> {
        self.connection.subscribe(subject).map(Inbox).map_err(|_| {
            self.shared.lose();
            Lost
        })
    }

    /// If the server denies this subject, that is told to `denials`, and to all others who have asked for it, and
    /// is no error of the connection. Until [`Generation::require`].
    pub(super) fn allow_denial(&self, subject: &str, denials: Sender<Denied>) {
        let mut optional = lock(&self.shared.optional);
        optional
            .entry(subject.to_owned())
            .or_default()
            .push(denials);
    }

    /// A denial of this subject that comes from now on is not for `denials`.
    pub(super) fn require(&self, subject: &str, denials: &Sender<Denied>) {
        let mut optional = lock(&self.shared.optional);
        if let Some(waiting) = optional.get_mut(subject) {
            waiting.retain(|other| !other.same_channel(denials));
            if waiting.is_empty() {
                optional.remove(subject);
            }
        }
    }

    /// Sends a PING behind everything that was published so far. [`Signal::Flushed`] follows its PONG.
    pub(super) fn flush(&self, number: u64, signals: Sender<Signal>) {
        // The confirmer is gone only where the generation is lost, and then the watchers know.
        let _ = self.flushes.send(Flush { number, signals });
    }

    /// The time of one PING and PONG; blocks like [`Generation::open`].
    pub(super) fn round_trip(&self) -> io::Result<Duration> {
        self.connection.rtt()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.shared.is_retired.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn lose(&self) {
        let mut watchers = lock(&self.watchers);
        self.is_lost.store(true, Ordering::SeqCst);
        for signals in watchers.drain(..) {
            // A worker that has ended need not be told.
            let _ = signals.send(Signal::Lost);
        }
    }

    /// The connection is left to the server: it goes on for as long as the server lets it.
    fn note_leaving(&self) {
        if !self.is_leaving.swap(true, Ordering::SeqCst) {
            log::warn!("the NATS server is about to shut down (lame duck mode)");
        }
    }

    fn watch(&self, signals: Sender<Signal>) {
        let mut watchers = lock(&self.watchers);
        if self.is_lost.load(Ordering::SeqCst) {
            let _ = signals.send(Signal::Lost);
        } else {
            watchers.push(signals);
        }
    }

    /// Called by the crate before each attempt to connect: the first one goes ahead, one after the loss
    /// must wait for the generation's users. Zero also spares the crate's random second before the first.
    fn hold_reconnect(&self) -> Duration {
        if !self.is_lost.load(Ordering::SeqCst) {
            return Duration::ZERO;
        }
        while !self.is_retired.load(Ordering::SeqCst) {
            thread::sleep(RETIRE_POLL);
        }
        RETIRE_PAUSE
    }

    /// Called for each `-ERR` of the server, before a PONG that came behind it is looked at.
    fn note_server_error(&self, text: &str) {
        let subject = quoted(text).unwrap_or_default();
        if let Some(waiting) = lock(&self.optional).get(subject) {
            for denials in waiting {
                // Who asked may have given up.
                let _ = denials.send(Denied);
            }
            return;
        }
        match parse_server_error(text, &self.login) {
            ServerError::Refusal(error) => {
                lock(&self.refusal).get_or_insert(error);
                self.lose();
            }
            ServerError::Passing => log::warn!("the NATS server says: {text}"),
        }
    }
}

fn describe_connect_error(address: SocketAddr, login: &Login, error: &io::Error) -> Error {
    let text = error.to_string();
    if is_login_error(&text.to_ascii_lowercase()) {
        // The crate quotes the server's line in a Debug form of its own.
        let cause = quoted(&text).unwrap_or("authorization violation");
        return auth::explain_refusal(&format!("the NATS server {address}"), login, cause);
    }
    Error::new(Kind::Unavailable, format!("no connection to {address}")).cause(text)
}

fn login_options(login: &Login) -> Result<nats::Options, Error> {
    Ok(match login {
        Login::None => nats::Options::new(),
        Login::User { name, password } => nats::Options::with_user_pass(name, password.expose()),
        Login::Token(token) => nats::Options::with_token(token.expose()),
        Login::Nkey(seed) => {
            let key = UserKey::new(seed)?;
            nats::Options::with_nkey(&key.public_key(), move |nonce| key.sign(nonce))
        }
        Login::Credentials { jwt, seed } => {
            let (jwt, key) = (jwt.clone(), UserKey::new(seed)?);
            let jwt = move || Ok(jwt.expose().to_owned());
            nats::Options::with_jwt(jwt, move |nonce| key.sign(nonce))
        }
    })
}

/// Turns flushes into confirmations, one round trip for all that wait.
struct Confirmer {
    connection: nats::Connection,
    shared: Arc<Shared>,
    timeout: Duration,
}

impl Confirmer {
    fn run(self, requests: &Receiver<Flush>) {
        for first in requests {
            let waiting: Vec<Flush> = std::iter::once(first).chain(requests.try_iter()).collect();
            let answer = self.connection.flush_timeout(self.timeout);
            if answer.is_err() {
                self.shared.lose();
            }
            // The loss is looked at after the answer: an Ok that a reconnect made up comes after it.
            if self.shared.is_lost.load(Ordering::SeqCst) {
                return;
            }
            for flush in waiting {
                let _ = flush.signals.send(Signal::Flushed(flush.number));
            }
        }
    }
}
