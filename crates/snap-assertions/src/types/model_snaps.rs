//! The snaps and validation sets of a model.

use std::collections::{HashMap, HashSet};

use super::rules::{SNAP_ID, SNAP_MODE, SNAP_NAME, VALIDATION_SET_NAME};
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::{Headers, Value};

const TYPES: &str = "app|base|gadget|kernel|core|snapd";
const PRESENCES: &str = "required|optional";
const MODES: &str = "prefer-enforce|enforce";
const RISKS: [&str; 4] = ["stable", "candidate", "beta", "edge"];
const RUN_MODE: &str = "run";
/// The bases whose snap id snapd knows (on 2026-08-21). A model with another base must list it.
const WELL_KNOWN_BASES: [&str; 5] = ["core", "core18", "core20", "core22", "core24"];

/// Checks the header `kernel` or `gadget` of a model without `snaps`: a name, or `name=track`.
pub(super) fn check_pinned_snap(fields: Fields<'_>, name: &str) -> Result<(), HeaderError> {
    let Some(value) = fields.optional_str(name)? else {
        return Ok(());
    };
    let (snap, track) = value.split_once('=').unwrap_or((value, ""));
    if !SNAP_NAME.allows(snap) {
        return Err(fields.error(name, SNAP_NAME.broken_by(snap)));
    }
    if track.contains('/') || RISKS.contains(&track) {
        return Err(fields.error(name, HeaderProblem::MustBe("a snap name or name=track")));
    }
    Ok(())
}

/// Checks the header `snaps`.
pub(super) fn check_extended_snaps(
    fields: Fields<'_>,
    grade: &str,
    classic: bool,
) -> Result<(), HeaderError> {
    let wrong = |problem| fields.error("snaps", problem);
    let twice = |item, value: &str| {
        let value = value.to_owned();
        wrong(HeaderProblem::Duplicate { item, value })
    };
    let base = fields.str("base")?;
    let model = SnapsModel { base, grade, classic };
    let mut names = HashSet::new();
    let mut ids = HashSet::new();
    let mut only_once = HashMap::new();
    let list = fields.optional_list("snaps")?.unwrap_or_default();
    let mut base_listed = false;
    let entries: Vec<_> = maps("snaps", list).collect();
    for (path, entry) in &entries {
        let entry = entry.ok_or_else(|| fields.error(path, HeaderProblem::MustBe("a map")))?;
        let snap = model.check_snap(Fields::nested(entry, path))?;
        if !names.insert(snap.name) {
            return Err(twice("snap", snap.name));
        }
        if let Some(id) = snap.id.filter(|id| !ids.insert(*id)) {
            return Err(twice("snap id", id));
        }
        let single = ["snapd", "kernel", "gadget"].contains(&snap.kind);
        if single && only_once.insert(snap.kind, snap.name).is_some() {
            return Err(wrong(HeaderProblem::SnapTypeTwice(snap.kind.to_owned())));
        }
        let is_base = !single && snap.name == base;
        base_listed |= is_base;
        if is_base && snap.kind != "base" {
            let (base, found) = (base.to_owned(), snap.kind.to_owned());
            return Err(wrong(HeaderProblem::BaseType { base, found }));
        }
    }
    let (kernel, gadget) = (only_once.contains_key("kernel"), only_once.contains_key("gadget"));
    if !gadget && (!classic || kernel) {
        return Err(wrong(HeaderProblem::SnapMissing("gadget")));
    }
    if !kernel && !classic {
        return Err(wrong(HeaderProblem::SnapMissing("kernel")));
    }
    if !base_listed && grade != "dangerous" && !WELL_KNOWN_BASES.contains(&base) {
        return Err(wrong(HeaderProblem::BaseMissing(base.to_owned())));
    }
    Ok(())
}

/// Checks the header `validation-sets`.
pub(super) fn check_validation_sets(fields: Fields<'_>, brand: &str) -> Result<(), HeaderError> {
    let mut seen = HashSet::new();
    let list = fields.optional_list("validation-sets")?.unwrap_or_default();
    let entries: Vec<_> = maps("validation-sets", list).collect();
    for (path, entry) in &entries {
        let entry = entry.ok_or_else(|| fields.error(path, HeaderProblem::MustBe("a map")))?;
        let set = Fields::nested(entry, path);
        let name = set.matching("name", VALIDATION_SET_NAME)?;
        let account = set.optional_str("account-id")?.filter(|id| !id.is_empty());
        if set.get("sequence").is_some() {
            set.str("sequence")?;
            if set.number("sequence")? == 0 {
                return Err(set.error("sequence", HeaderProblem::MustBe("a number above 0")));
            }
        }
        set.str("mode")?;
        set.optional_choice("mode", MODES)?;
        if !seen.insert((account.unwrap_or(brand), name)) {
            let (item, value) = ("validation set", name.to_owned());
            return Err(set.error("name", HeaderProblem::Duplicate { item, value }));
        }
    }
    Ok(())
}

/// The entries of a list of maps, each with its path.
fn maps<'a>(name: &str, list: &'a [Value]) -> impl Iterator<Item = (String, Option<&'a Headers>)> {
    let entry = move |(index, value): (usize, &'a Value)| (format!("{name}[{index}]"), value.as_map());
    list.iter().enumerate().map(entry)
}

/// The headers on which the rules for a snap depend.
struct SnapsModel<'a> {
    base: &'a str,
    grade: &'a str,
    classic: bool,
}

struct Snap<'a> {
    name: &'a str,
    id: Option<&'a str>,
    kind: &'a str,
}

impl SnapsModel<'_> {
    fn check_snap<'a>(&self, snap: Fields<'a>) -> Result<Snap<'a>, HeaderError> {
        let name = snap.matching("name", SNAP_NAME)?;
        let id = match snap.get("id") {
            None if self.grade == "dangerous" => None,
            _ => Some(snap.matching("id", SNAP_ID)?),
        };
        let kind = snap.optional_choice("type", TYPES)?.unwrap_or("app");
        let essential = ["snapd", "kernel", "gadget"].contains(&kind) || name == self.base;
        let presence = snap.optional_choice("presence", PRESENCES)?;
        if essential && presence.is_some() {
            let why = "essential snaps are always present";
            return Err(snap.error("presence", HeaderProblem::NotAllowed(why)));
        }
        let modes = check_modes(snap, essential)?;
        check_channel(snap)?;
        if snap.bool("classic")? {
            self.check_classic_snap(snap, kind, &modes)?;
        }
        check_components(snap, &modes)?;
        Ok(Snap { name, id, kind })
    }

    fn check_classic_snap(&self, snap: Fields<'_>, kind: &str, modes: &[&str]) -> Result<(), HeaderError> {
        let why = if !self.classic {
            "only classic models have classic snaps"
        } else if kind != "app" {
            "only snaps of type app can be classic"
        } else if modes != [RUN_MODE] {
            "classic snaps are available only in run mode"
        } else {
            return Ok(());
        };
        Err(snap.error("classic", HeaderProblem::NotAllowed(why)))
    }
}

/// Returns the modes in which a snap is available.
fn check_modes<'a>(snap: Fields<'a>, essential: bool) -> Result<Vec<&'a str>, HeaderError> {
    let modes = snap.strings("modes", Some(SNAP_MODE))?;
    match (essential, modes.is_empty()) {
        (true, false) => {
            let why = "essential snaps are available in all modes";
            Err(snap.error("modes", HeaderProblem::NotAllowed(why)))
        }
        (true, true) => Ok(vec![RUN_MODE, "ephemeral"]),
        (false, true) => Ok(vec![RUN_MODE]),
        (false, false) => Ok(modes),
    }
}

/// Checks `default-channel`: `track`, `track/risk` or `track/risk/branch`.
fn check_channel(snap: Fields<'_>) -> Result<(), HeaderError> {
    let Some(channel) = snap
        .optional_str("default-channel")?
        .filter(|text| !text.is_empty())
    else {
        return Ok(());
    };
    let parts: Vec<&str> = channel.split('/').collect();
    let valid = match parts.as_slice() {
        [track] => !RISKS.contains(track),
        [track, risk] => !RISKS.contains(track) && !track.is_empty() && RISKS.contains(risk),
        [track, risk, branch] => !track.is_empty() && RISKS.contains(risk) && !branch.is_empty(),
        _ => false,
    };
    match valid {
        true => Ok(()),
        false => {
            let what = "track, track/risk or track/risk/branch, such as 24/stable";
            Err(snap.error("default-channel", HeaderProblem::MustBe(what)))
        }
    }
}

fn check_components(snap: Fields<'_>, snap_modes: &[&str]) -> Result<(), HeaderError> {
    let components = match snap.get("components") {
        None => return Ok(()),
        Some(Value::Map(components)) => components,
        Some(_) => return Err(snap.error("components", HeaderProblem::MustBe("a map"))),
    };
    for (name, component) in components.iter() {
        let field = format!("components.{name}");
        if !SNAP_NAME.allows(name) {
            return Err(snap.error(&field, SNAP_NAME.broken_by(name)));
        }
        match component {
            Value::String(presence) if PRESENCES.split('|').any(|known| known == presence) => {}
            Value::Map(entries) => {
                let path = snap.path_of(&field);
                check_component(Fields::nested(entries, &path), entries, snap_modes)?;
            }
            _ => {
                let what = "\"required\", \"optional\" or a map";
                return Err(snap.error(&field, HeaderProblem::MustBe(what)));
            }
        }
    }
    Ok(())
}

fn check_component(component: Fields<'_>, entries: &Headers, snap_modes: &[&str]) -> Result<(), HeaderError> {
    for (name, _) in entries.iter() {
        if !["presence", "modes"].contains(&name) {
            return Err(component.error(name, HeaderProblem::NotAllowed("snapd does not know it")));
        }
    }
    component.str("presence")?;
    component.optional_choice("presence", PRESENCES)?;
    let modes = component.strings("modes", Some(SNAP_MODE))?;
    match modes.iter().find(|mode| !snap_modes.contains(mode)) {
        None => Ok(()),
        Some(mode) => {
            let problem = HeaderProblem::ModeOfSnapMissing((*mode).to_owned());
            Err(component.error("modes", problem))
        }
    }
}
