//! What snapd's environment says of the snap that a program belongs to.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::config::{ConfigError, Settings};
use crate::record::RecordFolder;

/// What the environment says of the snap that this program belongs to.
#[derive(Clone, Debug)]
pub struct SnapEnvironment {
    snap: Option<PathBuf>,
    save_data: Option<PathBuf>,
    common: Option<PathBuf>,
    tcti: Option<OsString>,
}

impl SnapEnvironment {
    /// Reads `SNAP`, `SNAP_SAVE_DATA` (which survives a factory reset; else `SNAP_COMMON`) and `TCTI`.
    pub fn read() -> Self {
        let folder = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        SnapEnvironment {
            snap: folder("SNAP"),
            save_data: folder("SNAP_SAVE_DATA"),
            common: folder("SNAP_COMMON"),
            tcti: env::var_os("TCTI").filter(|value| !value.is_empty()),
        }
    }

    /// The settings of file, `options` (the snap's configuration below `hardware-identity`) and environment.
    ///
    /// # Errors
    /// Names the line, option or variable that is wrong.
    pub fn settings(&self, options: Option<&Value>) -> anyhow::Result<Settings> {
        let tcti = self.tcti.as_ref().map(|tcti| tcti.to_string_lossy());
        Ok(Settings::load(self.snap.as_deref(), options, tcti.as_deref())?)
    }

    /// As [`settings`](Self::settings), with all that is wrong.
    pub fn read_settings(&self, options: Option<&Value>) -> (Settings, Vec<ConfigError>) {
        let tcti = self.tcti.as_ref().map(|tcti| tcti.to_string_lossy());
        Settings::read(self.snap.as_deref(), options, tcti.as_deref())
    }

    /// Where the record stands, if the environment names a folder.
    pub fn records(&self) -> Option<RecordFolder> {
        match (&self.save_data, &self.common) {
            (Some(save_data), common) => Some(RecordFolder::new(save_data, common.as_deref())),
            (None, Some(common)) => Some(RecordFolder::new(common, None)),
            (None, None) => None,
        }
    }

    /// Where the record stands; a hook always has a folder.
    ///
    /// # Errors
    /// Where this is not run as a hook.
    pub fn hook_records(&self) -> anyhow::Result<RecordFolder> {
        self.records().context(
            "neither SNAP_SAVE_DATA nor SNAP_COMMON names a data folder. Run this program as a hook of a \
             snap, or set one of them",
        )
    }
}
