//! Records of a stream are alike, so what was read of one is only compared with the next.
//!
//! It changes nothing of what is accepted: what a [`Guide`] compares with was valid in the same place.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::json::{Fault, Scanner};

/// What stood before each value of an object, from the brace or the value before: `{"id": `, `, "name": `.
#[derive(Debug, Default)]
pub(crate) struct Guide<'a> {
    keys: Vec<&'a str>,
    shape: Shape,
    has_changed: bool,
}

/// Stands for the keys of an object and their order. Objects of one shape have the same keys, so that what
/// was found out about the keys of one need not be found out again. (Objects with the same keys may have
/// different shapes.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(u64);

impl<'a> Guide<'a> {
    /// Takes one value as [`Scanner::value`] does. If it is an object, its keys are first looked for where
    /// the last object had them, and read only where they differ.
    pub(crate) fn value(&mut self, scanner: &mut Scanner<'a>) -> Result<&'a str, Fault> {
        scanner.skip_space();
        if scanner.peek() != b'{' {
            return scanner.value();
        }
        let start = scanner.at();
        let mut keys = 0;
        loop {
            let before = scanner.at();
            if !scanner.take(self.keys.get(keys).copied()) {
                if keys == 0 {
                    scanner.enter_object()?;
                }
                if scanner.next_key(keys == 0)?.is_none() {
                    break;
                }
                self.learn(keys, scanner.since(before));
            }
            keys += 1;
            scanner.skip_space();
            scanner.skip_value()?;
        }
        self.end(keys);
        Ok(scanner.since(start))
    }

    fn learn(&mut self, place: usize, text: &'a str) {
        self.keys.truncate(place);
        self.keys.push(text);
        self.has_changed = true;
    }

    fn end(&mut self, keys: usize) {
        if self.has_changed || self.keys.len() != keys {
            self.keys.truncate(keys);
            self.has_changed = false;
            let mut hasher = DefaultHasher::new();
            self.keys.hash(&mut hasher);
            self.shape = Shape(hasher.finish());
        }
    }

    /// The shape of the object that was taken last.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::singer::json::tests::is_value;
    use crate::testing::Random;

    #[test]
    fn a_guide_changes_nothing_of_what_is_accepted() {
        let mut random = Random::new("guided scanner");
        for _ in 0..20_000 {
            let texts: Vec<String> = (0..4)
                .map(|_| {
                    let mut text = random.json(2);
                    if random.below(2) == 0 {
                        text = format!("{{\"a\": {text}, \"b\": {}}}", random.json(1));
                    }
                    match random.below(4) {
                        0 => random.mutate_text(&text),
                        _ => text,
                    }
                })
                .collect();
            let mut guide = Guide::default();
            for text in &texts {
                let mut guided = Scanner::new(text);
                let along = guide.value(&mut guided).and_then(|_| guided.end());
                assert_eq!(along.is_ok(), is_value(text), "{texts:?}");
            }
        }
    }

    #[test]
    fn shapes_tell_records_with_other_keys_apart() {
        let shapes: Vec<Shape> = {
            let mut guide = Guide::default();
            [
                r#"{"a":1,"b":2}"#,
                r#"{"a":{"c":0},"b":"x"}"#,
                r#"{"a":1}"#,
                r#"{"b":2,"a":1}"#,
                r#"{"a":1,"b":2,"c":3}"#,
                "{}",
                r#"{"a":1,"b":2}"#,
            ]
            .map(|text| {
                guide.value(&mut Scanner::new(text)).unwrap();
                guide.shape()
            })
            .to_vec()
        };
        assert!(shapes[0] == shapes[1] && shapes[0] == shapes[6]);
        for (place, shape) in shapes.iter().enumerate().take(6).skip(2) {
            assert!(!shapes[..place].contains(shape), "{place}");
        }
    }
}
