//! `model`: the snaps and options of a brand's device model.

use jiff::Timestamp;

use super::common::fields_of;
use super::model_snaps::{check_extended_snaps, check_pinned_snap, check_validation_sets};
use super::rules::{ACCOUNT_ID, DISTRIBUTION, SNAP_NAME, model_name};
use crate::assertion::Assertion;
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::{Headers, Value};

pub(super) const TYPE: &str = "model";

const GRADES: &str = "secured|signed|dangerous";
const SAFETIES: &str = "encrypted|prefer-encrypted|prefer-unencrypted";

/// A checked `model`.
///
/// ```
/// use snap_assertions::types::Model;
///
/// let assertion = snap_assertions::decode(include_bytes!("../../tests/vectors/model.assert"))?;
/// let model = Model::try_from(&assertion)?;
/// assert_eq!((model.brand_id(), model.model()), ("brand-acme", "edge-box"));
/// assert_eq!((model.base(), model.grade()), (Some("core24"), Some("signed")));
/// assert_eq!(model.serial_authority(), ["brand-acme"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model<'a> {
    fields: ModelFields<'a>,
    serial_authority: Vec<&'a str>,
    timestamp: Timestamp,
}

#[derive(Clone, Debug)]
struct ModelFields<'a> {
    brand_id: &'a str,
    model: &'a str,
    series: &'a str,
    architecture: Option<&'a str>,
    base: Option<&'a str>,
    grade: Option<&'a str>,
    store: Option<&'a str>,
    display_name: Option<&'a str>,
    classic: bool,
}

impl<'a> Model<'a> {
    /// Checks the headers of a model.
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let brand_id = fields.str("brand-id")?;
        if fields.str("authority-id")? != brand_id {
            let other = "authority-id";
            return Err(fields.error("brand-id", HeaderProblem::Differs { other }));
        }
        let model = model_name(fields)?;
        let kind = Kind {
            classic: fields.bool("classic")?,
            extended: fields.get("snaps").is_some(),
        };
        check_combination(fields, kind)?;
        let grade = check_snaps(fields, kind)?;
        let serial_authority = authority(fields, "serial-authority", brand_id)?;
        if fields.get("system-user-authority") != Some(&Value::from("*")) {
            authority(fields, "system-user-authority", brand_id)?;
        }
        authority(fields, "preseed-authority", brand_id)?;
        let timestamp = fields.timestamp("timestamp")?;
        check_validation_sets(fields, brand_id)?;
        Ok(Self {
            fields: ModelFields {
                brand_id,
                model,
                series: fields.str("series")?,
                architecture: fields.optional_str("architecture")?,
                base: fields.optional_str("base")?.filter(|base| !base.is_empty()),
                grade,
                store: fields.optional_str("store")?,
                display_name: fields.optional_str("display-name")?,
                classic: kind.classic,
            },
            serial_authority,
            timestamp,
        })
    }

    /// The account id of the brand, the same as `authority-id`.
    pub fn brand_id(&self) -> &'a str {
        self.fields.brand_id
    }

    /// The name of the model.
    pub fn model(&self) -> &'a str {
        self.fields.model
    }

    /// The series; `16` in all existing models.
    pub fn series(&self) -> &'a str {
        self.fields.series
    }

    /// The Debian architecture; optional in classic models.
    pub fn architecture(&self) -> Option<&'a str> {
        self.fields.architecture
    }

    /// The base snap, if the model has one.
    pub fn base(&self) -> Option<&'a str> {
        self.fields.base
    }

    /// `secured`, `signed` or `dangerous`. `None` for models without the header `snaps`.
    pub fn grade(&self) -> Option<&'a str> {
        self.fields.grade
    }

    /// The store of the brand, if the model has one.
    pub fn store(&self) -> Option<&'a str> {
        self.fields.store
    }

    /// The name for people to read, if the model has one.
    pub fn display_name(&self) -> Option<&'a str> {
        self.fields.display_name
    }

    /// Returns true if the model is for a classic system.
    pub fn is_classic(&self) -> bool {
        self.fields.classic
    }

    /// The accounts that may sign serials for this model, always including the brand.
    pub fn serial_authority(&self) -> &[&'a str] {
        &self.serial_authority
    }

    /// When the model was issued.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl<'a> TryFrom<&'a Assertion> for Model<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}

/// The headers on which the rules for the other headers depend.
#[derive(Clone, Copy)]
struct Kind {
    /// The model is for a classic system, not Ubuntu Core.
    classic: bool,
    /// The model has the header `snaps`, as since Ubuntu Core 20.
    extended: bool,
}

/// Checks which headers are allowed together, and which are required.
fn check_combination(fields: Fields<'_>, kind: Kind) -> Result<(), HeaderError> {
    let (forbidden, why): (&[&str], _) = match kind.extended {
        true => (
            &["gadget", "kernel", "required-snaps"],
            "the header \"snaps\" lists all snaps",
        ),
        false => (
            &["grade", "storage-safety"],
            "only models with the header \"snaps\" have it",
        ),
    };
    for name in forbidden {
        fields.forbidden(name, why)?;
    }
    if kind.classic && !kind.extended {
        for name in ["kernel", "base"] {
            fields.forbidden(name, "classic models without the header \"snaps\" do not have it")?;
        }
    }
    if kind.classic && kind.extended {
        fields.matching("distribution", DISTRIBUTION)?;
    } else {
        fields.forbidden(
            "distribution",
            "only classic models with the header \"snaps\" have it",
        )?;
    }
    let mandatory: &[&str] = match kind {
        Kind { extended: true, .. } => &["architecture", "base"],
        Kind { classic: true, .. } => &[],
        _ => &["architecture", "gadget", "kernel"],
    };
    for name in mandatory {
        fields.str(name)?;
    }
    for name in ["architecture", "base", "store", "display-name"] {
        fields.optional_str(name)?;
    }
    Ok(())
}

/// Checks the snaps, in `snaps` or in the older headers, and returns the grade.
fn check_snaps<'a>(fields: Fields<'a>, kind: Kind) -> Result<Option<&'a str>, HeaderError> {
    if fields.optional_str("base")?.is_some_and(|base| !base.is_empty()) {
        fields.matching("base", SNAP_NAME)?;
    }
    if !kind.extended {
        check_pinned_snap(fields, "kernel")?;
        check_pinned_snap(fields, "gadget")?;
        fields.strings("required-snaps", Some(SNAP_NAME))?;
        return Ok(None);
    }
    let grade = fields.optional_choice("grade", GRADES)?.unwrap_or("signed");
    let safety = fields.optional_choice("storage-safety", SAFETIES)?;
    if grade == "secured" && safety.is_some_and(|safety| safety != "encrypted") {
        let problem = HeaderProblem::MustBe("\"encrypted\" in a model of grade secured");
        return Err(fields.error("storage-safety", problem));
    }
    check_extended_snaps(fields, grade, kind.classic)?;
    Ok(Some(grade))
}

/// The accounts in the header `name`, always including the brand.
fn authority<'a>(fields: Fields<'a>, name: &str, brand_id: &'a str) -> Result<Vec<&'a str>, HeaderError> {
    let mut accounts = fields.strings(name, Some(ACCOUNT_ID))?;
    if !accounts.contains(&brand_id) {
        accounts.insert(0, brand_id);
    }
    Ok(accounts)
}
