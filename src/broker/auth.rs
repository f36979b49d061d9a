//! Logging in: keys that sign the server's nonce, the time at which a user JWT expires, and words for a refusal.
//!
//! It talks to no server. The server alone judges a login; only that a JWT has expired is known here before,
//! since the server then says no more than that the login is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use nkeys::KeyPair;
use serde_json::Value;

use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::settings::address::Login;

/// The key of a user, who proves with it who it is.
pub(super) struct UserKey(KeyPair);

impl UserKey {
    /// Fails with `Config` where the seed is none.
    pub(super) fn new(seed: &Secret) -> Result<Self, Error> {
        KeyPair::from_seed(seed.expose())
            .map(Self)
            .map_err(|_| Error::new(Kind::Config, "the seed of the login is not valid"))
    }

    /// As the server knows the user; it begins with `U`.
    pub(super) fn public_key(&self) -> String {
        self.0.public_key()
    }

    /// The signature of the server's nonce.
    pub(super) fn sign(&self, nonce: &[u8]) -> Vec<u8> {
        self.0.sign(nonce).expect("a seed has the key that signs")
    }
}

/// Fails with `Refused` where the login's JWT has expired.
pub(super) fn check_expiry(login: &Login) -> Result<(), Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    match expiry(login) {
        Some(expiry) if expiry <= now => Err(expired(expiry)),
        _ => Ok(()),
    }
}

/// What kind of login it is.
pub(super) fn describe_login(login: &Login) -> &'static str {
    match login {
        Login::None => "none",
        Login::User { .. } => "user and password",
        Login::Token(_) => "token",
        Login::Nkey(_) => "nkey",
        Login::Credentials { .. } => "credentials",
    }
}

/// Why the server ended a connection whose login has run out, where another connection would fare no better.
///
/// None where the time was not the login's own but the server's, or an auth callout's: it is granted anew to who
/// connects again. The JWT's own time is told even if our clock says that it is still to come.
pub(super) fn explain_end(login: &Login) -> Option<Error> {
    expiry(login).map(expired)
}

/// Why the server at `place` refused the login: its own words, and the settings to look at.
pub(super) fn explain_refusal(place: &str, login: &Login, words: &str) -> Error {
    if let Err(error) = check_expiry(login) {
        return error;
    }
    let which = match login {
        Login::None => {
            "without a login (settings nats_user and nats_password, nats_token, nats_nkey_seed, nats_credentials, nats_context)"
        }
        Login::User { .. } => {
            "by user and password (settings nats_user and nats_password, nats_url, nats_context)"
        }
        Login::Token(_) => "by token (settings nats_token, nats_url, nats_context)",
        Login::Nkey(_) => "by nkey (settings nats_nkey_seed, nats_context)",
        Login::Credentials { .. } => "by credentials (settings nats_credentials, nats_context)",
    };
    let what = match login {
        Login::None => format!("{place} refuses us {which}"),
        _ => format!("{place} refuses the login {which}"),
    };
    Error::new(Kind::Refused, what).cause(words)
}

fn expired(expiry: u64) -> Error {
    let time = i64::try_from(expiry)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "long ago".to_owned(), |time| format!("on {time}"));
    let what = format!("the credentials (user JWT) expired {time}");
    Error::new(Kind::Refused, what).cause("setting nats_credentials needs a new .creds file")
}

fn expiry(login: &Login) -> Option<u64> {
    match login {
        Login::Credentials { jwt, .. } => jwt_expiry(jwt.expose()),
        _ => None,
    }
}

/// When the JWT expires, in Unix seconds. None where it does not, or cannot be read.
pub(super) fn jwt_expiry(jwt: &str) -> Option<u64> {
    let claims: Value = serde_json::from_slice(&parse_base64_url(jwt.split('.').nth(1)?)?).ok()?;
    claims["exp"].as_u64().filter(|seconds| *seconds > 0)
}

/// Base64 for URLs, with its padding or without.
fn parse_base64_url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_base64(text: &str, expected: Option<&[u8]>) {
        assert_eq!(parse_base64_url(text).as_deref(), expected);
    }

    #[test]
    fn base64_for_urls_is_read() {
        check_base64("", Some(b""));
        check_base64("YQ", Some(b"a"));
        check_base64("YQ==", Some(b"a"));
        check_base64("YWI", Some(b"ab"));
        check_base64("YWJjZA", Some(b"abcd"));
        check_base64("-_8", Some(b"\xfb\xff"));
        check_base64("+/8", None);
        check_base64("Y Q", None);
    }

    #[track_caller]
    fn check_expiry_of(jwt: &str, expected: Option<u64>) {
        assert_eq!(jwt_expiry(jwt), expected);
    }

    #[test]
    fn the_expiry_of_a_jwt_is_found() {
        // {"exp":1767225600}, {"exp":0}, {}, [
        check_expiry_of("x.eyJleHAiOjE3NjcyMjU2MDB9.y", Some(1_767_225_600));
        check_expiry_of("x.eyJleHAiOjB9.y", None);
        check_expiry_of("x.e30.y", None);
        check_expiry_of("x.Ww.y", None);
        check_expiry_of("x", None);
        check_expiry_of("", None);
    }

    #[test]
    fn a_login_without_a_time_of_its_own_may_be_granted_again() {
        let credentials = |jwt| Login::Credentials {
            jwt: Secret::new(jwt),
            seed: Secret::new("s"),
        };
        assert_eq!(explain_end(&Login::Token(Secret::new("t"))), None);
        assert_eq!(explain_end(&credentials("x.e30.y")), None);
        // {"exp":4102444800}: the server's clock counts.
        assert_eq!(
            explain_end(&credentials("x.eyJleHAiOjQxMDI0NDQ4MDB9.y")).map(|error| error.to_string()),
            Some(
                "the credentials (user JWT) expired on 2100-01-01T00:00:00Z: setting nats_credentials \
                 needs a new .creds file"
                    .to_owned()
            )
        );
    }

    #[test]
    fn expired_credentials_name_the_time() {
        let login = Login::Credentials {
            jwt: Secret::new("x.eyJleHAiOjE3NjcyMjU2MDB9.y"),
            seed: Secret::new("s"),
        };
        let error = explain_refusal("the NATS server", &login, "Authorization Violation");
        assert_eq!(
            error.to_string(),
            "the credentials (user JWT) expired on 2026-01-01T00:00:00Z: setting nats_credentials \
             needs a new .creds file"
        );
        assert_eq!(error.kind(), Kind::Refused);
    }
}
