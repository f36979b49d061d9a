//! The relay: the crate speaks plaintext to an address of this machine, and the relay speaks TLS to the server.
//!
//! The crate's own TLS loses wake-ups and whole connections under load (spec nats.md, 0.1). The relay admits the
//! one connection that presents a secret in the `name` of its CONNECT, which it replaces by the real name; whoever
//! else connects is hung up on and reaches no server. INFO lines are rewritten: the crate shall neither do TLS
//! itself, nor learn of other servers, nor meet a line that is too long for it.
//!
//! ```text
//!  crate ──plaintext──▶ loopback ──▶ encrypt ──▶ server
//!  crate ◀──plaintext── loopback ◀── decrypt ◀── server     (a thread each)
//! ```
//!
//! Neither thread holds the session while it waits for a socket. When one side ends, both sockets are shut down.
//!
//! The crate, which reconnects by itself and cannot be told not to, then comes back with its secret and its login.
//! So the door stays until the crate is done with it: it is let in once more, to nobody, and ends. Nobody else can
//! have its port in the meantime.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::crypto::ring;
use serde_json::Value;

use super::info::{Info, Lines};
use super::lock;
use super::tls::{describe_failure, inner_failure};
use crate::error::{Error, Kind};

/// How long whoever connects may take to present the secret.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server that takes nothing more may take to say why.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// A CONNECT line holds a JWT at most.
const MAX_CONNECT_BYTES: u64 = 64 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
/// Strangers that are listened to at once. Whoever comes then takes the place of the first of them: ours says at once
/// who it is, and must not wait for those that never do.
const MOST_STRANGERS: usize = 16;
/// The time between two words to a crate that has nothing left to do but to notice it.
const FAREWELL_PAUSE: Duration = Duration::from_millis(50);

/// A connection to a server over which its INFO was read already.
pub(super) struct Upstream {
    pub(super) socket: TcpStream,
    /// `None` for a server without TLS, whose INFO is too long for the crate.
    pub(super) session: Option<ClientConnection>,
    /// The server, for errors.
    pub(super) server: String,
}

/// A relay that waits for the crate. Its door closes when it is dropped: not before the crate has ended.
pub(super) struct Relay {
    /// Where the crate is to connect.
    pub(super) address: SocketAddr,
    /// What the crate is to give as its name.
    pub(super) secret: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: TcpStream,
    session: Option<Mutex<ClientConnection>>,
    /// Who stands at the door and has not yet said who it is, in the order of their coming.
    strangers: Mutex<VecDeque<Arc<TcpStream>>>,
    /// Held while bytes go to the server, so that they go in their order.
    sending: Mutex<()>,
    greeting: Vec<u8>,
    secret: String,
    name: String,
    server: String,
    /// The crate has come.
    is_taken: AtomicBool,
    /// The crate has ended.
    is_over: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl Relay {
    /// Starts to listen. `name` is the connection's real one.
    pub(super) fn start(upstream: Upstream, info: &Info, name: &str) -> Result<Self, Error> {
        let internal = |error: io::Error| {
            Error::new(Kind::Internal, "no relay for TLS could be started").cause(error)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(internal)?;
        let address = listener.local_addr().map_err(internal)?;
        let secret = random_secret()?;
        let shared = Arc::new(Shared {
            upstream: upstream.socket,
            session: upstream.session.map(Mutex::new),
            strangers: Mutex::default(),
            sending: Mutex::new(()),
            greeting: info.render_plain(),
            secret: secret.clone(),
            name: name.to_owned(),
            server: upstream.server,
            is_taken: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let acceptor = Arc::clone(&shared);
        spawn("nats-relay", move || acceptor.accept(&listener)).map_err(internal)?;
        Ok(Self {
            address,
            secret,
            shared,
        })
    }

    /// Why the server has ended the connection, if it was TLS that failed.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.shared.failure).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if !self.shared.is_taken.swap(true, Ordering::SeqCst) {
            self.shared.hang_up();
        }
        // Ends the wait for the next connection.
        let _ = TcpStream::connect_timeout(&self.address, ADMISSION_TIMEOUT);
    }
}

fn random_secret() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    let random = ring::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Internal, "the system has no random numbers"))?;
    Ok(bytes.iter().fold(String::new(), |secret, byte| {
        secret + &format!("{byte:02x}")
    }))
}

/// Who has knocked at the door, its CONNECT line read.
enum Guest {
    /// The crate, for whom this is to be sent to the server.
    New(BufReader<TcpStream>, Vec<u8>),
    /// The crate again, after its connection was lost.
    Again(BufReader<TcpStream>),
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for peer in listener.incoming() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(peer) = peer else { continue };
            let Ok(stranger) = peer.try_clone().map(Arc::new) else {
                continue;
            };
            self.stand_at_door(Arc::clone(&stranger));
            let shared = Arc::clone(self);
            // A stranger that says nothing must not keep ours waiting.
            let _ = spawn("nats-relay-door", move || {
                let guest = shared.admit(peer);
                shared.leave_door(&stranger);
                match guest {
                    Ok(Some(Guest::New(peer, connect))) => shared.carry(peer, &connect),
                    Ok(Some(Guest::Again(peer))) => shared.dismiss(peer),
                    // Hung up on.
                    Ok(None) | Err(_) => {}
                }
            });
        }
    }

    fn stand_at_door(&self, stranger: Arc<TcpStream>) {
        let mut strangers = lock(&self.strangers);
        strangers.push_back(stranger);
        if strangers.len() > MOST_STRANGERS
            && let Some(first) = strangers.pop_front()
        {
            let _ = first.shutdown(Shutdown::Both);
        }
    }

    fn leave_door(&self, stranger: &Arc<TcpStream>) {
        lock(&self.strangers).retain(|other| !Arc::ptr_eq(other, stranger));
    }

    /// Reads the CONNECT line of whoever has connected. Nothing, if it does not have the secret.
    fn admit(&self, peer: TcpStream) -> io::Result<Option<Guest>> {
        peer.set_nodelay(true)?;
        peer.set_read_timeout(Some(ADMISSION_TIMEOUT))?;
        (&peer).write_all(&self.greeting)?;
        let mut peer = BufReader::with_capacity(BUFFER_BYTES, peer);
        let mut line = Vec::new();
        (&mut peer)
            .take(MAX_CONNECT_BYTES)
            .read_until(b'\n', &mut line)?;
        let json = line.strip_prefix(b"CONNECT ").unwrap_or_default();
        let Ok(mut options) = serde_json::from_slice::<Value>(json) else {
            return Ok(None);
        };
        if options["name"].as_str() != Some(&self.secret) {
            return Ok(None);
        }
        if self.is_taken.swap(true, Ordering::SeqCst) {
            return Ok(Some(Guest::Again(peer)));
        }
        options["name"] = self.name.as_str().into();
        options["tls_required"] = self.session.is_some().into();
        peer.get_ref().set_read_timeout(None)?;
        let connect = format!("CONNECT {options}\r\n").into_bytes();
        Ok(Some(Guest::New(peer, connect)))
    }

    /// Lets the crate believe that it has its server back. It then completes what still waits in it, notices at the
    /// next word that it is to end, and hangs up.
    fn dismiss(&self, peer: BufReader<TcpStream>) {
        let (mut ignored, socket) = ([0; 1024], peer.into_inner());
        let mut told = socket
            .set_read_timeout(Some(FAREWELL_PAUSE))
            .and_then(|()| (&socket).write_all(b"PONG\r\n"));
        while told.is_ok() && !self.is_over.load(Ordering::SeqCst) {
            told = match (&socket).read(&mut ignored) {
                Ok(0) => return,
                Ok(_) => Ok(()),
                Err(error) if is_timeout(&error) => (&socket).write_all(b"PING\r\n"),
                Err(error) => Err(error),
            };
        }
    }

    /// Carries bytes both ways until one side ends.
    fn carry(self: &Arc<Self>, mut peer: BufReader<TcpStream>, connect: &[u8]) {
        let back = Arc::clone(self);
        let (reading, has_ended) = crossbeam_channel::bounded::<Infallible>(0);
        let started = peer.get_ref().try_clone().and_then(|local| {
            spawn("nats-relay-in", move || {
                let _reading = reading;
                let outcome = back.carry_in(&local);
                if let Err(error) = &outcome
                    && let Some(failure) = inner_failure(error)
                {
                    lock(&back.failure).get_or_insert(describe_failure(&back.server, failure));
                }
                back.hang_up();
                let _ = local.shutdown(Shutdown::Both);
            })
        });
        if started.is_ok() {
            let outcome = self.send(connect).and_then(|()| self.carry_out(&mut peer));
            if outcome.is_err() {
                // The server may have said why, in an alert that has still to be read. Who reads already would not
                // notice a time-out of the socket.
                let _ = self.upstream.shutdown(Shutdown::Write);
                let _ = has_ended.recv_timeout(FAREWELL_TIMEOUT);
            }
        }
        self.hang_up();
        let _ = peer.get_ref().shutdown(Shutdown::Both);
    }

    /// From the crate to the server.
    fn carry_out(&self, peer: &mut BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let plain = peer.fill_buf()?;
            if plain.is_empty() {
                return Ok(());
            }
            self.send(plain)?;
            let taken = plain.len();
            peer.consume(taken);
        }
    }

    /// From the server to the crate.
    fn carry_in(&self, local: &TcpStream) -> io::Result<()> {
        let mut received = vec![0; BUFFER_BYTES];
        let mut plain = Vec::new();
        let mut lines = Lines::default();
        let mut rewritten = Vec::new();
        // What came behind the INFO line.
        let mut is_open = self.decrypt(&[], &mut plain)?;
        loop {
            rewritten.clear();
            lines
                .rewrite(&plain, &mut rewritten)
                .map_err(io::Error::other)?;
            plain.clear();
            (&mut &*local).write_all(&rewritten)?;
            if !is_open {
                return Ok(());
            }
            let count = (&self.upstream).read(&mut received)?;
            if count == 0 {
                return Ok(());
            }
            is_open = self.decrypt(&received[..count], &mut plain)?;
        }
    }

    /// Returns whether the server may have more to say.
    fn decrypt(&self, mut received: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let Some(session) = &self.session else {
            plain.extend_from_slice(received);
            return Ok(true);
        };
        let mut session = lock(session);
        let is_open = loop {
            // A session that the server has closed takes nothing more.
            if !received.is_empty() && session.read_tls(&mut received)? == 0 {
                received = &[];
            }
            let state = session.process_new_packets().map_err(io::Error::other)?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            session.reader().read_exact(&mut plain[start..])?;
            if received.is_empty() {
                break !state.peer_has_closed();
            }
        };
        let wants_write = session.wants_write();
        drop(session);
        // Something for the server, such as the answer to new keys. Whoever is sending now, or next, will send it,
        // too.
        if wants_write && let Ok(_sending) = self.sending.try_lock() {
            self.send_encrypted(b"")?;
        }
        Ok(is_open)
    }

    fn send(&self, plain: &[u8]) -> io::Result<()> {
        let _sending = lock(&self.sending);
        self.send_encrypted(plain)
    }

    /// `sending` must be held.
    fn send_encrypted(&self, mut plain: &[u8]) -> io::Result<()> {
        let Some(session) = &self.session else {
            return (&self.upstream).write_all(plain);
        };
        let mut encrypted = Vec::with_capacity(plain.len() + 1024);
        loop {
            let mut session = lock(session);
            // As much as the session has room for.
            let taken = if plain.is_empty() {
                0
            } else {
                session.writer().write(plain)?
            };
            plain = &plain[taken..];
            while session.wants_write() {
                session.write_tls(&mut encrypted)?;
            }
            drop(session);
            (&self.upstream).write_all(&encrypted)?;
            encrypted.clear();
            if plain.is_empty() {
                return Ok(());
            }
        }
    }

    fn hang_up(&self) {
        if let Some(session) = &self.session
            && let Ok(_sending) = self.sending.try_lock()
        {
            lock(session).send_close_notify();
            let _ = self
                .upstream
                .set_write_timeout(Some(Duration::from_millis(100)));
            let _ = self.send_encrypted(b"");
        }
        let _ = self.upstream.shutdown(Shutdown::Both);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}

#[cfg(test)]
mod tests;
