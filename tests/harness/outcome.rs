//! What a run left behind, and every assertion on it. A failing one shows all of it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

pub struct Outcome {
    pub status: ExitStatus,
    pub took: Duration,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub peak_memory_kib: u64,
    pub(super) command: String,
    pub(super) config: Option<String>,
    pub(super) input: String,
    pub(super) logs: Vec<PathBuf>,
    pub(super) dir: PathBuf,
}

impl Outcome {
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        self.check(
            self.status.code() == Some(code),
            &format!("it exits {code}"),
        )
    }

    #[track_caller]
    pub fn dies_by(&self, signal: i32) -> &Self {
        self.check(
            self.status.signal() == Some(signal),
            &format!("it dies by signal {signal}"),
        )
    }

    /// Standard output is exactly this.
    #[track_caller]
    pub fn prints(&self, stdout: &str) -> &Self {
        self.check(
            self.stdout == stdout.as_bytes(),
            &format!("it prints {stdout:?} and nothing else"),
        )
    }

    /// The newest STATE, where those before it may or may not have been due on their own.
    #[track_caller]
    pub fn prints_last(&self, line: &str) -> &Self {
        let last = self.stdout_text().lines().last();
        self.check(
            last == Some(line),
            &format!("the last line that it prints is {line}"),
        )
    }

    #[track_caller]
    pub fn stdout_text(&self) -> &str {
        match std::str::from_utf8(&self.stdout) {
            Ok(text) => text,
            Err(_) => self.fail("standard output is UTF-8"),
        }
    }

    /// Standard error holds this text.
    #[track_caller]
    pub fn logs(&self, text: &str) -> &Self {
        self.check(
            self.stderr.contains(text),
            &format!("standard error holds {text:?}"),
        )
    }

    /// Exactly one line of standard error holds all of these texts.
    #[track_caller]
    pub fn logs_once(&self, parts: &[&str]) -> &Self {
        let holds = |line: &&str| parts.iter().all(|part| line.contains(part));
        let lines = self.stderr.lines().filter(holds).count();
        self.check(
            lines == 1,
            &format!("one line of standard error holds {parts:?}, not {lines}"),
        )
    }

    /// Standard error does not hold this text.
    #[track_caller]
    pub fn does_not_log(&self, text: &str) -> &Self {
        self.check(
            !self.stderr.contains(text),
            &format!("standard error does not hold {text:?}"),
        )
    }

    /// There is one error line, the last one, and it holds each of these texts.
    #[track_caller]
    pub fn error(&self, parts: &[&str]) -> &Self {
        let line = self.error_line();
        for part in parts {
            self.check(
                line.contains(part),
                &format!("the error line holds {part:?}"),
            );
        }
        self
    }

    /// The line `target-nats: error: …`, without its beginning.
    #[track_caller]
    pub fn error_line(&self) -> &str {
        let mark = "target-nats: error: ";
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with(mark))
            .count();
        self.check(errors == 1, "there is one error line");
        let last = self.stderr.lines().last().unwrap_or_default();
        match last.strip_prefix(mark) {
            Some(line) => line,
            None => self.fail("the error line is the last line of standard error"),
        }
    }

    /// No part of standard error says that something failed.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        self.exits(0)
            .does_not_log("target-nats: error:")
            .does_not_log("panicked")
    }

    #[track_caller]
    pub fn check(&self, holds: bool, what: &str) -> &Self {
        if !holds {
            self.fail(&format!("expected that {what}"));
        }
        self
    }

    /// Fails, and shows everything.
    #[track_caller]
    pub fn fail(&self, what: &str) -> ! {
        let logs: Vec<String> = self
            .logs
            .iter()
            .map(|log| tail(&fs::read_to_string(log).unwrap_or_default()))
            .collect();
        panic!(
            "{what}\n==== command, in {}\n{}\n==== configuration\n{}\n==== input\n{}\n==== ended after {:?} with {}\n\
             ==== stdout\n{}\n==== stderr\n{}\n==== server log\n{}\n====",
            self.dir.display(),
            self.command,
            self.config.as_deref().unwrap_or("none"),
            self.input,
            self.took,
            self.status,
            tail(&String::from_utf8_lossy(&self.stdout)),
            tail(&self.stderr),
            logs.join("\n----\n"),
        )
    }
}

/// The end of a long text.
fn tail(text: &str) -> String {
    const SHOWN: usize = 6000;
    let mut start = text.len().saturating_sub(SHOWN);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if start == 0 {
        text.to_owned()
    } else {
        format!("[{start} bytes left out] {}", &text[start..])
    }
}
