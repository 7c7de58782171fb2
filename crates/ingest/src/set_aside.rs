//! What was accepted and cannot be read any more. Its bytes are kept beside the log for whoever wants to look at them:
//! no program can tell whose they are.
//!
//! ```text
//! <log>/damaged/               stretches of a log that are no records
//! undecodable/ beside a spool  requests that cannot be decoded
//! ```

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How much of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    pub files: u64,
    pub bytes: u64,
}

/// Looks beside a log and a spool.
pub fn set_aside(log: &Path, spool: &Path) -> io::Result<SetAside> {
    let mut all = SetAside::default();
    for folder in [damaged(log), undecodable(spool)] {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            all.files += 1;
            all.bytes += entry?.metadata()?.len();
        }
    }
    Ok(all)
}

pub(crate) fn damaged(log: &Path) -> PathBuf {
    log.join("damaged")
}

pub(crate) fn undecodable(spool: &Path) -> PathBuf {
    spool.with_file_name("undecodable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_count_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let (log, spool) = (folder.path().join("wal"), folder.path().join("spool"));
        assert_eq!(set_aside(&log, &spool).unwrap(), SetAside::default());
        std::fs::create_dir_all(damaged(&log)).unwrap();
        std::fs::create_dir_all(undecodable(&spool)).unwrap();
        std::fs::write(damaged(&log).join("one"), b"123").unwrap();
        std::fs::write(undecodable(&spool).join("two"), b"4567").unwrap();
        assert_eq!(set_aside(&log, &spool).unwrap(), SetAside { files: 2, bytes: 7 });
    }
}
