//! `registration.body` after the hook prepare-serial-request: how snapd reads and sends it.
//!
//! Source: maybeRunPrepareSerialRequestHook in snapd's handlers_serial.go (2.77).

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::json;

/// The digest's field as snapd 2.74 to 2.77 look for it. Devices with them are in the field.
const OLD_DIGEST: &str = "hardware-id-key-sha384";
/// As releases after the correction of 2026-08-26 look for it, and as the model service reads it.
const DIGEST: &str = "hardware-id-key-sha3-384";
const SIGNATURE: &str = "request-id-signature";

const FIX: &str = "Let prepare-serial-request set registration.body to a JSON object (snapctl set -t registration.body={…})";

/// The text that snapd sends, after the checks of all its releases that have the hook; and what to be warned of.
pub(super) fn after_hook(body: Option<Value>) -> Result<(String, Option<String>)> {
    let body = body
        .with_context(|| format!("the hook prepare-serial-request has not set registration.body. {FIX}"))?;
    let Value::Object(fields) = &body else {
        bail!(
            "the hook prepare-serial-request has set registration.body to {}, not to an object. {FIX}",
            match body {
                Value::String(_) => "a string",
                _ => "something else",
            }
        );
    };
    for name in [OLD_DIGEST, DIGEST, SIGNATURE] {
        let who = match name {
            OLD_DIGEST => "snapd 2.74 to 2.77 refuse",
            DIGEST => "later releases of snapd than 2.77 refuse",
            _ => "snapd refuses",
        };
        ensure!(
            fields.contains_key(name),
            "registration.body has no field {name:?}, and {who} the registration without it. Set it in prepare-serial-request"
        );
    }
    let warning = (fields[OLD_DIGEST] != fields[DIGEST]).then(|| {
        format!("{OLD_DIGEST:?} and {DIGEST:?} differ in registration.body; both are to hold the key digest")
    });
    Ok((json::compact(&body)?, warning))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn is_encoded_anew() {
        let body = json!({
            "request-id-signature": "a+b/c==", "hardware-id-key-sha3-384": "d", "hardware-id-key-sha384": "d",
            "more": {"z": "<&>\u{2028}", "a": [null, 1.5, "ü"]},
        });
        let (text, warning) = after_hook(Some(body)).unwrap();
        assert_eq!(
            text,
            r#"{"hardware-id-key-sha3-384":"d","hardware-id-key-sha384":"d","more":{"a":[null,1.5,"ü"],"z":"\u003c\u0026\u003e\u2028"},"request-id-signature":"a+b/c=="}"#
        );
        assert_eq!(warning, None);
    }

    #[test]
    fn fields_that_some_release_looks_for() {
        let refused = |body: Value, part: &str| {
            let error = after_hook(Some(body)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(json!("{}"), "a string");
        refused(json!([]), "something else");
        refused(json!({DIGEST: "d", SIGNATURE: "s"}), "2.74 to 2.77");
        refused(json!({OLD_DIGEST: "d", SIGNATURE: "s"}), "later releases");
        refused(json!({OLD_DIGEST: "d", DIGEST: "d"}), "request-id-signature");
        assert!(after_hook(None).unwrap_err().to_string().contains("not set"));
        let differing = json!({OLD_DIGEST: "d", DIGEST: "e", SIGNATURE: "s"});
        assert!(after_hook(Some(differing)).unwrap().1.is_some());
    }
}
