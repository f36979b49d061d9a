//! An [`Answer`]: what JetStream says to a message, parsed from the payload of its reply. Pure.
//!
//! Acknowledgements and fast ingest's flow control are JSON of a few forms (spec nats.md, 1c). Whatever else
//! arrives was not said by JetStream.

use serde_json::Value;

use super::js_error::{ApiError, api_error};

/// What JetStream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A message is stored, or with `count` so many of a batch, which is over.
    Stored {
        js_stream: String,
        is_duplicate: bool,
        count: Option<u64>,
    },
    /// Everything of the batch up to `sequence` is stored; the next one of these comes `messages` later.
    Flow { sequence: u64, messages: u64 },
    /// A message of the batch is missing: the batch ends before it.
    Gap,
    /// One message of the batch is refused, and the batch ends before it.
    RefusedOfBatch { sequence: u64, error: ApiError },
    /// The message is refused.
    Refused(ApiError),
}

/// Parses the payload of a reply. `None` for what JetStream does not say.
pub(super) fn parse_answer(payload: &[u8]) -> Option<Answer> {
    let json: Value = serde_json::from_slice(payload).ok()?;
    let number = |key: &str| json[key].as_u64();
    match json["type"].as_str() {
        Some("ack") => Some(Answer::Flow {
            sequence: number("seq")?,
            messages: number("msgs")?,
        }),
        Some("gap") => Some(Answer::Gap),
        Some("err") => Some(Answer::RefusedOfBatch {
            sequence: number("seq")?,
            error: api_error(&json)?,
        }),
        Some(_) => None,
        None => {
            if let Some(error) = api_error(&json) {
                return Some(Answer::Refused(error));
            }
            number("seq")?;
            Some(Answer::Stored {
                js_stream: json["stream"].as_str()?.to_owned(),
                is_duplicate: json["duplicate"].as_bool().unwrap_or_default(),
                count: number("count"),
            })
        }
    }
}

/// Recognises acknowledgements that differ from one before in the sequence alone, which is nearly all of them:
/// they are not parsed, since there is one for each message.
#[derive(Debug, Default)]
pub(super) struct Alike(Vec<u8>);

impl Alike {
    /// Learns the form of an acknowledgement that was parsed and says only that a message is stored.
    pub(super) fn learn(&mut self, payload: &[u8]) {
        let digits = payload.len().saturating_sub(1);
        let start = payload[..digits]
            .iter()
            .rposition(|byte| !byte.is_ascii_digit())
            .map_or(0, |last| last + 1);
        self.0 = match (payload.last(), payload[..start].ends_with(b"\"seq\":")) {
            (Some(b'}'), true) if start < digits => payload[..start].to_vec(),
            _ => Vec::new(),
        };
    }

    /// Whether this payload says the same of another sequence.
    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        let Some((b'}', rest)) = payload.split_last() else {
            return false;
        };
        let digits = rest.strip_prefix(&*self.0).filter(|_| !self.0.is_empty());
        digits.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn stored(js_stream: &str, is_duplicate: bool, count: Option<u64>) -> Answer {
        Answer::Stored {
            js_stream: js_stream.to_owned(),
            is_duplicate,
            count,
        }
    }

    #[track_caller]
    fn check(payload: &str, expected: impl Into<Option<Answer>>) {
        let expected = expected.into();
        assert_eq!(parse_answer(payload.as_bytes()), expected, "{payload}");
    }

    #[test]
    fn every_form_of_an_answer_is_told() {
        check(r#"{"stream":"S","seq":7}"#, stored("S", false, None));
        check(
            r#"{"stream":"S","domain":"hub","seq":7,"duplicate": true}"#,
            stored("S", true, None),
        );
        check(
            r#"{"stream":"S","seq":9,"batch":"b","count":3}"#,
            stored("S", false, Some(3)),
        );
        check(
            r#"{"type":"ack","seq":500,"msgs":250}"#,
            Some(Answer::Flow {
                sequence: 500,
                messages: 250,
            }),
        );
        check(r#"{"type":"gap","last_seq":3,"seq":5}"#, Some(Answer::Gap));
        let error = || ApiError {
            code: 503,
            err_code: 10077,
            description: "maximum messages exceeded".to_owned(),
        };
        let text = r#"{"code":503,"err_code":10077,"description":"maximum messages exceeded"}"#;
        check(
            &format!(r#"{{"error":{text},"stream":"S","seq":0}}"#),
            Some(Answer::Refused(error())),
        );
        check(
            &format!(r#"{{"type":"err","seq":2,"error":{text}}}"#),
            Some(Answer::RefusedOfBatch {
                sequence: 2,
                error: error(),
            }),
        );
        for other in [
            "",
            "+OK",
            "{}",
            "[]",
            r#"{"stream":"S"}"#,
            r#"{"seq":1}"#,
            r#"{"type":"x"}"#,
        ] {
            check(other, None);
        }
    }

    #[test]
    fn acknowledgements_that_differ_in_their_sequence_are_recognised_without_parsing() {
        let mut alike = Alike::default();
        assert!(!alike.matches(br#"{"stream":"S","seq":7}"#));
        alike.learn(br#"{"stream":"S","seq":7}"#);
        assert!(alike.matches(br#"{"stream":"S","seq":81234}"#));
        for other in [
            r#"{"stream":"S","seq":}"#,
            r#"{"stream":"S","seq":7,"duplicate": true}"#,
            r#"{"stream":"T","seq":7}"#,
            r#"{"stream":"S","seq":-7}"#,
            r#"{"stream":"S","seq":7"#,
            "",
        ] {
            assert!(!alike.matches(other.as_bytes()), "{other}");
        }
        alike.learn(br#"{"stream":"S","seq":7,"domain":"5"}"#);
        assert!(!alike.matches(br#"{"stream":"S","seq":7}"#));
    }

    #[test]
    fn damaged_answers_never_panic() {
        let mut random = Random::new("answers");
        let mut alike = Alike::default();
        for _ in 0..20_000 {
            let mut text = r#"{"stream":"S","seq":7,"batch":"b","count":3}"#.to_owned();
            for _ in 0..=random.below(5) {
                text = random.mutate_text(&text);
            }
            alike.learn(text.as_bytes());
            alike.matches(text.as_bytes());
            let _ = parse_answer(text.as_bytes());
        }
    }
}
