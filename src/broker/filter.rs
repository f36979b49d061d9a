//! Subject filters: which subjects and which other filters one of them matches. `*` stands for one token, `>` at
//! the end for one or more. Pure.

/// Whether a filter matches every subject that another one matches. A subject is the filter of itself.
pub(super) fn covers(filter: &str, other: &str) -> bool {
    let (mut tokens, mut others) = (filter.split('.'), other.split('.'));
    loop {
        match (tokens.next(), others.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(other)) if other != ">" => {}
            (Some(token), Some(other)) if token == other => {}
            _ => return false,
        }
    }
}

/// Whether there is a subject that both filters match.
pub(super) fn overlaps(filter: &str, other: &str) -> bool {
    let (mut tokens, mut others) = (filter.split('.'), other.split('.'));
    loop {
        match (tokens.next(), others.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(token), Some(other)) if token == other || token == "*" || other == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The naive model: every subject of one to four tokens out of two words.
    fn subjects() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut subjects = Vec::new();
        for _ in 0..4 {
            let longer = all.iter().flat_map(|start| {
                ["a", "b"].map(|word| match &**start {
                    "" => word.to_owned(),
                    start => format!("{start}.{word}"),
                })
            });
            all = longer.collect();
            subjects.extend(all.clone());
        }
        subjects
    }

    fn naive(filter: &[&str], subject: &[&str]) -> bool {
        match (filter, subject) {
            ([], []) | ([">"], [_, ..]) => true,
            (["*", filter @ ..], [_, subject @ ..]) => naive(filter, subject),
            ([token, filter @ ..], [word, subject @ ..]) => token == word && naive(filter, subject),
            _ => false,
        }
    }

    #[test]
    fn filters_match_what_a_naive_model_says() {
        let mut random = Random::new("subject filters");
        let subjects = subjects();
        let mut filter = || {
            let mut tokens: Vec<&str> = (0..random.below(3))
                .map(|_| *random.pick(&[&"a", &"b", &"*"]))
                .collect();
            tokens.push(random.pick(&["a", "b", "*", ">"]));
            tokens.join(".")
        };
        for _ in 0..3_000 {
            let (one, other) = (filter(), filter());
            let of = |filter: &str| -> Vec<bool> {
                let tokens: Vec<&str> = filter.split('.').collect();
                let words = |subject: &String| {
                    let words: Vec<&str> = subject.split('.').collect();
                    naive(&tokens, &words)
                };
                subjects.iter().map(words).collect()
            };
            let (by_one, by_other) = (of(&one), of(&other));
            for (subject, expected) in std::iter::zip(&subjects, &by_one) {
                assert_eq!(covers(&one, subject), *expected, "{one} {subject}");
            }
            let both = || std::iter::zip(&by_one, &by_other);
            assert_eq!(
                overlaps(&one, &other),
                both().any(|(a, b)| *a && *b),
                "{one} {other}"
            );
            assert_eq!(
                covers(&one, &other),
                both().all(|(a, b)| *a || !*b),
                "{one} {other}"
            );
        }
    }
}
