//! Starting a thread with a name, the same way everywhere.

use std::thread::{Builder, JoinHandle};

use crate::error::{Error, Kind};

/// Starts a thread. Fails with [`Kind::Internal`] where the system has none to give.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Error::new(Kind::Internal, "no thread could be started").cause(error))
}
