//! Response codes of the TPM and of tpm2-tss.

use std::error::Error as _;

use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

use super::TpmError;

pub(super) type TssResult<T> = tss_esapi::Result<T>;

/// The kind of a response code, `None` for an error of tss-esapi itself.
pub(super) fn kind(error: tss_esapi::Error) -> Option<Kind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

/// Converts an error of a command that needs no handling of its own.
pub(super) fn failed(command: &'static str) -> impl Fn(tss_esapi::Error) -> TpmError {
    move |error| TpmError::Failed {
        command,
        reason: describe(error),
    }
}

/// Returns true for the errors that go away without intervention. ESYS sends a command again five
/// times, at once, for the first three only.
pub(super) fn is_transient(kind: Option<Kind>) -> bool {
    matches!(
        kind,
        Some(
            Kind::Retry
                | Kind::Testing
                | Kind::Yielded
                | Kind::NvRate
                | Kind::NvUnavailable
                | Kind::ObjectMemory
                | Kind::SessionMemory
                | Kind::ContextGap
        )
    )
}

/// The description of an error, with the response code as `tpm2_rc_decode` takes it.
pub(super) fn describe(error: tss_esapi::Error) -> String {
    let text = error.to_string();
    let first_sentence = text.split(". ").next().unwrap_or(&text);
    let tss_esapi::Error::Tss2Error(code) = error else {
        return text;
    };
    // tss-esapi gives the code only in the text of the source error.
    let code = code.source().map(|code| code.to_string()).unwrap_or_default();
    match code.rsplit(' ').next() {
        Some(number) => format!("{first_sentence} ({number})"),
        None => first_sentence.to_owned(),
    }
}
