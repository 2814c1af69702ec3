//! The environment variables that snapd sets for a snap.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use failure::Diagnostic;
use serde_json::Value;
use thiserror::Error;

use crate::config::{ConfigError, Settings};
use crate::identity::RecordDirectory;

/// Neither `SNAP_SAVE_DATA` nor `SNAP_COMMON` is set.
#[derive(Debug, Error, Diagnostic)]
#[error("neither SNAP_SAVE_DATA nor SNAP_COMMON is set")]
#[diagnostic(
    code("data-directory-unset"),
    help("Run this program as a hook of a snap, or set one of the variables to a directory")
)]
pub struct DataDirectoryUnset;

/// The environment variables of the snap that this program belongs to. An empty variable counts as
/// unset.
#[derive(Clone, Debug)]
pub struct SnapEnvironment {
    snap: Option<PathBuf>,
    save_data: Option<PathBuf>,
    common: Option<PathBuf>,
    tcti: Option<OsString>,
}

impl SnapEnvironment {
    /// Reads `SNAP`, `SNAP_SAVE_DATA` (survives a factory reset), `SNAP_COMMON` and `TCTI`.
    pub fn read() -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        SnapEnvironment {
            snap: variable("SNAP").map(PathBuf::from),
            save_data: variable("SNAP_SAVE_DATA").map(PathBuf::from),
            common: variable("SNAP_COMMON").map(PathBuf::from),
            tcti: variable("TCTI"),
        }
    }

    /// The settings of the settings file, of `options` (the snap's configuration below
    /// `hardware-identity`) and of the environment.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn settings(&self, options: Option<&Value>) -> Result<Settings, ConfigError> {
        let (settings, errors) = self.read_settings(options);
        errors.into_iter().next().map_or(Ok(settings), Err)
    }

    /// As [`settings`](Self::settings), with all errors. A setting with an error keeps its default.
    pub fn read_settings(&self, options: Option<&Value>) -> (Settings, Vec<ConfigError>) {
        let tcti = self.tcti.as_ref().map(|tcti| tcti.to_string_lossy());
        Settings::read(self.snap.as_deref(), options, tcti.as_deref())
    }

    /// The directory of the record, `None` if the environment names no directory.
    pub fn record_directory(&self) -> Option<RecordDirectory> {
        match (&self.save_data, &self.common) {
            (Some(save_data), common) => Some(RecordDirectory::new(save_data, common.as_deref())),
            (None, Some(common)) => Some(RecordDirectory::new(common, None)),
            (None, None) => None,
        }
    }

    /// The directory of the record, which a hook always has.
    ///
    /// # Errors
    /// [`DataDirectoryUnset`] if this program does not run as a hook.
    pub fn hook_record_directory(&self) -> Result<RecordDirectory, DataDirectoryUnset> {
        self.record_directory().ok_or(DataDirectoryUnset)
    }
}
