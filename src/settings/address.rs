//! A NATS server's address, as `nats_url` gives it: scheme, host, port and the login inside it.
//!
//! It resolves nothing and connects to nothing. The login is percent-decoded here, since the crate
//! does not do it (spec nats.md, 0.19), and never printed: an error repeats no part of the text, as
//! a mistyped address may hold its password anywhere.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The port of a NATS server when an address names none.
pub(crate) const DEFAULT_PORT: u16 = 4222;

/// How a client logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Login {
    #[default]
    None,
    User {
        name: String,
        password: Secret,
    },
    Token(Secret),
    /// A user's seed.
    Nkey(Secret),
    /// What a `.creds` file holds.
    Credentials {
        jwt: Secret,
        seed: Secret,
    },
}

/// One server of `nats_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// A name or an IP address; IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `tls://`: never without encryption.
    pub(crate) tls: bool,
    pub(crate) login: Login,
}

/// `host:port`, with brackets around IPv6 and without the login.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Schemes that are worth a name of their own in an error; any other one may be part of a login.
const KNOWN_SCHEMES: [&str; 5] = ["ws", "wss", "http", "https", "tcp"];

/// One URL or a comma list. A login given on one of them serves the others that have none.
pub(crate) fn parse_servers(text: &str) -> Result<Vec<ServerAddress>, Error> {
    if text.trim().is_empty() {
        return Err(Error::new(Kind::Config, "it names no server"));
    }
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut servers = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let server = parse_server(entry).map_err(|what| {
            let place = if entries.len() == 1 {
                String::new()
            } else {
                format!("server {}: ", index + 1)
            };
            Error::new(Kind::Config, place + &what)
        })?;
        servers.push(server);
    }
    let shared = servers
        .iter()
        .map(|server| &server.login)
        .find(|login| **login != Login::None)
        .cloned();
    if let Some(shared) = shared {
        for server in &mut servers {
            if server.login == Login::None {
                server.login = shared.clone();
            }
        }
    }
    Ok(servers)
}

fn parse_server(entry: &str) -> Result<ServerAddress, String> {
    if entry.is_empty() {
        return Err("an address is empty".to_owned());
    }
    let (tls, rest) = match entry.split_once("://") {
        Some((scheme, rest)) => (parse_scheme(scheme)?, rest),
        None => (false, entry),
    };
    // The last `@`: a password may hold a raw one, a host may not.
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (parse_login(login)?, rest),
        None => (Login::None, rest),
    };
    let (host, port) = parse_host_and_port(rest.strip_suffix('/').unwrap_or(rest))?;
    Ok(ServerAddress {
        host,
        port,
        tls,
        login,
    })
}

/// Whether it asks for TLS.
fn parse_scheme(scheme: &str) -> Result<bool, String> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "nats" => Ok(false),
        "tls" => Ok(true),
        known if KNOWN_SCHEMES.contains(&known) => Err(format!(
            "the scheme {known}:// is unknown, use nats:// or tls://"
        )),
        _ => Err("the scheme is unknown, use nats:// or tls://".to_owned()),
    }
}

fn parse_login(text: &str) -> Result<Login, String> {
    match text.split_once(':') {
        Some(("", _)) => Err("the login has no user name".to_owned()),
        Some((name, password)) => Ok(Login::User {
            name: decode_percent(name)?,
            password: Secret::new(decode_percent(password)?),
        }),
        None if text.is_empty() => Ok(Login::None),
        None => Ok(Login::Token(Secret::new(decode_percent(text)?))),
    }
}

/// A `%` that starts no escape stands for itself: the Python target decoded nothing, so its users
/// wrote such passwords as they are.
pub(super) fn decode_percent(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| Some(hex_digit(digits[0])? << 4 | hex_digit(digits[1])?));
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).map_err(|_| "the login is not UTF-8 when decoded".to_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn parse_host_and_port(text: &str) -> Result<(String, u16), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("what stands in brackets is no IPv6 address".to_owned());
        }
        let port = match rest.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if rest.is_empty() => DEFAULT_PORT,
            None => return Err("something stands behind the bracket".to_owned()),
        };
        return Ok((host.to_owned(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            return Err("an IPv6 address stands in brackets, as in [::1]:4222".to_owned());
        }
        Some((host, port)) => (host, parse_port(port)?),
        None => (text, DEFAULT_PORT),
    };
    if host.is_empty() {
        return Err("an address has no host".to_owned());
    }
    if host.contains(['/', '?', '#']) {
        return Err("an address has a path, which NATS does not know".to_owned());
    }
    let is_illegal = |c: char| c.is_whitespace() || c.is_control() || "[]\\%\"'<>".contains(c);
    if host.contains(is_illegal) {
        return Err("a host holds a character that no host has".to_owned());
    }
    Ok((host.to_owned(), port))
}

fn parse_port(text: &str) -> Result<u16, String> {
    // `parse` alone would take a sign.
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits_only && port != 0 => Ok(port),
        _ if text.contains('/') => {
            Err("an address has a path, which NATS does not know".to_owned())
        }
        _ => Err("a port is not a number from 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers as `host:port`, with `user:password@` or `token@` in front, and `tls://` before that.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let servers = parse_servers(text).unwrap();
        let rendered: Vec<String> = servers
            .iter()
            .map(|server| {
                let scheme = if server.tls { "tls://" } else { "" };
                let login = match &server.login {
                    Login::None => String::new(),
                    Login::User { name, password } => format!("{name}:{}@", password.expose()),
                    Login::Token(token) => format!("{}@", token.expose()),
                    other => panic!("{other:?}"),
                };
                format!("{scheme}{login}{server}")
            })
            .collect();
        assert_eq!(rendered, expected);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let error = parse_servers(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn addresses_in_all_their_forms() {
        check("nats://localhost:4222", &["localhost:4222"]);
        check("NATS://localhost", &["localhost:4222"]);
        check("nats://localhost:4222/", &["localhost:4222"]);
        check("localhost", &["localhost:4222"]);
        check("127.0.0.1:14222", &["127.0.0.1:14222"]);
        check("nats_1.my-net:1", &["nats_1.my-net:1"]);
        check("nats://[::1]", &["[::1]:4222"]);
        check("[fe80::1]:65535", &["[fe80::1]:65535"]);
        check(" a , nats://b:1,c ", &["a:4222", "b:1", "c:4222"]);
        check("tls://h", &["tls://h:4222"]);
        check("TLS://[::1]:1,t@b", &["tls://t@[::1]:1", "t@b:4222"]);
    }

    #[test]
    fn logins_are_decoded_and_shared() {
        check("nats://me:pw@h", &["me:pw@h:4222"]);
        check("me:pw@h:1", &["me:pw@h:1"]);
        check("nats://t0k@h", &["t0k@h:4222"]);
        check("nats://m%65:p%40ss%3a%2C@h", &["me:p@ss:,@h:4222"]);
        check("nats://me:p@ss@h", &["me:p@ss@h:4222"]);
        check("nats://me:p/s:s@h", &["me:p/s:s@h:4222"]);
        check("nats://me:100%@h", &["me:100%@h:4222"]);
        check("nats://me:%zz%4@h", &["me:%zz%4@h:4222"]);
        check("nats://me:@h", &["me:@h:4222"]);
        check("nats://@h", &["h:4222"]);
        check(
            "a,me:pw@b,c",
            &["me:pw@a:4222", "me:pw@b:4222", "me:pw@c:4222"],
        );
        check("x@a,b,y@c", &["x@a:4222", "x@b:4222", "y@c:4222"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        check_refused("", "it names no server");
        check_refused("  ", "it names no server");
        check_refused("a,,b", "server 2: an address is empty");
        check_refused(
            "ws://h",
            "the scheme ws:// is unknown, use nats:// or tls://",
        );
        check_refused(
            "https://h",
            "the scheme https:// is unknown, use nats:// or tls://",
        );
        check_refused(
            "hunter2://h",
            "the scheme is unknown, use nats:// or tls://",
        );
        check_refused("nats://", "an address has no host");
        check_refused("nats://me:pw@", "an address has no host");
        check_refused("nats://:pw@h", "the login has no user name");
        check_refused(
            "nats://h/path",
            "an address has a path, which NATS does not know",
        );
        check_refused(
            "nats://h:1/path",
            "an address has a path, which NATS does not know",
        );
        check_refused(
            "nats://h?x=1",
            "an address has a path, which NATS does not know",
        );
        check_refused("h:0", "a port is not a number from 1 to 65535");
        check_refused("h:", "a port is not a number from 1 to 65535");
        check_refused("h:+1", "a port is not a number from 1 to 65535");
        check_refused("h:65536", "a port is not a number from 1 to 65535");
        check_refused(
            "::1",
            "an IPv6 address stands in brackets, as in [::1]:4222",
        );
        check_refused("[::1", "a bracket is not closed");
        check_refused("[h]", "what stands in brackets is no IPv6 address");
        check_refused("[::1]x", "something stands behind the bracket");
        check_refused("a b", "a host holds a character that no host has");
        check_refused("a\nb", "a host holds a character that no host has");
        check_refused("u:%ff@h", "the login is not UTF-8 when decoded");
    }

    #[test]
    fn no_error_and_no_rendering_repeats_a_login() {
        let forms = [
            "nats://me:MARK@",
            "nats://MARK@h:0",
            "nats://me:MARK/h",
            "nats://me:MARK",
            "MARK://h",
            "tls://me:MARK@h:x",
            "me:MARK://h",
            "[MARK",
            "me:MARK:h",
            "me:MARK@h,me:MARK@[x]",
        ];
        for form in forms {
            let error = parse_servers(form).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("MARK"),
                "{form}: {error}"
            );
        }
        let servers = parse_servers("me:MARK@h,MARK@h").unwrap();
        assert!(!format!("{servers:?}").contains("MARK"), "{servers:?}");
    }

    #[test]
    fn random_text_never_panics() {
        const PIECES: [&str; 24] = [
            "nats://",
            "tls://",
            "ws://",
            ":",
            "@",
            "/",
            "[",
            "]",
            "::1",
            ",",
            " ",
            "%",
            "%4",
            "%40",
            "%ff",
            "é",
            "a",
            "h.example",
            "4222",
            "65536",
            "-1",
            "?",
            "\u{0}",
            "://",
        ];
        let mut seed = 0x5eed_u64;
        eprintln!("seed {seed:#x}");
        for _ in 0..20_000 {
            let mut text = String::new();
            seed = next(seed);
            for _ in 0..(seed >> 33) % 9 {
                seed = next(seed);
                text += PIECES[usize::try_from(seed >> 33).unwrap() % PIECES.len()];
            }
            if let Ok(servers) = parse_servers(&text) {
                assert!(
                    servers.iter().all(|server| !server.host.is_empty()),
                    "{text:?}"
                );
            }
        }
    }

    fn next(seed: u64) -> u64 {
        seed.wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407)
    }
}
