//! A place for one connection at a time: it makes the first one and each one that follows a loss.
//!
//! Workers that share connections share links. Every attempt runs on a thread that is abandoned when it
//! takes too long.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::client::Generation;
use super::dial::{Dialled, dial};
use super::info::Info;
use super::relay::Relay;
use super::tls::TlsPolicy;
use super::{RunEnd, lock};
use crate::error::{Error, Kind};
use crate::settings::Settings;
use crate::settings::address::{Login, ServerAddress, parse_servers};

/// How long one attempt with one server may take, name resolution and login included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after the first round of failed attempts; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The least time between two connections; it doubles up to the longest for a server that takes us in and
/// throws us out at once.
const CONNECT_INTERVAL: Duration = Duration::from_millis(250);
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

/// Servers of the cluster that are remembered beside those of the settings.
const MOST_DISCOVERED: usize = 64;

/// Makes connections, and keeps the current one for those who share it.
pub(crate) struct Link {
    servers: Vec<Server>,
    tls: Arc<TlsPolicy>,
    name: String,
    connect_timeout: Duration,
    confirm_timeout: Duration,
    /// Whether any link of the run has connected: from then on the watchdog decides when to give up.
    was_connected: Arc<AtomicBool>,
    state: Mutex<State>,
}

/// A server that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    address: ServerAddress,
    /// The name that its certificate must have: of a server that another one told of by its IP alone, it is the
    /// name of the other one if that has a name, as in NATS's own clients.
    certified_host: String,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Generation>>,
    /// The server of the current connection, or of the last one.
    server: Option<Server>,
    discovered: Vec<Server>,
    last_connected: Option<Instant>,
    interval: Duration,
}

impl Link {
    /// Fails with `Config` where the settings of TLS cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let server = |address: &ServerAddress| Server {
            address: address.clone(),
            certified_host: address.host.clone(),
        };
        Ok(Self {
            servers: settings.nats_urls.iter().map(server).collect(),
            tls: Arc::new(TlsPolicy::compile(&settings.tls)?),
            name: settings.connection_name.clone(),
            connect_timeout: settings.connect_timeout,
            confirm_timeout: settings.confirm_timeout,
            was_connected: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// Another link of the same run.
    pub(crate) fn sibling(&self) -> Self {
        Self {
            servers: self.servers.clone(),
            tls: Arc::clone(&self.tls),
            name: self.name.clone(),
            was_connected: Arc::clone(&self.was_connected),
            state: Mutex::default(),
            ..*self
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
        let mut state = lock(&self.state);
        if let Some(current) = &state.current
            && !current.is_lost()
        {
            return Ok(Arc::clone(current));
        }
        let ended = lost.as_ref().or(state.current.as_ref());
        if let Some(refusal) = ended.and_then(|ended| ended.refusal()) {
            return Err(refusal);
        }
        let avoided = ended
            .is_some_and(|ended| ended.is_leaving())
            .then(|| state.server.clone())
            .flatten();
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
        let servers = self.order(&state.discovered, avoided.as_ref());
        let opened = self.open_any(servers, run_end)?;
        self.was_connected.store(true, Ordering::SeqCst);
        let is_tls = opened.tls.is_some();
        let mut discovered = discovered(&opened.server, is_tls, &opened.info, &self.servers);
        // A server that has just started knows no others yet.
        let before = std::mem::take(&mut state.discovered).into_iter();
        discovered.extend(
            before
                .filter(|server| !discovered.contains(server))
                .collect::<Vec<_>>(),
        );
        discovered.truncate(MOST_DISCOVERED);
        state.discovered = discovered;
        state.server = Some(opened.server);
        let generation = Arc::new(opened.generation);
        state.last_connected = Some(Instant::now());
        state.current = Some(Arc::clone(&generation));
        Ok(generation)
    }

    /// Connects for a look at the server and its speed: for `--check`.
    pub(super) fn look(&self) -> Result<Sight, Error> {
        let start = Instant::now();
        let opened = self.open_any(self.servers.clone(), &crossbeam_channel::never())?;
        let connect_time = start.elapsed();
        let generation = Arc::new(opened.generation);
        let round_trip = within(ATTEMPT_TIMEOUT, {
            let generation = Arc::clone(&generation);
            move || {
                generation.round_trip().map_err(|error| {
                    Error::new(Kind::Unavailable, "no answer to a PING").cause(error)
                })
            }
        })?;
        Ok(Sight {
            address: opened.address,
            login: opened.server.address.login,
            tls: opened.tls,
            connect_time,
            round_trip,
            generation,
        })
    }

    /// The servers of the settings, then those that are known from others; last of all one that is to be avoided.
    fn order(&self, discovered: &[Server], avoided: Option<&Server>) -> Vec<Server> {
        let is_avoided = |server: &&Server| Some(*server) == avoided;
        let all = || self.servers.iter().chain(discovered);
        let first = all().filter(|server| !is_avoided(server));
        first.chain(all().filter(is_avoided)).cloned().collect()
    }

    /// Tries the servers in their order, again and again; until the run's first connection, up to the
    /// time-out. A server that only others have told of cannot refuse the run: it is tried no more.
    fn open_any(&self, mut servers: Vec<Server>, run_end: &RunEnd) -> Result<Opened, Error> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut wait = FIRST_PAUSE;
        loop {
            let mut last = None;
            let mut refused = Vec::new();
            for server in &servers {
                match self.open(server.clone()) {
                    Err(error) if error.kind() == Kind::Unavailable => {
                        log::debug!("{error}");
                        last = Some(error);
                    }
                    Err(error) if !self.servers.contains(server) => {
                        log::warn!("a server of the NATS cluster is passed over: {error}");
                        refused.push(server.clone());
                    }
                    outcome => return outcome,
                }
            }
            servers.retain(|server| !refused.contains(server));
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

    fn open(&self, server: Server) -> Result<Opened, Error> {
        let (name, flush_timeout) = (self.name.clone(), self.confirm_timeout);
        let tls = Arc::clone(&self.tls);
        let timeout = self.connect_timeout.min(ATTEMPT_TIMEOUT);
        let described = server.address.to_string();
        within(timeout, move || {
            open_server(&server, &tls, &name, timeout, flush_timeout)
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
    server: Server,
    address: SocketAddr,
    info: Info,
    tls: Option<&'static str>,
    generation: Generation,
}

/// What `--check` sees of a server.
pub(super) struct Sight {
    pub(super) address: SocketAddr,
    pub(super) login: Login,
    /// The version of TLS, where it is spoken.
    pub(super) tls: Option<&'static str>,
    pub(super) connect_time: Duration,
    pub(super) round_trip: Duration,
    pub(super) generation: Arc<Generation>,
}

/// The servers that this one tells of and the settings do not. Where it speaks TLS, they must.
fn discovered(from: &Server, is_tls: bool, info: &Info, known: &[Server]) -> Vec<Server> {
    let is_ip = |host: &str| host.parse::<IpAddr>().is_ok();
    let mut servers = Vec::new();
    for url in &info.connect_urls {
        let Ok(mut addresses) = parse_servers(url) else {
            continue;
        };
        let address = addresses.remove(0);
        let server = Server {
            certified_host: if is_ip(&address.host) && !is_ip(&from.certified_host) {
                from.certified_host.clone()
            } else {
                address.host.clone()
            },
            address: ServerAddress {
                tls: is_tls,
                login: from.address.login.clone(),
                ..address
            },
        };
        let is_known = |known: &Server| {
            (&known.address.host, known.address.port) == (&server.address.host, server.address.port)
        };
        if servers.len() < MOST_DISCOVERED && !known.iter().any(is_known) {
            servers.push(server);
        }
    }
    servers
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
    server: &Server,
    tls: &TlsPolicy,
    name: &str,
    timeout: Duration,
    flush_timeout: Duration,
) -> Result<Opened, Error> {
    let addresses: Vec<_> = (server.address.host.as_str(), server.address.port)
        .to_socket_addrs()
        .map_err(|error| Error::new(Kind::Unavailable, "the name cannot be resolved").cause(error))?
        .collect();
    // An address that does not answer must leave time for the next one.
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = Error::new(Kind::Unavailable, "the name has no address");
    for address in addresses {
        let opened = dial(
            address,
            &server.certified_host,
            server.address.tls,
            tls,
            share,
        )
        .and_then(|dialled| open_dialled(server, address, dialled, name, flush_timeout));
        match opened {
            Err(error) if error.kind() == Kind::Unavailable => failure = error,
            outcome => return outcome,
        }
    }
    Err(failure)
}

/// Lets the crate in.
fn open_dialled(
    server: &Server,
    address: SocketAddr,
    dialled: Dialled,
    name: &str,
    flush_timeout: Duration,
) -> Result<Opened, Error> {
    let Dialled {
        info,
        upstream,
        tls,
    } = dialled;
    let login = &server.address.login;
    let relay = upstream.map(|upstream| Relay::start(upstream, &info, name));
    let relay = relay.transpose()?.map(Arc::new);
    let opened = Generation::open(relay.clone(), address, &info, login, name, flush_timeout);
    let generation = opened.map_err(|error| {
        let failure = relay.as_ref().and_then(|relay| relay.failure());
        failure.unwrap_or(error)
    })?;
    Ok(Opened {
        server: server.clone(),
        address,
        info,
        tls,
        generation,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::info::parse_info;

    fn server(url: &str) -> Server {
        let address = parse_servers(url).unwrap().remove(0);
        Server {
            certified_host: address.host.clone(),
            address,
        }
    }

    /// The names that the certificates of those must have that this server tells of.
    #[track_caller]
    fn check(from: &str, connect_urls: &str, expected: &[&str]) {
        let line = format!(r#"INFO {{"version":"2","connect_urls":{connect_urls}}}"#);
        let info = parse_info(line.as_bytes()).unwrap();
        let from = server(from);
        let servers = discovered(&from, true, &info, std::slice::from_ref(&from));
        let names: Vec<&str> = servers
            .iter()
            .map(|server| &*server.certified_host)
            .collect();
        assert_eq!(names, expected);
        let is_like_it =
            |server: &Server| server.address.tls && server.address.login == from.address.login;
        assert!(servers.iter().all(is_like_it));
    }

    #[test]
    fn servers_that_others_tell_of_are_held_to_the_right_name() {
        let two = r#"["10.0.0.1:4222","10.0.0.2:4222"]"#;
        check(
            "nats://u:p@nats.example",
            two,
            &["nats.example", "nats.example"],
        );
        check("tls://10.0.0.1:4222", two, &["10.0.0.2"]);
        check(
            "tls://[::1]:4222",
            r#"["[::1]:4222","[fd00::2]:4222"]"#,
            &["fd00::2"],
        );
        check(
            "tls://nats.example",
            r#"["[fd00::2]:4222","b.example:4222"]"#,
            &["nats.example", "b.example"],
        );
        check(
            "tls://nats.example",
            r#"["nats.example:4222","://","",7]"#,
            &[],
        );
        check("tls://nats.example", "7", &[]);
    }

    #[test]
    fn no_more_servers_are_remembered_than_fit() {
        let urls: Vec<String> = (0..1000)
            .map(|port| format!("\"a:{}\"", port + 1))
            .collect();
        let expected = ["a"; MOST_DISCOVERED];
        check(
            "tls://nats.example",
            &format!("[{}]", urls.join(",")),
            &expected,
        );
    }
}
