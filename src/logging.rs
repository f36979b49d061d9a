//! Log lines on standard error, in the SDK's two formats.
//!
//! Everything in the program logs through the `log` crate; this is where it comes out. It decides on
//! format and level, never on content.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread;

use env_logger::{Builder, Target};
use jiff::Zoned;
use log::{Level, LevelFilter};
use serde_json::{Value, json};

use crate::error::{Error, Kind};
use crate::settings::LogFormat;
use crate::stderr;

/// The logger of the program itself; a stream's is this, a dot and its name.
const PROGRAM_LOGGER: &str = "target-nats";

const METRICS_LOGGER: &str = "singer_sdk.metrics";

const METRIC_PREFIX: &str = "METRIC: ";

/// The level from `TARGET_NATS_LOGLEVEL`, else `LOGLEVEL`, else INFO, in Python's names or TRACE.
pub(crate) fn level_from_env(
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<LevelFilter, Error> {
    for variable in ["TARGET_NATS_LOGLEVEL", "LOGLEVEL"] {
        let Some(name) = environment(variable) else {
            continue;
        };
        let name = name.to_string_lossy();
        // Compose files set variables that have no value.
        if name.is_empty() {
            continue;
        }
        return parse_level(&name).ok_or_else(|| {
            let what = format!(
                "{variable} must be TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL, not '{name}'"
            );
            Error::new(Kind::Config, what)
        });
    }
    Ok(LevelFilter::Info)
}

fn parse_level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_uppercase().as_str() {
        "NOTSET" | "TRACE" => Some(LevelFilter::Trace),
        "DEBUG" => Some(LevelFilter::Debug),
        "INFO" => Some(LevelFilter::Info),
        "WARNING" | "WARN" => Some(LevelFilter::Warn),
        // An ERROR is at most one and ends the run: what Python calls critical.
        "ERROR" | "CRITICAL" | "FATAL" => Some(LevelFilter::Error),
        _ => None,
    }
}

/// Sends everything that is logged from now on to standard error. A second call changes nothing.
pub(crate) fn start(level: LevelFilter, format: LogFormat) {
    let client_level = match level {
        LevelFilter::Trace => LevelFilter::Trace,
        // Below WARN it tells what this program tells better.
        other => other.min(LevelFilter::Warn),
    };
    let _ = Builder::new()
        .filter_level(level)
        .filter_module("nats", client_level)
        // Below WARN it prints requests and answers, and with them passwords and tokens.
        .filter_module("ureq", level.min(LevelFilter::Warn))
        .format(move |formatter, record| {
            let line = Line {
                at: Zoned::now(),
                level: record.level(),
                logger: logger_name(record.target()),
                message: &record.args().to_string(),
            };
            formatter.write_all(line.render(format).as_bytes())
        })
        .target(Target::Pipe(Box::new(LineWriter)))
        .try_init();
}

/// The logger writes a record in one piece.
struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr::write_line(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs how many records of a stream were published since the last time.
pub(crate) fn record_count_metric(stream: &str, value: u64) {
    let metric = render_metric(stream, value, std::process::id());
    log::info!(target: METRICS_LOGGER, "{METRIC_PREFIX}{metric}");
}

fn render_metric(stream: &str, value: u64, pid: u32) -> String {
    json!({
        "type": "counter",
        "metric": "record_count",
        "value": value,
        "tags": {"stream": stream, "pid": pid},
    })
    .to_string()
}

/// Writes the one line with which a run fails, whatever the level. It is the last one: threads that are left behind
/// have nothing more to say.
pub(crate) fn print_error(error: &Error, format: LogFormat) {
    stderr::write_last_line(&render_error(error, format, Zoned::now()));
}

fn render_error(error: &Error, format: LogFormat, at: Zoned) -> String {
    let message = format!("{PROGRAM_LOGGER}: error: {error}");
    match format {
        LogFormat::Text => message,
        LogFormat::Json => Line {
            at,
            level: Level::Error,
            logger: PROGRAM_LOGGER,
            message: &message,
        }
        .render(format),
    }
}

/// The modules of this program are one logger; other crates keep their names.
fn logger_name(target: &str) -> &str {
    match target.strip_prefix("target_nats") {
        Some(rest) if rest.is_empty() || rest.starts_with("::") => PROGRAM_LOGGER,
        _ => target,
    }
}

struct Line<'a> {
    at: Zoned,
    level: Level,
    logger: &'a str,
    message: &'a str,
}

impl Line<'_> {
    fn render(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Text => self.render_text(),
            LogFormat::Json => self.render_json(),
        }
    }

    fn render_text(&self) -> String {
        let at = &self.at;
        let mut line = String::with_capacity(80 + self.message.len());
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03} | {:8} | {:30} | {}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond(),
            level_name(self.level),
            escape_controls(self.logger),
            escape_controls(self.message),
        );
        line
    }

    fn render_json(&self) -> String {
        let metric = self
            .message
            .strip_prefix(METRIC_PREFIX)
            .filter(|_| self.logger == METRICS_LOGGER)
            .and_then(|metric| serde_json::from_str::<Value>(metric).ok());
        let thread = thread::current();
        let mut line = json!({
            "level": level_name(self.level).to_ascii_lowercase(),
            "pid": std::process::id(),
            "logger_name": self.logger,
            "ts": self.at.timestamp().as_duration().as_secs_f64(),
            "thread_name": match thread.name() {
                Some("main") => "MainThread",
                other => other.unwrap_or_default(),
            },
            "app_name": "singer-sdk",
            "stream_name": null,
            "message": escape_controls(self.message),
        });
        if let Some(metric) = metric {
            line["message"] = "METRIC".into();
            line["metric_info"] = metric;
        }
        line["extra"] = json!({});
        line.to_string()
    }
}

/// Python's names.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

/// One message, one line; and a stream's name cannot move the cursor. The escapes are JSON's, since a
/// metric is JSON.
fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    fn at() -> Zoned {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        Timestamp::from_millisecond(1_763_962_805_042)
            .unwrap()
            .to_zoned(zone)
    }

    #[track_caller]
    fn check_text(level: Level, target: &str, message: &str, expected: &str) {
        let line = Line {
            at: at(),
            level,
            logger: logger_name(target),
            message,
        };
        assert_eq!(line.render(LogFormat::Text), expected);
    }

    #[track_caller]
    fn check_json(level: Level, target: &str, message: &str, expected: &str) {
        let line = Line {
            at: at(),
            level,
            logger: logger_name(target),
            message,
        };
        let thread = thread::current();
        let expected = expected
            .replace("PID", &std::process::id().to_string())
            .replace("THREAD", thread.name().unwrap());
        assert_eq!(line.render(LogFormat::Json), expected);
    }

    #[test]
    fn text_lines_are_the_sdks() {
        check_text(
            Level::Info,
            "target_nats::pipeline::worker",
            "done",
            "2025-11-24 07:40:05,042 | INFO     | target-nats                    | done",
        );
        check_text(
            Level::Warn,
            "target-nats.users",
            "a\nb\tc\u{1b}d\u{7f}é",
            "2025-11-24 07:40:05,042 | WARNING  | target-nats.users              | \
             a\\nb\\tc\\u001bd\\u007fé",
        );
        check_text(
            Level::Trace,
            "a_crate_with_a_name::longer::than_thirty",
            "",
            "2025-11-24 07:40:05,042 | TRACE    | a_crate_with_a_name::longer::than_thirty | ",
        );
        check_text(
            Level::Info,
            "target_nats_other",
            "x",
            "2025-11-24 07:40:05,042 | INFO     | target_nats_other              | x",
        );
    }

    #[test]
    fn json_lines_are_the_sdks() {
        check_json(
            Level::Warn,
            "target_nats",
            "say \"a\"\n",
            r#"{"level":"warning","pid":PID,"logger_name":"target-nats","ts":1763962805.042,"thread_name":"THREAD","app_name":"singer-sdk","stream_name":null,"message":"say \"a\"\\n","extra":{}}"#,
        );
        check_json(
            Level::Info,
            METRICS_LOGGER,
            &format!("METRIC: {}", render_metric("users", 50_000, 8746)),
            r#"{"level":"info","pid":PID,"logger_name":"singer_sdk.metrics","ts":1763962805.042,"thread_name":"THREAD","app_name":"singer-sdk","stream_name":null,"message":"METRIC","metric_info":{"type":"counter","metric":"record_count","value":50000,"tags":{"stream":"users","pid":8746}},"extra":{}}"#,
        );
        check_json(
            Level::Info,
            METRICS_LOGGER,
            "METRIC: {",
            r#"{"level":"info","pid":PID,"logger_name":"singer_sdk.metrics","ts":1763962805.042,"thread_name":"THREAD","app_name":"singer-sdk","stream_name":null,"message":"METRIC: {","extra":{}}"#,
        );
    }

    #[test]
    fn metrics_are_the_sdks() {
        assert_eq!(
            render_metric("users", 50_000, 8746),
            r#"{"type":"counter","metric":"record_count","value":50000,"tags":{"stream":"users","pid":8746}}"#
        );
    }

    #[test]
    fn the_final_error_is_one_line_in_either_format() {
        let error = Error::new(Kind::Input, "bad JSON").line(3);
        assert_eq!(
            render_error(&error, LogFormat::Text, at()),
            "target-nats: error: bad JSON (line 3)"
        );
        let json: Value =
            serde_json::from_str(&render_error(&error, LogFormat::Json, at())).unwrap();
        assert_eq!(json["level"], "error");
        assert_eq!(json["logger_name"], "target-nats");
        assert_eq!(json["message"], "target-nats: error: bad JSON (line 3)");
    }

    #[track_caller]
    fn check_level(set: &[(&str, &str)], expected: Result<LevelFilter, &str>) {
        let environment = |name: &str| {
            let found = set.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let level = level_from_env(&environment).map_err(|error| {
            assert_eq!(error.kind(), Kind::Config);
            error.to_string()
        });
        assert_eq!(level, expected.map_err(str::to_owned));
    }

    #[test]
    fn levels_have_pythons_names() {
        check_level(&[], Ok(LevelFilter::Info));
        check_level(&[("LOGLEVEL", "debug")], Ok(LevelFilter::Debug));
        check_level(
            &[("LOGLEVEL", "debug"), ("TARGET_NATS_LOGLEVEL", "Warn")],
            Ok(LevelFilter::Warn),
        );
        check_level(&[("LOGLEVEL", "WARNING")], Ok(LevelFilter::Warn));
        check_level(&[("LOGLEVEL", "fatal")], Ok(LevelFilter::Error));
        check_level(&[("LOGLEVEL", "Critical")], Ok(LevelFilter::Error));
        check_level(&[("LOGLEVEL", "notset")], Ok(LevelFilter::Trace));
        check_level(&[("LOGLEVEL", "trace")], Ok(LevelFilter::Trace));
        check_level(
            &[("LOGLEVEL", "BOGUS")],
            Err("LOGLEVEL must be TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'BOGUS'"),
        );
    }
}
