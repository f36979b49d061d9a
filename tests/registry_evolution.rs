//! What the levels of COMPATIBILITY make of each change that a tap's schema may undergo: one table, which the real
//! registries are held against and which stands in the README.

use std::fmt::Write as _;

use crate::harness::{NatsServer, Outcome, Registry, Target, Version, schema_as};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// The columns of the table. A level that is transitive says the same where there is one version before.
const LEVELS: [&str; 3] = ["BACKWARD", "FORWARD", "FULL"];

const NONE: [bool; 3] = [false; 3];
const BACKWARD: [bool; 3] = [true, false, false];
const FORWARD: [bool; 3] = [false, true, false];
const ALL: [bool; 3] = [true; 3];

/// A change, and whether it is taken under each of the levels.
struct Evolution {
    /// As the README has it.
    change: &'static str,
    /// What stands in `properties`, and what behind it.
    before: (&'static str, &'static str),
    after: (&'static str, &'static str),
    /// As JSON Schema that allows other fields, and that does not; and as Avro.
    open: [bool; 3],
    closed: [bool; 3],
    avro: [bool; 3],
}

impl Evolution {
    fn before(&self, is_closed: bool) -> String {
        schema(self.before, is_closed)
    }

    fn after(&self, is_closed: bool) -> String {
        schema(self.after, is_closed)
    }
}

fn schema((properties, more): (&str, &str), is_closed: bool) -> String {
    let closing = if is_closed {
        r#","additionalProperties":false"#
    } else {
        ""
    };
    format!(r#"{{"type":"object","properties":{{{properties}}}{more}{closing}}}"#)
}

const fn change(
    change: &'static str,
    before: &'static str,
    after: &'static str,
    [open, closed, avro]: [[bool; 3]; 3],
) -> Evolution {
    Evolution {
        change,
        before: (before, ""),
        after: (after, ""),
        open,
        closed,
        avro,
    }
}

const ID: &str = r#""id":{"type":["integer"]}"#;
const BOTH: &str = r#""id":{"type":["integer"]},"name":{"type":["string","null"]}"#;
const NULLABLE: &str = r#""id":{"type":["integer","null"]}"#;
const TEXT: &str = r#""id":{"type":["string","null"]}"#;

/// In the shapes that taps of the SDK give their schemas: arrays of types, and nothing required.
const TABLE: &[Evolution] = &[
    change("a column is added", ID, BOTH, [FORWARD, BACKWARD, ALL]),
    change("a column is dropped", BOTH, ID, [BACKWARD, FORWARD, ALL]),
    change(
        "`integer` becomes `number`",
        ID,
        r#""id":{"type":["number"]}"#,
        [BACKWARD; 3],
    ),
    change(
        "`integer` becomes `string`",
        ID,
        r#""id":{"type":["string"]}"#,
        [NONE; 3],
    ),
    // A field that is not required is nullable in Avro as it is.
    change("null is allowed", ID, NULLABLE, [BACKWARD, BACKWARD, ALL]),
    change(
        "null is no longer allowed",
        NULLABLE,
        ID,
        [FORWARD, FORWARD, ALL],
    ),
    Evolution {
        change: "a column becomes required",
        before: (ID, ""),
        after: (ID, r#","required":["id"]"#),
        open: FORWARD,
        closed: FORWARD,
        avro: FORWARD,
    },
    change(
        "`maxLength` is added",
        TEXT,
        r#""id":{"type":["string","null"],"maxLength":5}"#,
        [FORWARD, FORWARD, ALL],
    ),
    // Avro's type is another then.
    change(
        "`format: date-time` is added",
        TEXT,
        r#""id":{"type":["string","null"],"format":"date-time"}"#,
        [FORWARD, FORWARD, NONE],
    ),
    // Without a `$schema` a registry reads a draft that has no such format.
    change(
        "`format: date` is added",
        TEXT,
        r#""id":{"type":["string","null"],"format":"date"}"#,
        [ALL, ALL, NONE],
    ),
    change(
        "the types of a column are turned round",
        NULLABLE,
        r#""id":{"type":["null","integer"]}"#,
        [ALL; 3],
    ),
    change(
        "`title` or `description` is added",
        ID,
        r#""id":{"type":["integer"],"title":"t","description":"d"}"#,
        [ALL; 3],
    ),
];

/// The table as the README has it.
pub fn markdown() -> String {
    let mut text = "| change |".to_owned();
    for level in LEVELS {
        let _ = write!(text, " {level} open / closed / Avro |");
    }
    text += "\n|---|---|---|---|";
    for row in TABLE {
        let _ = write!(text, "\n| {} |", row.change);
        for column in 0..LEVELS.len() {
            let cell = [row.open, row.closed, row.avro]
                .map(|allowed| if allowed[column] { "yes" } else { "**no**" });
            let _ = write!(text, " {} |", cell.join(" / "));
        }
    }
    text
}

#[track_caller]
fn run(
    (server, registry, group): (&NatsServer, &Registry, &str),
    settings: &[(&str, &str)],
    input: String,
) -> Outcome {
    let mut target = Target::new().server(server).registry(registry, group);
    for (key, value) in settings {
        target = target.setting(key, *value);
    }
    target.input(input).run()
}

#[test]
fn json_schemas_evolve_as_the_table_says() {
    let levels = [
        ("NONE", None),
        ("BACKWARD", Some(0)),
        ("BACKWARD_TRANSITIVE", Some(0)),
        ("FORWARD", Some(1)),
        ("FORWARD_TRANSITIVE", Some(1)),
        ("FULL", Some(2)),
        ("FULL_TRANSITIVE", Some(2)),
    ];
    let stream = |row: usize, is_closed: bool| format!("s{row}_{is_closed}");
    let cases: Vec<(usize, bool)> = (0..TABLE.len())
        .flat_map(|row| [(row, false), (row, true)])
        .collect();
    let input = |schema: &dyn Fn(&Evolution, bool) -> String| -> String {
        let cases = cases.iter();
        cases
            .map(|(row, closed)| schema_as(&stream(*row, *closed), &schema(&TABLE[*row], *closed)))
            .collect()
    };
    let server = NatsServer::start();
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for (level, column) in levels {
            let group = format!("evolution json {level}");
            registry.create_group(&group);
            registry.set_group_rule(&group, "COMPATIBILITY", level);
            run((&server, registry, &group), &[], input(&Evolution::before)).succeeds();
            let warn = [("schema_on_error", "warn")];
            let outcome = run((&server, registry, &group), &warn, input(&Evolution::after));
            outcome.succeeds();
            let mut wrong = Vec::new();
            for (row, is_closed) in &cases {
                let evolution = &TABLE[*row];
                let allowed = if *is_closed {
                    evolution.closed
                } else {
                    evolution.open
                };
                let allowed = column.is_none_or(|column: usize| allowed[column]);
                let name = stream(*row, *is_closed);
                let versions = registry.versions(&group, &name).len();
                let warned = outcome
                    .stderr
                    .contains(&format!("stream '{name}' is published without ids"));
                if (versions == 2) != allowed || warned == allowed {
                    wrong.push((evolution.change, is_closed));
                }
            }
            let what = format!("under {level} the table is right, which it is not in {wrong:#?}");
            outcome.check(wrong.is_empty(), &what);
        }
    }
}

/// A refusal ends the run, so each change has runs of its own.
#[test]
fn avro_schemas_evolve_as_the_table_says() {
    let avro = [("payload_format", "avro")];
    let server = NatsServer::start();
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for (column, level) in LEVELS.iter().enumerate() {
            let group = format!("evolution avro {level}");
            registry.create_group(&group);
            registry.set_group_rule(&group, "COMPATIBILITY", level);
            let before = (0..TABLE.len())
                .map(|row| schema_as(&format!("s{row}"), &TABLE[row].before(false)));
            run((&server, registry, &group), &avro, before.collect()).succeeds();
            for (row, evolution) in TABLE.iter().enumerate() {
                let stream = format!("s{row}");
                let after = schema_as(&stream, &evolution.after(false));
                let outcome = run((&server, registry, &group), &avro, after);
                let what = format!("under {level}: {}", evolution.change);
                let code = outcome.status.code();
                outcome.check(code == Some(i32::from(!evolution.avro[column])), &what);
                if code == Some(1) {
                    outcome.error(&[&stream, "by a rule"]);
                }
                assert_eq!(registry.versions(&group, &stream)[0].artifact_type, "AVRO");
            }
        }
    }
}
