//! Random inputs for tests, the same ones for the same seed. The seed is printed, and can be given in
//! `TARGET_NATS_TEST_SEED`.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A small generator (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Prints the seed; the test harness shows it when the test fails.
    pub(crate) fn new(test: &str) -> Self {
        let seed = std::env::var("TARGET_NATS_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        eprintln!("{test}: TARGET_NATS_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// A JSON text of at most `depth` levels, with odd strings, numbers and white space.
    pub(crate) fn json(&mut self, depth: usize) -> String {
        let kind = self.below(if depth == 0 { 4 } else { 8 });
        match kind {
            0 => self
                .pick(&["null", "true", "false", "NaN", "-Infinity"])
                .to_string(),
            1 | 2 => self
                .pick(&[
                    "0",
                    "-1",
                    "12.50",
                    "1e5",
                    "-0.0e-0",
                    "123456789012345678901234567890",
                ])
                .to_string(),
            3 => self.json_string(),
            4 | 5 => {
                let items: Vec<_> = (0..self.below(4)).map(|_| self.json(depth - 1)).collect();
                format!("[{}]", items.join(self.pick(&[",", ", ", " ,\t"])))
            }
            _ => {
                let items: Vec<_> = (0..self.below(4))
                    .map(|_| format!("{}:{}", self.json_string(), self.json(depth - 1)))
                    .collect();
                format!("{{{}}}", items.join(self.pick(&[",", ", ", "\n, "])))
            }
        }
    }

    pub(crate) fn json_string(&mut self) -> String {
        let parts: String = (0..self.below(4))
            .map(|_| {
                self.pick(&[
                    "a",
                    "type",
                    "é",
                    "中😀",
                    "\\n",
                    "\\u00e9",
                    "\\ud83d\\ude00",
                    "\\\\",
                    "\\\"",
                    "longer text here",
                ])
            })
            .collect();
        format!("\"{parts}\"")
    }

    /// The text with one small damage: a character lost, doubled, changed, or the rest cut off.
    pub(crate) fn mutate_text(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            return "x".to_owned();
        }
        let at = self.below(chars.len());
        match self.below(4) {
            0 => drop(chars.remove(at)),
            1 => chars.insert(at, chars[at]),
            2 => chars.truncate(at),
            _ => {
                const DAMAGE: &[char] = &[
                    '"', '\\', '{', '}', '[', ']', ',', ':', ' ', '\n', '\u{0}', '\u{1f}', '0',
                    '-', '.', 'e', 'u', 'é',
                ];
                chars[at] = DAMAGE[self.below(DAMAGE.len())];
            }
        }
        chars.into_iter().collect()
    }
}
