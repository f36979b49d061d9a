//! The `.env` file: variables for a run that reads its settings from the environment.
//!
//! It only parses. The process environment is never changed, since other threads may read it, and a
//! line's text is never reported, since it may hold a secret.

use std::collections::HashMap;

/// What a `.env` file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dotenv {
    /// A name that is given twice has the last value.
    pub(super) variables: HashMap<String, String>,
    /// Lines, counted from 1, that make no sense and are left out.
    pub(super) skipped_lines: Vec<usize>,
}

/// As python-dotenv reads it: `export `, quotes, comments, `${NAME}` and `${NAME:-default}`; a quoted
/// value may go on over several lines. Unlike there, nothing is filled in between single quotes, as in
/// a shell, and `environment` wins over the file where both know a name.
pub(super) fn parse_dotenv(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Dotenv {
    let mut dotenv = Dotenv::default();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let before = rest;
        if let Some((assignment, after)) = parse_statement(rest) {
            rest = after;
            if let Some((name, value)) = assignment {
                let value = value.fill(&|name| {
                    environment(name).or_else(|| dotenv.variables.get(name).cloned())
                });
                dotenv.variables.insert(name, value);
            }
        } else {
            dotenv.skipped_lines.push(line);
            rest = cut_line(rest).1;
        }
        let read = &before[..before.len() - rest.len()];
        line += read.matches('\n').count();
    }
    dotenv
}

/// The assignment that a statement makes, if it makes one, and the text behind it.
type Statement<'a> = (Option<(String, RawValue)>, &'a str);

struct RawValue {
    text: String,
    may_refer: bool,
}

/// One line, or more where a quote goes on; nothing if it makes no sense. The rest begins behind its line end.
fn parse_statement(text: &str) -> Option<Statement<'_>> {
    let (line, after) = cut_line(text);
    let line = line.trim_start();
    if line.trim_end().is_empty() || line.starts_with('#') {
        return Some((None, after));
    }
    let start = &text[text.len() - text.trim_start_matches([' ', '\t']).len()..];
    let start = start
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map_or(start, |rest| rest.trim_start_matches([' ', '\t']));
    let name_end = start
        .find(|c: char| c == '=' || c == '#' || c.is_whitespace())
        .unwrap_or(start.len());
    let (name, rest) = start.split_at(name_end);
    let name = name
        .strip_prefix('\'')
        .and_then(|name| name.strip_suffix('\''))
        .unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    let Some(rest) = rest.strip_prefix('=') else {
        // A name alone: declared and without a value.
        let (line, after) = cut_line(rest);
        let is_alone = line.trim().is_empty() || line.trim_start().starts_with('#');
        return if is_alone { Some((None, after)) } else { None };
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let (value, after) = match quote {
        Some(quote) => parse_quoted(&rest[1..], quote)?,
        None => parse_bare(rest),
    };
    Some((Some((name.to_owned(), value)), after))
}

fn parse_quoted(text: &str, quote: char) -> Option<(RawValue, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let (line, after) = cut_line(&text[at + 1..]);
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                return None;
            }
            let may_refer = quote == '"';
            return Some((
                RawValue {
                    text: value,
                    may_refer,
                },
                after,
            ));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let Some((_, escaped)) = chars.next() else {
            break;
        };
        match (quote, escaped) {
            (_, '\\') => value.push('\\'),
            (_, c) if c == quote => value.push(c),
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            (_, other) => value.extend(['\\', other]),
        }
    }
    None
}

/// Up to the line's end, or to a `#` with a blank before it.
fn parse_bare(text: &str) -> (RawValue, &str) {
    let (line, after) = cut_line(text);
    let mut end = line.len();
    for (at, _) in line.match_indices('#') {
        if line[..at].ends_with([' ', '\t']) || at == 0 {
            end = at;
            break;
        }
    }
    let text = line[..end].trim_end().to_owned();
    (
        RawValue {
            text,
            may_refer: true,
        },
        after,
    )
}

fn cut_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

impl RawValue {
    /// With `${NAME}` filled in; what is filled in is not looked through again.
    fn fill(self, lookup: &dyn Fn(&str) -> Option<String>) -> String {
        if !self.may_refer {
            return self.text;
        }
        let mut filled = String::new();
        let mut rest = self.text.as_str();
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start + 2..].find('}') else {
                break;
            };
            filled += &rest[..start];
            let inside = &rest[start + 2..start + 2 + length];
            let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
            filled += &lookup(name).unwrap_or_else(|| default.to_owned());
            rest = &rest[start + 2 + length + 1..];
        }
        filled + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let dotenv = parse_dotenv(text, &environment);
        let mut variables: Vec<_> = dotenv.variables.into_iter().collect();
        variables.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(variables, expected);
        assert_eq!(dotenv.skipped_lines, [0_usize; 0]);
    }

    fn environment(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn what_a_dotenv_file_says() {
        check("", &[]);
        check("A=1\nB=2", &[("A", "1"), ("B", "2")]);
        check("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
        check("A=1\nA=2", &[("A", "2")]);
        check(
            "\n  # comment\n\n export A = x y  # tail\n",
            &[("A", "x y")],
        );
        check("export\tA=1", &[("A", "1")]);
        check("exported=1", &[("exported", "1")]);
        check("A=", &[("A", "")]);
        check("A= # nothing", &[("A", "")]);
        check("A=x#y", &[("A", "x#y")]);
        check("A='x # y' # z", &[("A", "x # y")]);
        check(r#"A="a\tb\"c\\d\e""#, &[("A", "a\tb\"c\\d\\e")]);
        check(r"A='a\tb\'c\\d'", &[("A", r"a\tb'c\d")]);
        check("A=\"x\ny\"\nB=1", &[("A", "x\ny"), ("B", "1")]);
        check("'A'=1", &[("A", "1")]);
        check("A\nexport B\nC # x", &[]);
        check("\u{feff}A=1", &[("A", "1")]);
        check("A=a=b", &[("A", "a=b")]);
    }

    #[test]
    fn names_are_filled_in() {
        check("A=1\nB=x${A}y", &[("A", "1"), ("B", "x1y")]);
        check("A=\"${HOME}/x\"", &[("A", "/root/x")]);
        check("A='${HOME}'", &[("A", "${HOME}")]);
        check("A=${NO}${NO:-d}", &[("A", "d")]);
        check("A=${HOME:-d}", &[("A", "/root")]);
        check(
            "HOME=/mine\nA=${HOME}",
            &[("A", "/root"), ("HOME", "/mine")],
        );
        check("A=${HOME", &[("A", "${HOME")]);
        check("A=$HOME", &[("A", "$HOME")]);
        check("A='${HOME}'\nB=${A}", &[("A", "${HOME}"), ("B", "${HOME}")]);
    }

    #[test]
    fn lines_that_make_no_sense_are_counted_and_left_out() {
        let dotenv = parse_dotenv(
            "A=1\n=x\nB=\"x\ny\"\nC='open\nno good\nD='a' b\nE=2\n",
            &environment,
        );
        assert_eq!(dotenv.skipped_lines, [2, 5, 6, 7]);
        let mut names: Vec<_> = dotenv.variables.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["A", "B", "E"]);
    }

    #[test]
    fn random_text_never_panics() {
        const PIECES: [&str; 20] = [
            "A", "=", "'", "\"", "\\", "\n", "\r\n", "#", " ", "\t", "export ", "${", "}", ":-",
            "é", "${A}", "\0", "B=1", "$", "\\n",
        ];
        let mut seed = 0x0d07_e4f1_u64;
        eprintln!("seed {seed:#x}");
        let mut next = |bound: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % bound
        };
        for _ in 0..20_000 {
            let text: String = (0..next(14)).map(|_| PIECES[next(PIECES.len())]).collect();
            let dotenv = parse_dotenv(&text, &environment);
            let lines = text.matches('\n').count() + 1;
            assert!(
                dotenv
                    .skipped_lines
                    .iter()
                    .all(|line| (1..=lines).contains(line)),
                "{text:?}"
            );
            assert!(!dotenv.variables.contains_key(""), "{text:?}");
        }
    }
}
