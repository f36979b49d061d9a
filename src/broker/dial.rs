//! From an address to a way to the server: connect, read its INFO, shake hands where TLS is wanted.
//!
//! The crate has no time-out for a port that accepts and stays silent, so it is let in only where a server was
//! seen (spec nats.md, 0.3). Every step here has the deadline of the attempt.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ProtocolVersion};

use super::info::{Info, MAX_CRATE_LINE_BYTES, MAX_LINE_BYTES, parse_info};
use super::relay::Upstream;
use super::tls::{TlsPolicy, describe_failure, inner_failure};
use crate::error::{Error, Kind};

/// The first byte of what a server says that awaits TLS and was spoken to otherwise, or hung up on.
const TLS_ALERT: u8 = 0x15;

/// A server that has greeted us.
pub(super) struct Dialled {
    pub(super) info: Info,
    /// The connection that the crate is to be let into; without one it connects itself, in plaintext.
    pub(super) upstream: Option<Upstream>,
    /// The version of TLS, where it is spoken.
    pub(super) tls: Option<&'static str>,
}

/// Connects to an address of a server. `host` is the name that its certificate must have, unless the settings
/// name another; `wants_tls` says that its address was given with `tls://`. `timeout` bounds everything.
///
/// Fails with `Unavailable` where no server answers, with `Refused` where one does that cannot be used.
pub(super) fn dial(
    address: SocketAddr,
    host: &str,
    wants_tls: bool,
    policy: &TlsPolicy,
    timeout: Duration,
) -> Result<Dialled, Error> {
    let deadline = Instant::now() + timeout;
    let socket = TcpStream::connect_timeout(&address, timeout);
    let socket = socket
        .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
        .map_err(|error| describe(address, "no connection to", &error))?;
    let mut wire = Wire {
        socket,
        session: None,
        deadline,
    };
    let no_tls = |error: &io::Error| describe(address, "no TLS with", error);
    if policy.is_first {
        wire.start_tls(policy.session(host)?)
            .map_err(|error| no_tls(&error))?;
    }
    let line = wire
        .read_line()
        .map_err(|error| describe(address, "no NATS greeting from", &error))?;
    let info = parse_info(&line).map_err(|what| {
        let what = if line.first() == Some(&TLS_ALERT) {
            "it speaks TLS from the start (setting tls_first)"
        } else {
            what
        };
        let place = format!("{address} is no NATS server that can be used");
        Error::new(Kind::Refused, place).cause(what)
    })?;
    let is_wanted = wants_tls || policy.is_asked_for || info.tls_required();
    if wire.session.is_none() && is_wanted {
        if !info.tls_required() && !info.tls_available() {
            let what =
                format!("the NATS server {address} offers no TLS, and the settings ask for it");
            return Err(Error::new(Kind::Refused, what));
        }
        wire.start_tls(policy.session(host)?)
            .map_err(|error| no_tls(&error))?;
    }
    let version = wire
        .session
        .as_ref()
        .map(|session| session.protocol_version());
    let tls = version.map(|version| match version {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    });
    let upstream = if wire.session.is_none() && line.len() <= MAX_CRATE_LINE_BYTES {
        None
    } else {
        let upstream = wire.into_upstream(address);
        Some(upstream.map_err(|error| describe(address, "no connection to", &error))?)
    };
    Ok(Dialled {
        info,
        upstream,
        tls,
    })
}

fn describe(address: SocketAddr, what: &str, error: &io::Error) -> Error {
    match inner_failure(error) {
        Some(failure) => describe_failure(&address.to_string(), failure),
        None => Error::new(Kind::Unavailable, format!("{what} {address}")).cause(error),
    }
}

/// A connection that is being made.
struct Wire {
    socket: TcpStream,
    session: Option<ClientConnection>,
    deadline: Instant,
}

impl Wire {
    fn start_tls(&mut self, mut session: ClientConnection) -> io::Result<()> {
        while session.is_handshaking() {
            self.set_timeouts()?;
            session.complete_io(&mut self.socket)?;
        }
        self.session = Some(session);
        Ok(())
    }

    /// Reads up to the end of the line, or until it is certain that it is no INFO.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        const BEGIN: &[u8] = b"INFO ";
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') && line.len() < MAX_LINE_BYTES {
            self.set_timeouts()?;
            let mut byte = [0];
            // One by one: what follows belongs to the crate, or to TLS.
            let count = match &mut self.session {
                Some(session) => rustls::Stream::new(session, &mut self.socket).read(&mut byte)?,
                None => self.socket.read(&mut byte)?,
            };
            if count == 0 {
                return Err(io::Error::other("the connection was closed"));
            }
            line.push(byte[0]);
            if line.len() == BEGIN.len() && line != BEGIN {
                break;
            }
        }
        Ok(line)
    }

    fn set_timeouts(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        self.socket.set_write_timeout(Some(left))
    }

    fn into_upstream(self, address: SocketAddr) -> io::Result<Upstream> {
        self.socket.set_read_timeout(None)?;
        self.socket.set_write_timeout(None)?;
        Ok(Upstream {
            socket: self.socket,
            session: self.session,
            server: address.to_string(),
        })
    }
}
