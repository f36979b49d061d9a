//! What consumers in other languages make of published messages: the scripts in `tests/readers` and `tests/java`.
//!
//! scripts/install puts what they run on below `.work`.

use std::path::PathBuf;

use super::project;

/// The Python that has the packages of the readers.
pub fn python() -> PathBuf {
    let path = project().join(".work/readers-venv/bin/python");
    assert!(
        path.exists(),
        "there is no {}: run scripts/install once",
        path.display()
    );
    path
}

pub fn script(name: &str) -> PathBuf {
    project().join("tests/readers").join(name)
}
