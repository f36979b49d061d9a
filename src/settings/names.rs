//! Legal names of what NATS keeps: streams, buckets, domains, and the starts of subjects.
//!
//! The server checks some of them late and with other words, or not at all. An error completes a sentence
//! that begins with the setting's name.

const MAX_NAME_BYTES: usize = 255;
/// A subject that begins so must leave room for the rest.
const MAX_PREFIX_BYTES: usize = 1024;

/// A JetStream stream: it is one token of a subject, and a folder.
pub(super) fn parse_js_stream(text: &str) -> Result<String, String> {
    let is_legal = |c: char| c.is_ascii_graphic() && !".*>/\\".contains(c);
    checked(
        text,
        MAX_NAME_BYTES,
        text.chars().all(is_legal),
        || "must be of printable ASCII without dot, blank, *, >, / and \\",
    )
}

pub(super) fn parse_bucket(text: &str) -> Result<String, String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    // The stream behind it is named KV_ and the bucket.
    let longest = MAX_NAME_BYTES - "KV_".len();
    checked(
        text,
        longest,
        text.chars().all(is_legal),
        || "must be of A-Z, a-z, 0-9, - and _",
    )
}

/// One token of a subject.
pub(super) fn parse_domain(text: &str) -> Result<String, String> {
    let is_legal = |c: char| c.is_ascii_graphic() && !".*>".contains(c);
    checked(
        text,
        MAX_NAME_BYTES,
        text.chars().all(is_legal),
        || "must be of printable ASCII without dot, blank, * and >",
    )
}

/// The start of subjects, returned without a dot, or a dot and `>`, at its end.
pub(super) fn parse_prefix(text: &str) -> Result<String, String> {
    let prefix = text.strip_suffix(".>").unwrap_or(text);
    let prefix = prefix.strip_suffix('.').unwrap_or(prefix);
    let is_token = |token: &str| {
        let is_legal = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
        !token.is_empty() && token.chars().all(is_legal)
    };
    checked(
        prefix,
        MAX_PREFIX_BYTES,
        prefix.split('.').all(is_token),
        || "must be a subject: tokens with dots between them, without blanks and wildcards",
    )
}

fn checked(
    text: &str,
    longest: usize,
    is_legal: bool,
    what: impl Fn() -> &'static str,
) -> Result<String, String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if text.len() > longest {
        Err(format!("must not be longer than {longest} bytes"))
    } else if is_legal {
        Ok(text.to_owned())
    } else {
        Err(what().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parse = fn(&str) -> Result<String, String>;

    #[track_caller]
    fn check(parse: Parse, text: &str, expected: &str) {
        assert_eq!(parse(text).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_refused(parse: Parse, text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap_err(), expected);
    }

    #[test]
    fn names_of_streams() {
        let what = "must be of printable ASCII without dot, blank, *, >, / and \\";
        check(parse_js_stream, "RAW-1_$x", "RAW-1_$x");
        for text in ["a.b", "a b", "*", ">", "a/b", "a\\b", "é", "a\u{0}", "a\n"] {
            check_refused(parse_js_stream, text, what);
        }
        check_refused(parse_js_stream, "", "must not be empty");
        let longest = "x".repeat(255);
        check(parse_js_stream, &longest, &longest);
        check_refused(
            parse_js_stream,
            &"x".repeat(256),
            "must not be longer than 255 bytes",
        );
    }

    #[test]
    fn names_of_buckets_and_domains() {
        check(parse_bucket, "a-B_9", "a-B_9");
        check_refused(parse_bucket, "a.b", "must be of A-Z, a-z, 0-9, - and _");
        check_refused(parse_bucket, "$", "must be of A-Z, a-z, 0-9, - and _");
        check_refused(parse_bucket, "", "must not be empty");
        check(parse_domain, "hub", "hub");
        check_refused(
            parse_domain,
            "a.b",
            "must be of printable ASCII without dot, blank, * and >",
        );
    }

    #[test]
    fn starts_of_subjects() {
        let what = "must be a subject: tokens with dots between them, without blanks and wildcards";
        check(parse_prefix, "_INBOX", "_INBOX");
        check(parse_prefix, "_I.me.", "_I.me");
        check(parse_prefix, "$JS.hub.API.>", "$JS.hub.API");
        for text in ["a..b", ".a", "a b", "a.*", ">", "a>", "a.>.", "a\tb"] {
            check_refused(parse_prefix, text, what);
        }
        check_refused(parse_prefix, "", "must not be empty");
        check_refused(parse_prefix, ".", "must not be empty");
    }
}
