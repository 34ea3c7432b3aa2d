//! The public clients of the inference protocol, in a virtual environment of the project.

use std::path::PathBuf;

use anyhow::Result;

use crate::{python, workspace};

/// The variable that names the Python which has the clients to tests.
pub(crate) const VARIABLE: &str = "BULKHEAD_CLIENTS_PYTHON";

/// The Python that has the clients; none, with the reason told, where they cannot be fetched.
pub(crate) fn provide() -> Result<Option<PathBuf>> {
    let requirements = workspace::root().join("tests/clients/requirements.txt");
    let installed = python::virtual_environment("clients")
        .and_then(|python| python::install(&python, &requirements).map(|()| python));
    match installed {
        Ok(python) => Ok(Some(python)),
        Err(error) => {
            eprintln!("SKIPPED: the tests of public clients: {error:#}");
            Ok(None)
        }
    }
}
