//! What a server's words of an error mean: `-ERR` lines, and what the crate makes of them. Pure.

use super::auth;
use crate::error::{Error, Kind};
use crate::settings::address::Login;

/// What a line of `-ERR` means for a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerError {
    /// Publishing again would be refused again.
    Refusal(Error),
    /// The server may close the connection; a new one will do.
    Passing,
}

pub(super) fn parse_server_error(text: &str, login: &Login) -> ServerError {
    let lower = text.to_ascii_lowercase();
    let refused = |what: String| ServerError::Refusal(Error::new(Kind::Refused, what).cause(text));
    if lower.starts_with("permissions violation for publish") {
        let subject = quoted(text).unwrap_or("?");
        let what = format!("the NATS server does not let us publish to '{subject}'");
        ServerError::Refusal(Error::new(Kind::Refused, what).cause("permissions violation"))
    } else if lower.starts_with("permissions violation for subscription") {
        let subject = quoted(text).unwrap_or("?");
        let what = format!(
            "the NATS server does not let us subscribe to '{subject}', where its answers are awaited \
             (setting inbox_prefix)"
        );
        ServerError::Refusal(Error::new(Kind::Refused, what).cause("permissions violation"))
    } else if lower.starts_with("user authentication expired") {
        auth::explain_end(login).map_or(ServerError::Passing, ServerError::Refusal)
    } else if is_login_error(&lower) {
        ServerError::Refusal(auth::explain_refusal("the NATS server", login, text))
    } else if lower.starts_with("maximum payload") || lower.starts_with("maximum control line") {
        refused("the NATS server finds a message too large".to_owned())
    } else if lower.starts_with("parser error")
        || lower.starts_with("unknown protocol")
        || lower.starts_with("invalid publish subject")
    {
        let what = "the NATS server does not understand us";
        ServerError::Refusal(Error::new(Kind::Internal, what).cause(text))
    } else {
        ServerError::Passing
    }
}

/// What stands in quotation marks: a subject, in the server's words, or these words, in the crate's.
pub(super) fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

/// Wrong, revoked and expired logins, at connecting and later. `text` is in lower case.
pub(super) fn is_login_error(text: &str) -> bool {
    // "Authentication Timeout" is a slow server's, or ours: another try may do.
    text.contains("authorization violation")
        || (text.contains("authentication") && !text.contains("authentication timeout"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::testing::Random;

    #[track_caller]
    fn check(text: &str, expected: Option<(Kind, &str)>) {
        match (
            parse_server_error(text, &Login::Token(Secret::new(""))),
            expected,
        ) {
            (ServerError::Passing, None) => {}
            (ServerError::Refusal(error), Some((kind, rendered))) => {
                assert_eq!((error.kind(), &*error.to_string()), (kind, rendered));
            }
            (other, _) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_servers_words_are_told_apart() {
        check(
            "Permissions Violation for Publish to \"a.b\"",
            Some((
                Kind::Refused,
                "the NATS server does not let us publish to 'a.b': permissions violation",
            )),
        );
        check("User Authentication Expired", None);
        check(
            "User Authentication Revoked",
            Some((
                Kind::Refused,
                "the NATS server refuses the login by token (settings nats_token, nats_url, nats_context): \
                 User Authentication Revoked",
            )),
        );
        check(
            "Maximum Payload Violation",
            Some((
                Kind::Refused,
                "the NATS server finds a message too large: Maximum Payload Violation",
            )),
        );
        check(
            "Unknown Protocol Operation",
            Some((
                Kind::Internal,
                "the NATS server does not understand us: Unknown Protocol Operation",
            )),
        );
        check("Authentication Timeout", None);
        check("Stale Connection", None);
        check("maximum connections exceeded", None);
    }

    #[test]
    fn damaged_server_errors_never_panic() {
        let mut random = Random::new("server errors");
        for _ in 0..20_000 {
            let mut text = "Permissions Violation for Publish to \"a.b\"".to_owned();
            for _ in 0..=random.below(5) {
                text = random.mutate_text(&text);
            }
            let _ = parse_server_error(&text, &Login::None);
        }
    }
}
