//! The three messages: evidence (device to station), challenge (station to device), answer (device to
//! station). Each is a JSON object with a type and a version; binary values are in base64.
//!
//! Members that a reader does not know are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::Diagnostic;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::EkTemplate;

/// The largest evidence in bytes: a TPM's certificates in base64, and the rest.
pub const LARGEST_EVIDENCE: u64 = 64 * 1024;
/// The largest challenge or answer in bytes: an encrypted secret of 384 bytes, and the hardware id.
pub const LARGEST_MESSAGE: u64 = 16 * 1024;

/// The version of all three messages.
const VERSION: u64 = 1;

/// Why bytes are not the expected message.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum MessageError {
    /// Not JSON, or a member is missing or wrong.
    #[error("not a message of type {expected}: {reason}")]
    #[diagnostic(
        code("message-malformed"),
        help("Copy the file again, or make the message again")
    )]
    Malformed {
        /// The type.
        expected: &'static str,
        /// The cause.
        reason: String,
    },
    /// A message of another type.
    #[error("a message of type {found:?} instead of {expected}")]
    #[diagnostic(
        code("message-wrong-type"),
        help("Check which directory belongs to which argument of the command")
    )]
    Type {
        /// The type.
        expected: &'static str,
        /// The type in the message.
        found: String,
    },
    /// A version that this program does not know.
    #[error("a message of type {expected} in version {found}, which this program does not know")]
    #[diagnostic(
        code("message-version-unknown"),
        help("Use programs of the same version on the device and at the station")
    )]
    Version {
        /// The type.
        expected: &'static str,
        /// The version in the message.
        found: u64,
    },
    /// More bytes than the limit.
    #[error("a message of type {expected} has at most {limit} bytes")]
    #[diagnostic(code("message-too-large"), help("Check that this is the right file"))]
    TooLarge {
        /// The type.
        expected: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
}

/// What a device shows to have its identity key proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceMessage {
    /// The hardware id, as in the export.
    pub hardware_id: String,
    /// The Name of the identity key, as the TPM gives it. It proves nothing.
    pub key_name: Vec<u8>,
    /// The evidence.
    pub evidence: Evidence,
}

/// The kinds of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Endorsement keys, to which the station can encrypt a challenge.
    Endorsement {
        /// The keys, at least one.
        keys: Vec<EkEvidence>,
        /// Further certificates from the TPM, in DER.
        chain: Vec<Vec<u8>>,
    },
}

/// An endorsement key: its template and its certificate, or its public half if it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EkEvidence {
    /// The template that gives this key.
    pub template: EkTemplate,
    /// The NV index of the certificate, such as `0x01C00002`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nv_index: Option<String>,
    /// The certificate in DER.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_base64")]
    pub certificate: Option<Vec<u8>>,
    /// The SubjectPublicKeyInfo in DER.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_base64")]
    pub public_key: Option<Vec<u8>>,
}

/// A credential for the identity key and an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Challenge {
    /// The hardware id that the answer has to name.
    pub hardware_id: String,
    /// The Name of the identity key, computed by the station.
    #[serde(with = "base64_text")]
    pub key_name: Vec<u8>,
    /// The template of the endorsement key.
    pub template: EkTemplate,
    /// The content of TPM2B_ID_OBJECT.
    #[serde(with = "base64_text")]
    pub credential_blob: Vec<u8>,
    /// The content of TPM2B_ENCRYPTED_SECRET.
    #[serde(with = "base64_text")]
    pub encrypted_secret: Vec<u8>,
    /// The batch that the challenge belongs to. The answer repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
}

/// The proof that the TPM holds both keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The hardware id of the challenge.
    pub hardware_id: String,
    /// The Name of the identity key.
    #[serde(with = "base64_text")]
    pub key_name: Vec<u8>,
    /// HMAC-SHA256 with the secret of the credential, see [`crate::answer_proof`].
    #[serde(with = "base64_text")]
    pub proof: Vec<u8>,
    /// The batch of the challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
}

/// The members of an evidence message.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct EvidenceMembers {
    #[serde(rename = "type", default, skip_serializing)]
    message_type: String,
    #[serde(default, skip_serializing)]
    version: u64,
    hardware_id: String,
    #[serde(with = "base64_text")]
    key_name: Vec<u8>,
    /// Another kind of evidence would be another member.
    endorsement: Vec<EkEvidence>,
    #[serde(default, with = "base64_list")]
    chain: Vec<Vec<u8>>,
}

impl EvidenceMessage {
    const TYPE: &str = "hardware-identity-evidence";

    /// Reads the JSON of the message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read(json: &[u8]) -> Result<Self, MessageError> {
        // Parsed once if it is right, as nearly all of a batch are; else again for the reason.
        let is_small = json.len() as u64 <= LARGEST_EVIDENCE;
        let parsed = is_small.then(|| serde_json::from_slice::<EvidenceMembers>(json));
        let members = match parsed {
            Some(Ok(members)) if members.message_type == Self::TYPE && members.version == VERSION => members,
            _ => read(json, Self::TYPE, LARGEST_EVIDENCE)?,
        };
        Ok(EvidenceMessage {
            hardware_id: members.hardware_id,
            key_name: members.key_name,
            evidence: Evidence::Endorsement {
                keys: members.endorsement,
                chain: members.chain,
            },
        })
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        let Evidence::Endorsement { keys, chain } = &self.evidence;
        let members = EvidenceMembers {
            message_type: String::new(),
            version: 0,
            hardware_id: self.hardware_id.clone(),
            key_name: self.key_name.clone(),
            endorsement: keys.clone(),
            chain: chain.clone(),
        };
        to_json(Self::TYPE, &members)
    }
}

impl Challenge {
    const TYPE: &str = "hardware-identity-challenge";

    /// Reads the JSON of the message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read(json: &[u8]) -> Result<Self, MessageError> {
        read(json, Self::TYPE, LARGEST_MESSAGE)
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        to_json(Self::TYPE, self)
    }
}

impl Answer {
    const TYPE: &str = "hardware-identity-answer";

    /// Reads the JSON of the message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read(json: &[u8]) -> Result<Self, MessageError> {
        read(json, Self::TYPE, LARGEST_MESSAGE)
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        to_json(Self::TYPE, self)
    }
}

/// A message with its type and version.
#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    message_type: &'a str,
    version: u64,
    #[serde(flatten)]
    members: &'a T,
}

/// The type and the version of a message.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    message_type: String,
    version: u64,
}

fn read<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    expected: &'static str,
    limit: u64,
) -> Result<T, MessageError> {
    if json.len() as u64 > limit {
        return Err(MessageError::TooLarge { expected, limit });
    }
    let malformed = |error: serde_json::Error| MessageError::Malformed {
        expected,
        reason: error.to_string(),
    };
    let head: Head = serde_json::from_slice(json).map_err(malformed)?;
    if head.message_type != expected {
        let found = head.message_type;
        return Err(MessageError::Type { expected, found });
    }
    if head.version != VERSION {
        let found = head.version;
        return Err(MessageError::Version { expected, found });
    }
    serde_json::from_slice(json).map_err(malformed)
}

fn to_json<T: Serialize>(message_type: &str, members: &T) -> String {
    let envelope = Envelope {
        message_type,
        version: VERSION,
        members,
    };
    // Strings, numbers and lists of them can always be written.
    let mut json = serde_json::to_string_pretty(&envelope).unwrap_or_default();
    json.push('\n');
    json
}

impl Serialize for EkTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for EkTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes as base64.
mod base64_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        decode(&String::deserialize(deserializer)?)
    }

    pub(super) fn decode<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
        STANDARD.decode(text).map_err(E::custom)
    }
}

/// Bytes, if there are any, as base64.
mod optional_base64 {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes
            .as_ref()
            .map(|bytes| STANDARD.encode(bytes))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| base64_text::decode(&text)).transpose()
    }
}

/// A list of bytes as base64.
mod base64_list {
    use super::*;

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| STANDARD.encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<String>::deserialize(deserializer)?;
        list.iter().map(|text| base64_text::decode(text)).collect()
    }
}
