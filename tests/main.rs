//! Integration tests: the built executable against real servers.

fn main() {}
