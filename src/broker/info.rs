//! What a server says of itself before anybody logs in: its INFO line, read on a socket of our own.
//!
//! The crate has no time-out for a port that accepts and stays silent, does TLS by itself where INFO asks for
//! it, and fails on an INFO line of more than 4096 bytes (spec nats.md 0.1, 0.3, 0.18). So it is looked at
//! first, with deadlines, and the crate is let in only where it will do.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Kind};

/// What the crate reads of one protocol line.
const MAX_INFO_BYTES: usize = 4096;

/// The part of INFO that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) version: String,
    pub(crate) cluster: Option<String>,
    pub(crate) headers: bool,
    pub(crate) jetstream: bool,
    tls_required: bool,
}

/// Connects, reads the INFO line and hangs up. `timeout` bounds the connecting and each wait for bytes.
///
/// Fails with `Unavailable` where no server answers, with `Refused` where one does that cannot be used.
pub(crate) fn load_info(address: SocketAddr, timeout: Duration) -> Result<Info, Error> {
    let unavailable = |what: &str, cause: &dyn std::fmt::Display| {
        Error::new(Kind::Unavailable, format!("{what} {address}")).cause(cause)
    };
    let stream = TcpStream::connect_timeout(&address, timeout)
        .map_err(|error| unavailable("no connection to", &error))?;
    stream
        .set_read_timeout(Some(timeout))
        .map_err(|error| unavailable("no connection to", &error))?;
    let mut line = Vec::new();
    BufReader::new(stream)
        .take(MAX_INFO_BYTES as u64 + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| unavailable("no NATS greeting from", &error))?;
    if line.is_empty() {
        return Err(unavailable(
            "no NATS greeting from",
            &"the connection was closed",
        ));
    }
    let info = parse_info(&line).map_err(|what| {
        Error::new(
            Kind::Refused,
            format!("{address} is no NATS server that can be used"),
        )
        .cause(what)
    })?;
    if info.tls_required {
        return Err(Error::new(
            Kind::Refused,
            format!("the server {address} requires TLS, which this version does not speak"),
        ));
    }
    Ok(info)
}

fn parse_info(line: &[u8]) -> Result<Info, &'static str> {
    if line.len() > MAX_INFO_BYTES {
        return Err("its INFO line is longer than 4096 bytes");
    }
    let json = line
        .strip_prefix(b"INFO ")
        .ok_or("it does not begin with INFO")?;
    let info: Value = serde_json::from_slice(json).map_err(|_| "its INFO line is not JSON")?;
    let text = |key: &str| info[key].as_str().map(str::to_owned);
    let flag = |key: &str| info[key].as_bool().unwrap_or_default();
    Ok(Info {
        version: text("version").ok_or("its INFO line has no version")?,
        cluster: text("cluster"),
        headers: flag("headers"),
        jetstream: flag("jetstream"),
        tls_required: flag("tls_required"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const GREETING: &str =
        "INFO {\"server_id\":\"X\",\"version\":\"2.15.1\",\"headers\":true,\"cluster\":\"c\"} \r\n";

    #[test]
    fn a_greeting_is_read_and_anything_else_is_told() {
        let info = parse_info(GREETING.as_bytes()).unwrap();
        assert_eq!(
            (&*info.version, info.cluster.as_deref()),
            ("2.15.1", Some("c"))
        );
        assert!(info.headers && !info.tls_required);
        for (line, what) in [
            (
                "HTTP/1.1 400 Bad Request\r\n",
                "it does not begin with INFO",
            ),
            ("INFO {}", "its INFO line has no version"),
            ("INFO {", "its INFO line is not JSON"),
        ] {
            assert_eq!(parse_info(line.as_bytes()), Err(what));
        }
        let long = format!("INFO {{\"version\":\"{}\"}}\r\n", "x".repeat(5000));
        assert_eq!(
            parse_info(long.as_bytes()),
            Err("its INFO line is longer than 4096 bytes")
        );
    }

    #[test]
    fn damaged_greetings_never_panic() {
        let mut random = Random::new("server greetings");
        for _ in 0..20_000 {
            let mut line = GREETING.to_owned();
            for _ in 0..=random.below(5) {
                line = random.mutate_text(&line);
            }
            let _ = parse_info(line.as_bytes());
        }
    }
}
