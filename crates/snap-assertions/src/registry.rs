//! The assertion types that snapd knows, with their primary keys and formats.

/// An assertion type.
#[derive(Debug, PartialEq, Eq)]
pub struct AssertionType {
    name: &'static str,
    primary_key: &'static [&'static str],
    optional_key: Option<(&'static str, &'static str)>,
    has_authority: bool,
    max_format: u64,
}

impl AssertionType {
    /// The type with the name `name`, if snapd knows it.
    ///
    /// ```
    /// let model = snap_assertions::AssertionType::find("model").unwrap();
    /// assert_eq!(model.primary_key(), ["series", "brand-id", "model"]);
    /// ```
    pub fn find(name: &str) -> Option<&'static AssertionType> {
        TYPES.iter().find(|known| known.name == name)
    }

    /// The value of the header `type`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The headers that identify an assertion of this type, in their order.
    pub fn primary_key(&self) -> &'static [&'static str] {
        self.primary_key
    }

    /// Returns true if an account signs such assertions; `authority-id` names it. The others
    /// contain the key that signs them, and must not have that header.
    pub fn has_authority(&self) -> bool {
        self.has_authority
    }

    /// The newest format iteration that this library knows.
    pub fn max_format(&self) -> u64 {
        self.max_format
    }

    /// The default value of the primary key header `name`.
    pub(crate) fn default_of(&self, name: &str) -> Option<&'static str> {
        self.optional_key
            .filter(|(optional, _)| *optional == name)
            .map(|(_, default)| default)
    }
}

const fn signed(name: &'static str, primary_key: &'static [&'static str]) -> AssertionType {
    AssertionType {
        name,
        primary_key,
        optional_key: None,
        has_authority: true,
        max_format: 0,
    }
}

const fn with_format(mut of: AssertionType, max_format: u64) -> AssertionType {
    of.max_format = max_format;
    of
}

/// snapd's `snap.DefaultProvenance`: revisions that the store itself built have no `provenance`
/// header.
const fn with_provenance(mut of: AssertionType) -> AssertionType {
    of.optional_key = Some(("provenance", "global-upload"));
    of
}

const fn without_authority(mut of: AssertionType) -> AssertionType {
    of.has_authority = false;
    of
}

/// Types, primary keys and newest formats, as of snapd's `asserts.go` on 2026-08-21.
static TYPES: &[AssertionType] = &[
    signed("account", &["account-id"]),
    with_format(signed("account-key", &["public-key-sha3-384"]), 1),
    signed("base-declaration", &["series"]),
    signed("cluster", &["cluster-id", "sequence"]),
    signed("confdb-schema", &["account-id", "name"]),
    signed("hardware-identity", &["issuer-id", "hardware-id-key-sha3-384"]),
    signed("model", &["series", "brand-id", "model"]),
    signed("preseed", &["series", "brand-id", "model", "system-label"]),
    signed("repair", &["brand-id", "repair-id"]),
    signed("request-message", &["account-id", "message-id"]),
    signed("serial", &["brand-id", "model", "serial"]),
    signed("snap-build", &["snap-sha3-384"]),
    with_format(signed("snap-declaration", &["series", "snap-id"]), 7),
    signed("snap-developer", &["snap-id", "publisher-id"]),
    with_provenance(signed(
        "snap-resource-pair",
        &[
            "snap-id",
            "resource-name",
            "resource-revision",
            "snap-revision",
            "provenance",
        ],
    )),
    with_provenance(signed(
        "snap-resource-revision",
        &["snap-id", "resource-name", "resource-sha3-384", "provenance"],
    )),
    with_provenance(signed("snap-revision", &["snap-sha3-384", "provenance"])),
    signed("store", &["store"]),
    with_format(signed("system-user", &["brand-id", "email"]), 2),
    signed(
        "validation",
        &["series", "snap-id", "approved-snap-id", "approved-snap-revision"],
    ),
    signed("validation-set", &["series", "account-id", "name", "sequence"]),
    without_authority(signed("account-key-request", &["public-key-sha3-384"])),
    without_authority(signed("confdb-control", &["brand-id", "model", "serial"])),
    without_authority(signed("device-session-request", &["brand-id", "model", "serial"])),
    without_authority(signed(
        "response-message",
        &["account-id", "message-id", "device"],
    )),
    without_authority(signed("serial-request", &[])),
];
