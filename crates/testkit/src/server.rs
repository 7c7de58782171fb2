//! Real servers for tests, object stores and a Jaeger: a process on a free port of this machine, with a folder that
//! goes with it.
//!
//! The programs are not ours and may not be installed: `tools/minio`, `tools/azurite` and `tools/jaeger` do that, and
//! `tools/test` hands their paths on in environment variables. Without them [`program`] says which tests did
//! not run.

// What every such server needs: a process, a port, a folder, an end.
mod process;
// S3.
mod minio;
// Azure Blob Storage.
mod azurite;
// Who asks for traces.
mod jaeger;

pub use azurite::Azurite;
pub use jaeger::Jaeger;
pub use minio::Minio;
pub use process::ServerError;

use std::io::Write;
use std::path::PathBuf;

/// The path of the program that an environment variable names. If it is not set, says that the calling test
/// did not run, and how to get it to. Past `println!`, whose output the test runner keeps from a test that
/// passes.
pub fn program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        // Who cannot read it cannot be told.
        let _ = writeln!(std::io::stderr(), "NOT RUN: {variable} is not set, run ./tools/test");
    }
    path.map(PathBuf::from)
}
