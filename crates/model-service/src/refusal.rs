//! Refusals: each with a code for programs, a status for HTTP and a sentence for people.

use axum::http::StatusCode;

/// Characters of a message.
const LONGEST: usize = 1000;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// What happened, then what to do. snapd shows it as the error of the change.
    pub(crate) message: String,
}

impl Refusal {
    /// What the client sent and the message repeats is cut and kept on one line: it stands in logs too.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.replace_range(end.., "…");
        }
        let message = message.replace(char::is_control, " ");
        Self { code, message }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident;)*) => {
        /// The reasons for a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// The name that stands in answers and in the log.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What snapd makes of it: up to 500 the message is shown and the change fails, above it is asked
            /// again after a minute.
            pub(crate) fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    /// The content type is another one.
    ContentType = "content-type", UNSUPPORTED_MEDIA_TYPE;
    /// The body is too large.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE;
    /// The body ended too early.
    Incomplete = "incomplete", BAD_REQUEST;
    /// The body did not arrive in time.
    Timeout = "timeout", REQUEST_TIMEOUT;
    /// The body is no stream of assertions.
    Stream = "stream", BAD_REQUEST;
    /// The stream holds other assertions than it should.
    StreamContent = "stream-content", BAD_REQUEST;
    /// The serial-request breaks a rule of its type.
    Request = "serial-request", BAD_REQUEST;
    /// The device key did not sign the serial-request.
    RequestSignature = "serial-request-signature", FORBIDDEN;
    /// The model is none that this service knows.
    ModelUnknown = "model-unknown", FORBIDDEN;
    /// The model assertion breaks a rule of its type, or is that of another model than the request's.
    Model = "model", BAD_REQUEST;
    /// No trusted key of the brand signed the model.
    ModelSignature = "model-signature", FORBIDDEN;
    /// The model does not let the service's account sign its serials.
    SerialAuthority = "serial-authority", FORBIDDEN;
    /// The API key is missing or wrong.
    ApiKey = "api-key", UNAUTHORIZED;
    /// The nonce was never issued, or was given up.
    NonceUnknown = "nonce-unknown", FORBIDDEN;
    /// The nonce's time is over.
    NonceExpired = "nonce-expired", FORBIDDEN;
    /// The nonce was used before.
    NonceUsed = "nonce-used", FORBIDDEN;
    /// The serial-request has no body, or one that is not as it should be.
    Body = "body", BAD_REQUEST;
    /// The named hash is none that can be used.
    HashAlgorithm = "hash-algorithm", BAD_REQUEST;
    /// The hardware identity was not imported.
    IdentityUnknown = "identity-unknown", FORBIDDEN;
    /// The hardware identity's key did not sign the nonce.
    NonceSignature = "nonce-signature", FORBIDDEN;
    /// The request proposes no serial.
    SerialMissing = "serial-missing", BAD_REQUEST;
    /// The proposed serial cannot be one.
    SerialInvalid = "serial-invalid", BAD_REQUEST;
    /// The proposed serial belongs to another device.
    SerialTaken = "serial-taken", CONFLICT;
    /// The old serial of a remodel is missing, wrong or not of this service.
    RemodelSerial = "remodel-serial", FORBIDDEN;
    /// The old model's devices are provisioned otherwise.
    RemodelProvisioning = "remodel-provisioning", FORBIDDEN;
    /// The old serial belongs to another device.
    RemodelIdentity = "remodel-identity", FORBIDDEN;
    /// Too many requests from one address.
    RateLimit = "rate-limit", TOO_MANY_REQUESTS;
    /// The same, where snapd is to come again by itself.
    RateLimitNonces = "rate-limit", SERVICE_UNAVAILABLE;
    /// The token, password or session is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// Too many imports at a time.
    Busy = "busy", SERVICE_UNAVAILABLE;
    /// There is nothing at this address.
    NotFound = "not-found", NOT_FOUND;
    /// There is something at this address, but not with this method.
    Method = "method", METHOD_NOT_ALLOWED;
    /// The database could not be used, which may pass.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
}
