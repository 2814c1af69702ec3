//! How snapd reads and sends `registration.body` after the hook prepare-serial-request.
//!
//! Source: maybeRunPrepareSerialRequestHook in snapd's handlers_serial.go (2.77).

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::json;

/// The name of the digest in snapd 2.74 to 2.77, which devices in the field have.
const OLD_DIGEST: &str = "hardware-id-key-sha384";
/// The name of the digest after the correction of 2026-08-26, and in the model service.
const DIGEST: &str = "hardware-id-key-sha3-384";
const SIGNATURE: &str = "request-id-signature";

const ADVICE: &str = "Let prepare-serial-request set a JSON object (snapctl set -t registration.body={…})";

/// Checks the body as all releases of snapd with the hook do. Returns the string that snapd sends,
/// and a warning.
pub(super) fn after_hook(body: Option<Value>) -> Result<(String, Option<String>)> {
    let body = body.with_context(|| {
        format!("the hook prepare-serial-request has not set registration.body. {ADVICE}")
    })?;
    let Value::Object(fields) = &body else {
        bail!(
            "the hook prepare-serial-request has set registration.body to {}, not to an object. {ADVICE}",
            match body {
                Value::String(_) => "a string",
                _ => "something else",
            }
        );
    };
    for name in [OLD_DIGEST, DIGEST, SIGNATURE] {
        let who = match name {
            OLD_DIGEST => "snapd 2.74 to 2.77 refuse",
            DIGEST => "releases of snapd after 2.77 refuse",
            _ => "snapd refuses",
        };
        ensure!(
            fields.contains_key(name),
            "registration.body does not have the field {name:?}, and {who} the registration without it. \
             Set it in prepare-serial-request"
        );
    }
    let warning = (fields[OLD_DIGEST] != fields[DIGEST]).then(|| {
        format!("{OLD_DIGEST:?} and {DIGEST:?} differ in registration.body; set both to the key digest")
    });
    Ok((json::compact(&body)?, warning))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_is_encoded_as_go_does() {
        let body = json!({
            "request-id-signature": "a+b/c==", "hardware-id-key-sha3-384": "d", "hardware-id-key-sha384": "d",
            "more": {"z": "<&>\u{2028}", "a": [null, 1.5, "ü"]},
        });
        let (sent, warning) = after_hook(Some(body)).unwrap();
        assert_eq!(
            sent,
            r#"{"hardware-id-key-sha3-384":"d","hardware-id-key-sha384":"d","more":{"a":[null,1.5,"ü"],"z":"\u003c\u0026\u003e\u2028"},"request-id-signature":"a+b/c=="}"#
        );
        assert_eq!(warning, None);
    }

    #[test]
    fn each_field_that_a_release_requires_is_checked() {
        let refused = |body: Value, field: &str| {
            let error = after_hook(Some(body)).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        };
        refused(json!({DIGEST: "d", SIGNATURE: "s"}), OLD_DIGEST);
        refused(json!({OLD_DIGEST: "d", SIGNATURE: "s"}), DIGEST);
        refused(json!({OLD_DIGEST: "d", DIGEST: "d"}), SIGNATURE);
        for body in [None, Some(json!("{}")), Some(json!([]))] {
            assert!(after_hook(body).is_err());
        }
        let differing = json!({OLD_DIGEST: "d", DIGEST: "e", SIGNATURE: "s"});
        assert!(after_hook(Some(differing)).unwrap().1.is_some());
    }
}
