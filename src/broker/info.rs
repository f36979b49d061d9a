//! INFO: what a server says of itself. Pure: `dial.rs` reads it.
//!
//! The crate does TLS by itself where INFO asks for it, connects to the servers that it names, and fails on a line
//! of more than 4096 bytes (spec nats.md, 0.1, 0.18). So the relay gives it INFO in other words.

use serde_json::{Map, Value};

/// What the crate reads of one protocol line.
pub(super) const MAX_CRATE_LINE_BYTES: usize = 4096;
/// What is read of a server's line: the INFO of a cluster of thousands of servers fits.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) version: String,
    pub(crate) cluster: Option<String>,
    pub(crate) headers: bool,
    pub(crate) jetstream: bool,
    /// Servers of the cluster, as `host:port`.
    pub(super) connect_urls: Vec<String>,
    /// Everything, for the crate.
    all: Map<String, Value>,
}

impl Info {
    /// The server's name, which is its id where it was given none.
    pub(super) fn name(&self) -> &str {
        let name = self.all.get("server_name").and_then(Value::as_str);
        name.unwrap_or("without a name")
    }

    /// Whether it is of this version or a later one.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self
            .version
            .split('.')
            .map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next()) >= (major, minor)
    }

    pub(super) fn tls_required(&self) -> bool {
        flag(&self.all, "tls_required")
    }

    pub(super) fn tls_available(&self) -> bool {
        flag(&self.all, "tls_available")
    }

    /// The line for a client that shall neither use TLS nor know of other servers.
    pub(super) fn render_plain(&self) -> Vec<u8> {
        render_plain(self.all.clone())
    }
}

/// Parses the line. Fails with what is wrong.
pub(super) fn parse_info(line: &[u8]) -> Result<Info, &'static str> {
    let json = line
        .strip_prefix(b"INFO ")
        .ok_or("it does not begin with INFO")?;
    let all: Map<String, Value> =
        serde_json::from_slice(json).map_err(|_| "its INFO line is not JSON")?;
    let text = |key: &str| all.get(key).and_then(Value::as_str).map(str::to_owned);
    let urls = all.get("connect_urls").and_then(Value::as_array);
    Ok(Info {
        version: text("version").ok_or("its INFO line has no version")?,
        cluster: text("cluster"),
        headers: flag(&all, "headers"),
        jetstream: flag(&all, "jetstream"),
        connect_urls: (urls.into_iter().flatten())
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        all,
    })
}

fn flag(all: &Map<String, Value>, key: &str) -> bool {
    all.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn render_plain(mut all: Map<String, Value>) -> Vec<u8> {
    // What can be long, and is not for the crate.
    for key in [
        "connect_urls",
        "ws_connect_urls",
        "server_name",
        "cluster",
        "domain",
    ] {
        all.remove(key);
    }
    for key in ["tls_required", "tls_available", "tls_verify"] {
        all.insert(key.to_owned(), false.into());
    }
    format!("INFO {}\r\n", Value::Object(all)).into_bytes()
}

/// Finds the INFO lines in what a server sends, and gives them in other words.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Bytes of a payload that are still to come.
    payload: usize,
}

impl Lines {
    /// Appends what the client is to get. Fails where a line does not end.
    pub(super) fn rewrite(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        while !input.is_empty() {
            if self.payload > 0 {
                let (payload, rest) = input.split_at(self.payload.min(input.len()));
                output.extend_from_slice(payload);
                self.payload -= payload.len();
                input = rest;
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', input) else {
                self.line.extend_from_slice(input);
                if self.line.len() > MAX_LINE_BYTES {
                    return Err("a line of the server's does not end");
                }
                return Ok(());
            };
            let (line, rest) = input.split_at(end + 1);
            input = rest;
            if self.line.is_empty() {
                self.payload = rewrite_line(line, output);
            } else {
                self.line.extend_from_slice(line);
                self.payload = rewrite_line(&self.line, output);
                self.line.clear();
            }
        }
        Ok(())
    }
}

/// Appends a line, and returns how many bytes of payload follow it, their line end included.
fn rewrite_line(line: &[u8], output: &mut Vec<u8>) -> usize {
    if let Some(json) = line.strip_prefix(b"INFO ")
        && let Ok(all) = serde_json::from_slice(json)
    {
        output.extend_from_slice(&render_plain(all));
        return 0;
    }
    output.extend_from_slice(line);
    if !line.starts_with(b"MSG ") && !line.starts_with(b"HMSG ") {
        return 0;
    }
    let size = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next();
    let size = size.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    size.map_or(0, |size| size.saturating_add(b"\r\n".len()))
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
        assert!(info.headers && !info.tls_required());
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
    }

    #[test]
    fn only_info_lines_are_given_in_other_words_however_the_bytes_come() {
        let info = concat!(
            r#"INFO {"version":"2","connect_urls":["a:1"],"tls_required":true,"ldm":true}"#,
            "\r\n"
        );
        let plain = concat!(
            r#"INFO {"version":"2","ldm":true,"tls_required":false,"tls_available":false,"tls_verify":false}"#,
            "\r\n"
        );
        let rest = "PING\r\nMSG a 1 6\r\nINFO {\r\nHMSG b 1 _I.x 2 14\r\n\r\nMSG a 1 99\r\n\r\n-ERR 'x'\r\n+OK\r\n";
        let input = format!("{info}{rest}{info}PONG\r\n");
        let expected = format!("{plain}{rest}{plain}PONG\r\n");
        let mut random = Random::new("server lines");
        for _ in 0..2_000 {
            let mut lines = Lines::default();
            let mut output = Vec::new();
            let mut left = input.as_bytes();
            while !left.is_empty() {
                let (piece, rest) = left.split_at(1 + random.below(left.len().min(40)));
                lines.rewrite(piece, &mut output).unwrap();
                left = rest;
            }
            assert_eq!(String::from_utf8(output).unwrap(), expected);
        }
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
            let _ = Lines::default().rewrite(line.as_bytes(), &mut Vec::new());
        }
    }

    #[test]
    fn a_line_that_does_not_end_and_a_payload_of_any_length_take_no_memory() {
        let mut lines = Lines::default();
        let mut output = Vec::new();
        let mut piece = || lines.rewrite(&[b'x'; 4096], &mut output);
        assert!((0..MAX_LINE_BYTES / 4096).all(|_| piece().is_ok()));
        assert!(piece().is_err());
        let mut lines = Lines::default();
        lines
            .rewrite(b"MSG a 1 18446744073709551615\r\nx", &mut output)
            .unwrap();
        assert!(lines.line.is_empty() && lines.payload > 1 << 60);
    }
}
