//! A NATS server's address, as `nats_url` gives it: scheme, host, port and the login inside it.
//!
//! It resolves nothing and connects to nothing. The login is percent-decoded here, since the crate
//! does not do it (spec nats.md, 0.19), and never printed.

use std::fmt;

use crate::secret::Secret;

/// The port of a NATS server when an address names none.
pub(crate) const DEFAULT_PORT: u16 = 4222;

/// How a client logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    User { name: String, password: Secret },
    Token(Secret),
}

/// One server of `nats_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// A name or an IP address; IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
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
