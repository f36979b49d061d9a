//! Schemas and records made from a seed, and what they must be as Avro: `tests/readers/avro_cases.py`, which knows
//! nothing of the program and compares by fastavro.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::readers::{hex, python, script};

/// One set of cases: always the same for the same numbers.
pub struct AvroCases {
    numbers: [String; 3],
}

/// What was made of one stream: the text of its Avro schema, and its payloads in order, their frames taken off.
pub struct AvroAnswer {
    /// As the tap names it.
    pub stream: String,
    pub schema: String,
    pub payloads: Vec<Vec<u8>>,
}

impl AvroCases {
    pub fn new(seed: u64, streams: usize, records: usize) -> Self {
        let numbers = [seed.to_string(), streams.to_string(), records.to_string()];
        Self { numbers }
    }

    /// SCHEMA and RECORD lines for the program. A tenth of the records does not fit.
    #[track_caller]
    pub fn input(&self) -> Vec<u8> {
        self.run("make", String::new())
    }

    /// Fails unless these answers hold every record that fits, read as what it was, and no other. Says how many
    /// these were.
    #[track_caller]
    pub fn check(&self, answers: &[AvroAnswer]) -> usize {
        let lines = answers.iter().map(|answer| {
            let payloads = answer.payloads.iter().map(|payload| hex(payload));
            let payloads: Value = payloads.collect();
            json!({"stream": answer.stream, "schema": answer.schema, "payloads": payloads})
        });
        let output = self.run("check", lines.map(|line| format!("{line}\n")).collect());
        let text = String::from_utf8_lossy(&output);
        // `checked 8964 records, 1036 bad ones were refused`
        let count = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        count.unwrap_or_else(|| panic!("{text}"))
    }

    #[track_caller]
    fn run(&self, command: &str, input: String) -> Vec<u8> {
        let mut child = Command::new(python())
            .arg(script("avro_cases.py"))
            .arg(command)
            .args(&self.numbers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        let mut stdin = child.stdin.take().unwrap();
        // It may end without reading all of it; its status will tell.
        let writing = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        assert!(
            output.status.success(),
            "avro_cases.py {command} {:?}: {}",
            self.numbers,
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}
