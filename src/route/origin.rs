//! [`Origin`]: what all messages of a Singer stream have in common, and one subject filter that covers them.

use std::collections::BTreeSet;

use super::template::{Part, Template};
use crate::settings::Settings;

/// What all messages of a Singer stream have in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The Singer stream's name.
    pub(crate) stream: Box<str>,
    /// Covers every subject of the stream: `*` stands for each token to which a record contributes.
    pub(crate) filter: Box<str>,
}

/// Covers everything that a template can make of a stream with this name and so many key properties, where
/// a value never has a dot.
pub(super) fn filter(template: &Template, stream: &str, keys: usize) -> String {
    let mut filter = Filter::default();
    for part in template.parts() {
        match part {
            Part::Text(literal) => filter.push(literal),
            Part::Stream => filter.push(stream),
            Part::Key => {
                for place in 0..keys {
                    if place > 0 {
                        filter.push(".");
                    }
                    filter.push_any();
                }
            }
            Part::Record { .. } => filter.push_any(),
        }
    }
    filter.end_token();
    filter.text
}

/// Subject filters that cover what the templates of the settings make of any stream, as far as they begin with
/// whole literal tokens; none if one of them does not. They do not overlap.
///
/// The templates are legal, since `Routes::compile` took them.
pub(crate) fn root_filters(settings: &Settings) -> Vec<String> {
    let texts = settings.subjects.iter().map(|(_, text)| text);
    let mut roots = BTreeSet::new();
    for text in texts.chain([&settings.subject]) {
        let Ok(template) = Template::parse(text, &settings.queue_prefix) else {
            return Vec::new();
        };
        let literal = template.literal_start();
        if matches!(template.parts(), [Part::Text(_)]) {
            roots.insert(literal.to_owned());
        } else if let Some(dot) = literal.rfind('.') {
            roots.insert(format!("{}>", &literal[..=dot]));
        } else {
            return Vec::new();
        }
    }
    let is_covered = |root: &String| {
        let mut others = roots.iter().filter(|other| *other != root);
        others.any(|other| {
            other
                .strip_suffix('>')
                .is_some_and(|start| root.starts_with(start))
        })
    };
    roots
        .iter()
        .filter(|root| !is_covered(root))
        .cloned()
        .collect()
}

/// A filter that is being written. A token is made a `*` as a whole.
#[derive(Default)]
struct Filter {
    text: String,
    /// Where the last token starts, and whether it is not known.
    start: usize,
    is_any: bool,
}

impl Filter {
    fn push(&mut self, literal: &str) {
        let mut tokens = literal.split('.');
        self.text.push_str(tokens.next().unwrap_or_default());
        for token in tokens {
            self.end_token();
            self.text.push('.');
            self.start = self.text.len();
            self.text.push_str(token);
        }
    }

    fn push_any(&mut self) {
        self.is_any = true;
    }

    fn end_token(&mut self) {
        if std::mem::take(&mut self.is_any) {
            self.text.truncate(self.start);
            self.text.push('*');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Routes;
    use crate::testing::Random;

    /// The filter of a stream `s.t` with so many key properties.
    #[track_caller]
    fn check(template: &str, keys: usize, expected: &str) {
        let template = Template::parse(template, "p.").unwrap();
        let origin = Origin {
            stream: "s.t".into(),
            filter: filter(&template, "s.t", keys).into(),
        };
        assert_eq!(&*origin.filter, expected);
    }

    #[test]
    fn a_token_that_a_record_fills_becomes_a_star() {
        check("{queue_prefix}{stream}", 1, "p.s.t");
        check("{stream}.{key}", 1, "s.t.*");
        check("{stream}.{key}", 3, "s.t.*.*.*");
        check("a-{key}-b.c", 2, "*.*.c");
        check("x.pre-{record.x}.y", 0, "x.*.y");
        check("{record.a}{record.b}.{stream}", 0, "*.s.t");
        check("{record.a}{stream}", 0, "*.t");
        check("{stream}{record.a}", 0, "s.*");
        check("a*b.{{x}}", 0, "a*b.{x}");
    }

    /// As the server matches: token by token.
    fn matches(filter: &str, subject: &str) -> bool {
        let (filter, subject): (Vec<_>, Vec<_>) =
            (filter.split('.').collect(), subject.split('.').collect());
        filter.len() == subject.len()
            && std::iter::zip(filter, subject).all(|(f, s)| f == "*" || f == s)
    }

    #[test]
    fn every_subject_that_a_template_can_make_matches_its_filter() {
        let mut random = Random::new("subject filters");
        let mut matched = 0;
        for _ in 0..20_000 {
            let fields = [
                "{stream}",
                "{key}",
                "{record.v}",
                "{record.w}",
                "{queue_prefix}",
                ".",
                ".",
                "a",
                "_INBOX",
                "$X",
                "*",
                "-",
            ];
            let template: String = (0..=random.below(7))
                .map(|_| random.pick(&fields))
                .collect();
            let word = |random: &mut Random| -> String {
                let words = [
                    "a", "b", ".", "*", ">", " ", "$", "_IN", "BOX", "_INBOX", "=", "é",
                ];
                (0..random.below(4)).map(|_| random.pick(&words)).collect()
            };
            let settings = serde_json::json!({
                "subject": template,
                "queue_prefix": word(&mut random),
                "subject_invalid": random.pick(&["reject", "replace", "encode"]),
            });
            let settings = Settings::from_json(&settings.to_string()).unwrap();
            let Ok(routes) = Routes::compile(&settings) else {
                continue;
            };
            let keys: Vec<String> = ["v", "k", "l"]
                .map(str::to_owned)
                .into_iter()
                .take(random.below(4))
                .collect();
            let stream = routes.compile_stream(&word(&mut random), &keys);
            for _ in 0..3 {
                let record = serde_json::json!({
                    "v": word(&mut random), "w": word(&mut random), "k": word(&mut random), "l": 7,
                });
                let Ok(route) = stream.route(&record.to_string()) else {
                    continue;
                };
                let (filter, subject) = (&*route.origin.filter, route.subject.as_str());
                assert!(
                    matches(filter, subject),
                    "{settings:?} {record} {filter} {subject}"
                );
                assert!(
                    filter
                        .split('.')
                        .all(|token| !token.is_empty() && token != ">")
                );
                let is_constant = !template.contains("{key") && !template.contains("{record");
                if is_constant {
                    assert_eq!(filter, subject);
                }
                let has_star = filter.split('.').any(|token| token == "*");
                assert_eq!(has_star, !is_constant, "{template} {filter}");
                matched += 1;
            }
        }
        assert!(matched > 5_000, "{matched}");
    }

    #[test]
    fn roots_cover_what_templates_can_make() {
        #[track_caller]
        fn check(settings: &str, expected: &[&str]) {
            let settings = Settings::from_json(settings).unwrap();
            assert_eq!(root_filters(&settings), expected);
        }
        check("{}", &[]);
        check(r#"{"queue_prefix":"raw."}"#, &["raw.>"]);
        check(r#"{"queue_prefix":"raw_"}"#, &[]);
        check(r#"{"subject":"a.b.x-{stream}.{key}"}"#, &["a.b.>"]);
        check(
            r#"{"subject":"a.{stream}","subjects":{"x":"a.b.{stream}","y":"c.d","z*":"e.{stream}"}}"#,
            &["a.>", "c.d", "e.>"],
        );
        check(
            r#"{"subject":"a.{stream}","subjects":{"x":"{stream}"}}"#,
            &[],
        );
    }
}
