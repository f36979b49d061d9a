//! A place for one connection at a time: it makes the first one and each one that follows a loss.
//!
//! Workers that share connections share links. Every attempt runs on a thread that is abandoned when it
//! takes too long.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::RunEnd;
use super::client::Generation;
use super::info::{Info, load_info};
use crate::error::{Error, Kind};
use crate::settings::Settings;
use crate::settings::address::ServerAddress;

/// How long one attempt with one server may take, name resolution and login included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after the first round of failed attempts; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The least time between two connections; it doubles up to the longest for a server that takes us in and
/// throws us out at once.
const CONNECT_INTERVAL: Duration = Duration::from_millis(250);
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

/// Makes connections, and keeps the current one for those who share it.
pub(crate) struct Link {
    servers: Vec<ServerAddress>,
    name: String,
    connect_timeout: Duration,
    confirm_timeout: Duration,
    /// Whether any link of the run has connected: from then on the watchdog decides when to give up.
    was_connected: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Generation>>,
    last_connected: Option<Instant>,
    interval: Duration,
}

impl Link {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            servers: settings.nats_urls.clone(),
            name: settings.connection_name.clone(),
            connect_timeout: settings.connect_timeout,
            confirm_timeout: settings.confirm_timeout,
            was_connected: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// Another link of the same run.
    pub(crate) fn sibling(&self, settings: &Settings) -> Self {
        Self {
            was_connected: Arc::clone(&self.was_connected),
            ..Self::new(settings)
        }
    }

    /// The current generation, or a new one if that is `lost`. Blocks while it connects: for the run's first
    /// connection up to the time-out, later without end (the run's watchdog knows when to give up).
    ///
    /// Fails with `Unavailable`, `Refused` or `Internal`.
    pub(super) fn generation(
        &self,
        lost: Option<Arc<Generation>>,
        run_end: &RunEnd,
    ) -> Result<Arc<Generation>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &state.current
            && !current.is_lost()
        {
            return Ok(Arc::clone(current));
        }
        let refusal = lost
            .as_ref()
            .or(state.current.as_ref())
            .and_then(|lost| lost.refusal());
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        // Let go of: a lost generation ends when its last user does.
        state.current = None;
        drop(lost);
        if let Some(before) = state.last_connected {
            log::warn!("the connection to NATS is lost; connecting again");
            let lived = before.elapsed();
            state.interval = if lived > 2 * state.interval {
                CONNECT_INTERVAL
            } else {
                (2 * state.interval).clamp(CONNECT_INTERVAL, LONGEST_INTERVAL)
            };
            pause(state.interval.saturating_sub(lived), run_end)?;
        }
        let generation = Arc::new(self.open_any(run_end)?.generation);
        self.was_connected.store(true, Ordering::SeqCst);
        state.last_connected = Some(Instant::now());
        state.current = Some(Arc::clone(&generation));
        Ok(generation)
    }

    /// Connects for a look at the server and its speed: for `--check`.
    pub(crate) fn look(&self) -> Result<Sight, Error> {
        let start = Instant::now();
        let Opened {
            address,
            info,
            generation,
        } = self.open_any(&crossbeam_channel::never())?;
        let connect_time = start.elapsed();
        let max_payload_bytes = generation.limits().max_payload_bytes;
        let round_trip = within(ATTEMPT_TIMEOUT, move || {
            generation
                .round_trip()
                .map_err(|error| Error::new(Kind::Unavailable, "no answer to a PING").cause(error))
        })?;
        Ok(Sight {
            address,
            info,
            connect_time,
            max_payload_bytes,
            round_trip,
        })
    }

    /// Tries the servers in their order, again and again; until the run's first connection, up to the
    /// time-out.
    fn open_any(&self, run_end: &RunEnd) -> Result<Opened, Error> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut wait = FIRST_PAUSE;
        loop {
            let mut last = None;
            for server in &self.servers {
                match self.open(server.clone()) {
                    Err(error) if error.kind() == Kind::Unavailable => {
                        log::debug!("{error}");
                        last = Some(error);
                    }
                    outcome => return outcome,
                }
            }
            let mut pause_time = wait;
            if !self.was_connected.load(Ordering::SeqCst) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let seconds = self.connect_timeout.as_secs_f64();
                    let what = format!("no NATS server could be reached in {seconds} seconds");
                    let cause = last.map(|error| error.to_string()).unwrap_or_default();
                    return Err(Error::new(Kind::Unavailable, what).cause(cause));
                }
                pause_time = wait.min(left);
            }
            pause(pause_time, run_end)?;
            wait = (wait * 2).min(LONGEST_PAUSE);
        }
    }

    fn open(&self, server: ServerAddress) -> Result<Opened, Error> {
        let (name, flush_timeout) = (self.name.clone(), self.confirm_timeout);
        let timeout = self.connect_timeout.min(ATTEMPT_TIMEOUT);
        let described = server.to_string();
        within(timeout, move || {
            open_server(&server, &name, timeout, flush_timeout)
        })
        .map_err(|error| {
            // An address that is no name is in the error already.
            let is_named = error.to_string().contains(&described);
            if error.kind() == Kind::Unavailable && !is_named {
                Error::new(Kind::Unavailable, described).cause(error)
            } else {
                error
            }
        })
    }
}

/// A connection that was just made.
struct Opened {
    address: SocketAddr,
    info: Info,
    generation: Generation,
}

/// What `--check` sees of a server.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) address: SocketAddr,
    pub(crate) info: Info,
    pub(crate) connect_time: Duration,
    pub(crate) max_payload_bytes: usize,
    pub(crate) round_trip: Duration,
}

/// Waits, unless the run ends.
fn pause(time: Duration, run_end: &RunEnd) -> Result<(), Error> {
    match run_end.recv_timeout(time) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(Error::new(
            Kind::Unavailable,
            "the run has ended while it was connecting",
        )),
        Ok(never) => match never {},
    }
}

/// Tries every address that a server's name has.
fn open_server(
    server: &ServerAddress,
    name: &str,
    timeout: Duration,
    flush_timeout: Duration,
) -> Result<Opened, Error> {
    let addresses: Vec<_> = (server.host.as_str(), server.port)
        .to_socket_addrs()
        .map_err(|error| Error::new(Kind::Unavailable, "the name cannot be resolved").cause(error))?
        .collect();
    // An address that does not answer must leave time for the next one.
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = Error::new(Kind::Unavailable, "the name has no address");
    for address in addresses {
        let opened = load_info(address, share).and_then(|info| {
            let generation = Generation::open(address, &info, &server.login, name, flush_timeout)?;
            Ok(Opened {
                address,
                info,
                generation,
            })
        });
        match opened {
            Err(error) if error.kind() == Kind::Unavailable => failure = error,
            outcome => return outcome,
        }
    }
    Err(failure)
}

/// Runs what may never return on a thread of its own, and gives it up after `timeout`.
fn within<T: Send + 'static>(
    timeout: Duration,
    attempt: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    thread::Builder::new()
        .name("nats-connect".to_owned())
        // Nobody receives what comes too late.
        .spawn(move || drop(sender.send(attempt())))
        .map_err(|error| Error::new(Kind::Internal, "no thread could be started").cause(error))?;
    receiver.recv_timeout(timeout).unwrap_or_else(|_| {
        let seconds = timeout.as_secs_f64();
        Err(Error::new(
            Kind::Unavailable,
            format!("no answer within {seconds:.1} seconds"),
        ))
    })
}
