//! Random numbers from a printed seed, so that a failure can be had again.
//!
//! `TARGET_NATS_TEST_SEED=…` in the environment of the tests sets the seed of every test that asks for one, and
//! `TARGET_NATS_TEST_THOROUGH=1` has those with [`seeds`] run with ten.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use super::say;

/// The variable that fixes the seed.
const SEED: &str = "TARGET_NATS_TEST_SEED";

/// The variable that asks for ten seeds where one does for every day.
const THOROUGH: &str = "TARGET_NATS_TEST_THOROUGH";

/// The seeds that a test is to be run with: one, or ten where the environment asks for them.
pub fn seeds(test: &str) -> impl Iterator<Item = Random> {
    let times = if std::env::var_os(THOROUGH).is_some() {
        10
    } else {
        1
    };
    (0..times).map(move |_| Random::new(test))
}

/// `SplitMix64`: small, and good enough to choose moments and mutations.
pub struct Random(u64);

impl Random {
    /// A new sequence, whose seed is printed with the test's name.
    pub fn new(test: &str) -> Self {
        let seed = match std::env::var(SEED) {
            Ok(given) => given
                .parse()
                .unwrap_or_else(|_| panic!("{SEED} is no number: {given}")),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        say(&format!("{test}: {SEED}={seed}"));
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in the range, which must not be empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        let span = u64::try_from(range.end - range.start).unwrap();
        range.start + usize::try_from(self.next() % span).unwrap()
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.within(0..choices.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.within(0..times) == 0
    }
}
