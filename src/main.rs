//! The `target-nats` program: arguments in, exit code out.

fn main() {
    // Not by returning: threads that wait for a silent tap or server are left behind.
    std::process::exit(target_nats::run_program(std::env::args_os().skip(1)));
}
