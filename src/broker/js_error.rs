//! [`ApiError`]: an error of JetStream's, and what is to be done about it. Pure.

use std::fmt;

use serde_json::Value;

use crate::error::Kind;

/// The stream does not exist.
pub(super) const NO_STREAM: u64 = 10059;
/// JetStream is not enabled, for the account or at the server.
const NO_JETSTREAM: [u64; 2] = [10039, 10076];

/// An error as JetStream sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    /// The class, as in HTTP.
    pub(super) code: u64,
    pub(super) err_code: u64,
    pub(super) description: String,
}

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It will pass.
    Retry,
    /// It will pass if less comes, or when somebody makes room.
    SlowDown,
    /// The message will never be taken.
    BadRecord,
    /// The batch is not known (any more).
    NoBatch,
    /// Fast ingest is not to be had.
    NoBatches,
    /// Nothing will be taken until somebody mends it.
    Fail(Kind),
}

/// The code of every refusal by a store, and what it says of a message that no file store takes, whatever its limits
/// (32 MiB with its headers).
const STORE_FAILED: u64 = 10077;
const TOO_LARGE: &str = "message too large";

/// The errors that a publisher may meet (spec nats.md, 1c), and those of making a stream whose class says that they
/// pass and that do not.
const VERDICTS: &[(u64, &str, Verdict)] = &[
    (10002, "account resources exceeded", REFUSED),
    // For CREATE, when the servers of a cluster have just found each other.
    (10005, "no suitable peers", Verdict::Retry),
    (10008, "cluster not available", Verdict::Retry),
    (10009, "not the leader", Verdict::Retry),
    (10023, "insufficient resources", Verdict::SlowDown),
    (10028, "memory exceeded", REFUSED),
    (10039, "JetStream not enabled for the account", REFUSED),
    (10047, "storage exceeded", REFUSED),
    (10052, "bad configuration of a stream", REFUSED),
    (10053, "limits of the account exceeded", REFUSED),
    (
        10054,
        "message too large for the stream",
        Verdict::BadRecord,
    ),
    (10059, "no such stream", REFUSED),
    (10060, "another stream than the expected one", REFUSED),
    (10063, "sequence mismatch in the cluster", Verdict::Retry),
    (
        10070,
        "another last message id than the expected one",
        REFUSED,
    ),
    (
        10071,
        "another last sequence than the expected one",
        REFUSED,
    ),
    (10074, "no replicas without a cluster", REFUSED),
    (10076, "JetStream not enabled", REFUSED),
    (
        STORE_FAILED,
        "stream full, or its store fails",
        Verdict::SlowDown,
    ),
    (10097, "headers too large", Verdict::BadRecord),
    (10109, "sealed", REFUSED),
    (10111, "no rollups", REFUSED),
    (10118, "stream offline", REFUSED),
    (10158, "the same message id is under way", Verdict::Retry),
    (10163, "sequence check not ready", Verdict::Retry),
    (
        10164,
        "another last sequence than the expected one",
        REFUSED,
    ),
    (10165, "bad time to live", Verdict::BadRecord),
    (10166, "no time to live", REFUSED),
    (10167, "too many requests", Verdict::SlowDown),
    (10194, "stream offline", REFUSED),
    (10205, "no fast ingest", Verdict::NoBatches),
    (10206, "bad reply subject of a batch", Verdict::NoBatches),
    (10207, "bad batch id", Verdict::NoBatches),
    (10208, "unknown batch", Verdict::NoBatch),
    (10211, "too many batches", Verdict::NoBatches),
];

const REFUSED: Verdict = Verdict::Fail(Kind::Refused);

/// The error in an answer of JetStream's.
pub(super) fn api_error(json: &Value) -> Option<ApiError> {
    let error = json.get("error")?;
    let number = |key: &str| error[key].as_u64().unwrap_or_default();
    Some(ApiError {
        code: number("code"),
        err_code: number("err_code"),
        description: error["description"].as_str().unwrap_or_default().to_owned(),
    })
}

impl ApiError {
    /// What is to be done. A code that is not known is judged by its class: a server of a later version may say
    /// so that it is busy; what it calls our fault will not pass.
    pub(super) fn verdict(&self) -> Verdict {
        if self.err_code == STORE_FAILED && self.description == TOO_LARGE {
            return Verdict::BadRecord;
        }
        let known = VERDICTS.iter().find(|known| known.0 == self.err_code);
        match (known, self.code) {
            (Some((_, _, verdict)), _) => *verdict,
            (None, 429) => Verdict::SlowDown,
            (None, 500..) => Verdict::Retry,
            (None, _) => REFUSED,
        }
    }

    /// Whether JetStream itself is missing.
    pub(super) fn is_no_jetstream(&self) -> bool {
        NO_JETSTREAM.contains(&self.err_code)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.description, self.code, self.err_code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(code: u64, err_code: u64, expected: Verdict) {
        let json = json!({"error": {"code": code, "err_code": err_code, "description": "d"}});
        let error = api_error(&json).unwrap();
        assert_eq!(error.to_string(), format!("d ({code}, {err_code})"));
        assert_eq!(error.verdict(), expected);
    }

    #[test]
    fn known_errors_have_their_verdict_and_others_that_of_their_class() {
        assert!(VERDICTS.is_sorted_by_key(|known| known.0));
        check(503, 10077, Verdict::SlowDown);
        check(400, 10054, Verdict::BadRecord);
        check(400, 10060, REFUSED);
        check(400, 10208, Verdict::NoBatch);
        check(500, 10052, REFUSED);
        check(500, 10074, REFUSED);
        check(429, 99_999, Verdict::SlowDown);
        check(503, 99_999, Verdict::Retry);
        check(400, 99_999, REFUSED);
        check(0, 0, REFUSED);
        assert_eq!(api_error(&json!({"stream": "S", "seq": 1})), None);
    }

    #[test]
    fn a_store_that_is_full_may_take_a_message_later_but_never_one_that_is_too_large() {
        for (description, expected) in [
            ("maximum messages exceeded", Verdict::SlowDown),
            ("maximum bytes exceeded", Verdict::SlowDown),
            ("maximum messages per subject exceeded", Verdict::SlowDown),
            ("message too large", Verdict::BadRecord),
        ] {
            let json = json!({"error": {"code": 503, "err_code": 10077, "description": description},
                "stream": "S", "seq": 0});
            assert_eq!(
                api_error(&json).unwrap().verdict(),
                expected,
                "{description}"
            );
        }
    }
}
