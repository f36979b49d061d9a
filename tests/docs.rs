//! What can be read: generated sections of the README, the layers of the source, and the rules for its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Target, project};
use crate::registry_evolution;

/// The rooms in layers, lowest first, as design.md has them. A file uses lower layers and its own room.
const LAYERS: &[&[&str]] = &[
    // Words.
    &["error", "secret", "nearest", "testing"],
    // Settings.
    &["settings", "cli"],
    // Pure.
    &[
        "certificates",
        "singer",
        "transform",
        "encode",
        "route",
        "checkpoint",
        "replay",
    ],
    // Edges.
    &[
        "input",
        "broker",
        "registry",
        "state_out",
        "stderr",
        "logging",
        "progress",
    ],
    // Flow.
    &["pipeline"],
    // Program.
    &["target", "app", "main", "lib"],
];

/// Uses within one layer that are part of the design: room, and what it may use.
const NEIGHBOURS: &[(&str, &str)] = &[
    // A record's fields are found by the scanner that read it.
    ("route", "singer"),
    ("encode", "singer"),
    // Log lines and the progress line share the terminal.
    ("logging", "stderr"),
    ("progress", "stderr"),
    // The command line is a setting's other door.
    ("settings", "cli"),
    // The executable is the library's first user.
    ("app", "target"),
];

/// Files that may be longer than the rest, each with its reason.
const LONG: &[&str] = &[];

const MOST_LINES: usize = 500;

/// Packages that are, or bring, an executor of async code.
const EXECUTORS: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-process",
    "futures-executor",
    "actix-rt",
    "glommio",
    "monoio",
    "embassy-executor",
    "pollster",
];

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![project().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn every_rust_file() -> Vec<PathBuf> {
    let files = ["src", "tests", "benches"].map(rust_files).concat();
    assert!(files.len() > 20, "the source was not found: {files:?}");
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(project()).unwrap().display().to_string()
}

/// The room of a file in `src`: the name of its folder, or its own.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(project().join("src")).unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a text names behind `crate::`, also in braces: `use crate::{error::Error, route};`
fn used_rooms(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    for (at, mark) in code.match_indices("crate::") {
        let rest = &code[at + mark.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0, String::new());
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            rooms.push(name);
        } else {
            rooms.push(rest.to_owned());
        }
    }
    rooms
        .iter()
        .map(|path| {
            path.trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|room| room.starts_with(char::is_lowercase))
        .collect()
}

#[test]
fn a_file_uses_only_lower_layers_and_its_own_room() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let own = room(&path);
        let own_layer = layer(&own)
            .unwrap_or_else(|| panic!("{} is in no layer of tests/docs.rs", shown(&path)));
        for used in used_rooms(&fs::read_to_string(&path).unwrap()) {
            let Some(used_layer) = layer(&used) else {
                wrong.push(format!(
                    "{} uses {used}, which is in no layer",
                    shown(&path)
                ));
                continue;
            };
            let neighbour = NEIGHBOURS.contains(&(own.as_str(), used.as_str()));
            if used != own && used_layer >= own_layer && !neighbour {
                wrong.push(format!(
                    "{} of layer {own_layer} uses {used} of layer {used_layer}",
                    shown(&path)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rooms_that_a_text_uses_are_found() {
    let text = "use crate::error::Error;\nuse crate::{route::Route, a::{b, c}, d};\n// crate::comment\nlet x = crate::cli::parse;\nuse crate::Target;";
    assert_eq!(used_rooms(text), ["error", "route", "a", "d", "cli"]);
}

#[test]
fn the_modules_stand_in_the_order_of_their_layers() {
    let text = fs::read_to_string(project().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let line = line
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ");
            line.strip_prefix("mod ")?.strip_suffix(';')
        })
        .collect();
    assert!(modules.len() > 5, "{modules:?}");
    let layers: Vec<Option<usize>> = modules
        .iter()
        .filter(|module| **module != "testing")
        .map(|module| layer(module))
        .collect();
    assert!(
        layers.is_sorted(),
        "the modules of lib.rs stand in the order {modules:?}"
    );
}

#[test]
fn only_one_file_names_each_client_library() {
    for (library, home) in [
        ("nats", "src/broker/client.rs"),
        ("ureq", "src/registry/http.rs"),
    ] {
        for path in rust_files("src") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(&format!("use {library}::"))
                    || code.contains(&format!(" {library}::"))
                    || code.contains(&format!("({library}::"))
            });
            assert!(
                !names || shown(&path) == home,
                "{} names the {library} crate; only {home} may",
                shown(&path)
            );
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for path in every_rust_file() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} does not open with //!",
            shown(&path)
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for path in every_rust_file() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let allowed = LONG.contains(&shown(&path).as_str());
        assert!(
            lines <= MOST_LINES || allowed,
            "{} has {lines} lines",
            shown(&path)
        );
        assert!(
            lines > MOST_LINES || !allowed,
            "{} needs no exception any more",
            shown(&path)
        );
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for path in rust_files("src") {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["util", "utils", "common", "helpers", "types", "misc"].contains(&stem),
            "{}",
            shown(&path)
        );
    }
}

#[test]
fn no_executor_of_async_code_is_in_the_lock_file() {
    let lock = fs::read_to_string(project().join("Cargo.lock")).unwrap();
    let packages: Vec<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    assert!(
        packages.contains(&"nats"),
        "the lock file was not understood"
    );
    for executor in EXECUTORS {
        assert!(!packages.contains(executor), "{executor} is in Cargo.lock");
    }
}

#[test]
fn the_top_level_holds_nothing_else() {
    // What is on the disk beside these is git's to ignore.
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "tests",
        "benches",
        "scripts",
        "README.md",
        "LICENSE",
    ];
    let ignored = ["target"];
    for entry in fs::read_dir(project()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let fine = name.starts_with('.')
            || known.contains(&name.as_str())
            || ignored.contains(&name.as_str());
        assert!(fine, "{name} has no place at the top level");
    }
}

/// What stands under a heading of Markdown, up to the next one of its level, the sentence behind the table left out.
fn section<'a>(markdown: &'a str, heading: &str) -> &'a str {
    let (_, rest) = markdown
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    let end = rest.find("\n## ").unwrap_or(rest.len());
    let rest = &rest[..end];
    rest.split("A full list of supported settings")
        .next()
        .unwrap()
        .trim()
}

#[test]
fn the_generated_sections_of_the_readme_are_up_to_date() {
    let about = Target::new().args(["--about", "--format=markdown"]).run();
    let settings = section(about.exits(0).stdout_text(), "## Settings").to_owned();
    assert!(
        settings.contains("| nats_url"),
        "there is no table of settings: {settings}"
    );
    let help = Target::new().args(["--help"]).run();
    let help = format!("```text\n{}\n```", help.exits(0).stdout_text().trim_end());
    let evolution = registry_evolution::markdown();
    let sections = BTreeMap::from([
        ("settings", settings),
        ("help", help),
        ("evolution", evolution),
    ]);

    let path = project().join("README.md");
    let before = fs::read_to_string(&path).expect("there is a README.md");
    let mut after = before.clone();
    for (name, text) in sections {
        let (begin, end) = (
            format!("<!-- {name}:begin -->"),
            format!("<!-- {name}:end -->"),
        );
        let (head, rest) = after
            .split_once(&begin)
            .unwrap_or_else(|| panic!("README.md has no {begin}"));
        let (_, tail) = rest
            .split_once(&end)
            .unwrap_or_else(|| panic!("README.md has no {end}"));
        after = format!("{head}{begin}\n{text}\n{end}{tail}");
    }
    if before == after {
        return;
    }
    if std::env::var_os("CI").is_none() {
        fs::write(&path, after).unwrap();
    }
    panic!("README.md was stale; outside CI this test has rewritten it: look at it and commit it");
}
