//! Tokens that nobody else has: for inboxes, batches and message ids. They are no secrets.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};

/// One token of a subject: 32 hexadecimal digits.
pub(super) fn unique_token() -> String {
    let mut token = String::with_capacity(32);
    // Each state has random keys of its own, from the operating system.
    for _ in 0..2 {
        let number = RandomState::new().build_hasher().finish();
        write!(token, "{number:016x}").expect("writing to memory cannot fail");
    }
    token
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_of_one_length_and_never_the_same() {
        let tokens: HashSet<String> = (0..10_000).map(|_| unique_token()).collect();
        assert_eq!(tokens.len(), 10_000);
        assert!(tokens.iter().all(|token| token.len() == 32));
    }
}
