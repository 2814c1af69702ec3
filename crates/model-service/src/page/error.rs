//! Errors that the page shows.

use axum::extract::multipart::MultipartRejection;
use failure::Diagnostic;
use thiserror::Error;

use crate::store::{CursorError, StoreError, WithdrawalError};

/// Why the page refuses a request or cannot show what was asked for.
#[derive(Debug, Error, Diagnostic)]
pub(super) enum PageError {
    #[error("too many wrong passwords came from your address")]
    #[diagnostic(
        code("too-many-passwords"),
        help("Wait some seconds and try again, or use a browser that has logged in before")
    )]
    TooManyPasswords,
    #[error("the password is wrong")]
    #[diagnostic(
        code("password-wrong"),
        help("Use the password in the file that `page-password-file` names in the settings")
    )]
    PasswordWrong,
    #[error("this form does not belong to your session")]
    #[diagnostic(code("form-stale"), help("Load the page again, and send the form once more"))]
    StaleForm,
    #[error("the upload is not a form with a file: {0}")]
    #[diagnostic(code("form-invalid"), help("Use the form on the page"))]
    InvalidForm(MultipartRejection),
    #[error("the address or the form is not valid: {reason}")]
    #[diagnostic(code("fields-invalid"), help("Use the links and the forms of the page"))]
    InvalidFields { reason: String },
    #[error("the file has no assertions")]
    #[diagnostic(
        code("import-empty"),
        help("Choose a file that `hardware-identity sign` wrote")
    )]
    EmptyImport,
    #[error("nothing was imported: {refused} of {total} assertions were refused")]
    #[diagnostic(
        code("import-refused"),
        help("Correct or remove the refused assertions, and import again")
    )]
    ImportRefused { refused: u64, total: u64 },
    #[error("the import has finished, but its report cannot be read")]
    #[diagnostic(
        code("import-report-unreadable"),
        help("Import the file again to see the report")
    )]
    ReportUnreadable,
    #[error("the filter `{name}` is not valid")]
    #[diagnostic(
        code("filter-invalid"),
        help(
            "Use a choice of the form, a number for a lot, days such as 2026-11-25, and at most 500 characters"
        )
    )]
    InvalidFilter { name: &'static str },
    #[error("the file cannot be written: {0}")]
    #[diagnostic(code("csv-not-written"), help("Try again"))]
    Csv(#[from] csv::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cursor(#[from] CursorError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Withdrawal(#[from] WithdrawalError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}
