//! The `target-nats` program: arguments in, exit code out.

fn main() {}
