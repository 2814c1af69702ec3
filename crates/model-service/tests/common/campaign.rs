//! Kills at many moments: a few rounds by default, and many with `CAMPAIGN=full`
//! (`./swtpm-test.sh --full`).

use std::env;
use std::fs;
use std::time::SystemTime;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Bench, on_postgres};

/// Returns true if the full campaign runs.
pub fn is_full() -> bool {
    env::var("CAMPAIGN").is_ok_and(|campaign| campaign == "full")
}

/// The number of rounds: `full` or `short`.
pub fn rounds(full: usize, short: usize) -> usize {
    if is_full() { full } else { short }
}

/// A fraction of the whole, from 0 to below 1. Those of many rounds are spread evenly (the
/// fractions of the golden ratio's multiples).
pub fn place(round: usize) -> f64 {
    (0.5 + round as f64 * 0.618_033_988_749_895).fract()
}

/// Kills a process as a crash would, from another thread. Its parent has not yet waited for it, so
/// that no other process has the id.
pub fn strike(process: u32) {
    kill(Pid::from_raw(process.try_into().unwrap()), Signal::SIGKILL).unwrap();
}

impl Bench {
    /// Changes if the log of a file was written: its length, which grows until it is used again,
    /// and the time.
    ///
    /// Those of PostgreSQL are not beside the bench: it changes always.
    pub fn log(&self, file: &str) -> (u64, Option<SystemTime>) {
        if on_postgres() {
            return (0, Some(SystemTime::now()));
        }
        fs::metadata(self.path(&format!("{file}-wal")))
            .map_or((0, None), |metadata| (metadata.len(), metadata.modified().ok()))
    }

    /// Fails unless both files of the database are intact and no temporary file is left.
    #[track_caller]
    pub fn is_sound(&self) {
        for file in ["main", "imported"].into_iter().filter(|_| !on_postgres()) {
            let check = format!("PRAGMA {file}.integrity_check");
            let found: String = self.database().query_row(&check, [], |row| row.get(0)).unwrap();
            assert_eq!(found, "ok", "{file}");
        }
        let pairs = self.count("identities JOIN identity_texts USING (id)");
        assert_eq!(
            (self.count("identities"), self.count("identity_texts")),
            (pairs, pairs)
        );
        let names = fs::read_dir(self.path("")).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.find(|name| name.starts_with('.')), None);
    }
}
