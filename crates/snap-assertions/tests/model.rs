//! Checks of models: for every rule, a model that breaks only that rule, and the header that the
//! error names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, changed, expect, text};
use snap_assertions::types::Model;
use snap_assertions::{DigestForm, SignError, Statement, Value};

#[test]
fn model() {
    expect(
        "model",
        &[
            (r#"{"brand-id": "other"}"#, "brand-id"),
            (r#"{"model": "Edge"}"#, "model"),
            (r#"{"classic": "yes"}"#, "classic"),
            (r#"{"gadget": "pc"}"#, "gadget"),
            (r#"{"kernel": "pc-kernel"}"#, "kernel"),
            (r#"{"required-snaps": ["a-snap"]}"#, "required-snaps"),
            (r#"{"distribution": "ubuntu"}"#, "distribution"),
            (r#"{"architecture": null}"#, "architecture"),
            (r#"{"base": null}"#, "base"),
            (r#"{"base": "Core"}"#, "base"),
            (r#"{"store": ["a"]}"#, "store"),
            (r#"{"display-name": ["a"]}"#, "display-name"),
            (r#"{"grade": "great"}"#, "grade"),
            (r#"{"storage-safety": "none"}"#, "storage-safety"),
            (
                r#"{"grade": "secured", "storage-safety": "prefer-encrypted"}"#,
                "storage-safety",
            ),
            (r#"{"grade": "secured", "storage-safety": "encrypted"}"#, ""),
            (r#"{"serial-authority": "*"}"#, "serial-authority"),
            (r#"{"serial-authority": ["UPPER"]}"#, "serial-authority[0]"),
            (r#"{"serial-authority": ["generic"]}"#, ""),
            (r#"{"system-user-authority": "*"}"#, ""),
            (r#"{"system-user-authority": "all"}"#, "system-user-authority"),
            (r#"{"preseed-authority": "*"}"#, "preseed-authority"),
            (r#"{"timestamp": null}"#, "timestamp"),
            (r#"{"snaps": "pc"}"#, "snaps"),
            (r#"{"snaps": null}"#, "grade"),
            (r#"{"snaps": null, "grade": null}"#, "gadget"),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc=24", "kernel": "pc-kernel"}"#,
                "",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc=24/stable", "kernel": "pc-kernel"}"#,
                "gadget",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "pc-kernel=edge"}"#,
                "kernel",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "P"}"#,
                "kernel",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "pc-kernel", "required-snaps": ["a"]}"#,
                "required-snaps[0]",
            ),
            (r#"{"snaps": null, "grade": null, "classic": "true"}"#, "base"),
            (
                r#"{"snaps": null, "grade": null, "classic": "true", "base": null}"#,
                "",
            ),
            (
                r#"{"snaps": null, "grade": null, "classic": "true", "base": null, "kernel": "k"}"#,
                "kernel",
            ),
            (r#"{"classic": "true"}"#, "distribution"),
            (r#"{"classic": "true", "distribution": "ubuntu"}"#, ""),
            (r#"{"classic": "true", "distribution": "Ubuntu"}"#, "distribution"),
            (r#"{"validation-sets": "a"}"#, "validation-sets"),
            (r#"{"validation-sets": ["a"]}"#, "validation-sets[0]"),
            (
                r#"{"validation-sets": [{"name": "a_b", "mode": "enforce"}]}"#,
                "validation-sets[0].name",
            ),
            (
                r#"{"validation-sets": [{"name": "a"}]}"#,
                "validation-sets[0].mode",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "x"}]}"#,
                "validation-sets[0].mode",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "enforce", "sequence": "0"}]}"#,
                "validation-sets[0].sequence",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "enforce"}, {"name": "a", "mode": "enforce", "account-id": "brand-acme"}]}"#,
                "validation-sets[1].name",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "prefer-enforce", "sequence": "3"}]}"#,
                "",
            ),
        ],
    );
}

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The header that is wrong if the model also lists the snap `extra`.
fn wrong_snap(extra: &str, change: &str) -> Result<(), String> {
    let given = Statement::from_json(&text("model.json")).unwrap();
    let snap: Value = serde_json::from_str(extra).unwrap();
    let mut snaps = given.headers.get("snaps").unwrap().as_list().unwrap().to_vec();
    snaps.push(snap);
    let mut statement = changed("model", change);
    statement.headers.set("snaps", Value::List(snaps)).unwrap();
    match statement.content(assertion("model").sign_key_id(), DigestForm::Text) {
        Ok(_) => Ok(()),
        Err(SignError::Header(error)) => Err(error.header),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn snaps_of_a_model() {
    for (extra, header) in [
        (r#"NAME, "id": "ID""#, ""),
        (r#"NAME"#, "snaps[3].id"),
        (r#"NAME, "id": "short""#, "snaps[3].id"),
        (r#""name": "A", "id": "ID""#, "snaps[3].name"),
        (r#""name": "pc", "id": "ID""#, "snaps"),
        (r#"NAME, "id": "UqFziVZDHLSyO3TqSWgNBoAdHbLI4dAH""#, "snaps"),
        (r#"NAME, "id": "ID", "type": "gadget""#, "snaps"),
        (r#"NAME, "id": "ID", "type": "os""#, "snaps[3].type"),
        (r#"NAME, "id": "ID", "type": "snapd""#, ""),
        (
            r#"NAME, "id": "ID", "type": "snapd", "presence": "required""#,
            "snaps[3].presence",
        ),
        (
            r#"NAME, "id": "ID", "type": "snapd", "modes": ["run"]"#,
            "snaps[3].modes",
        ),
        (r#"NAME, "id": "ID", "presence": "maybe""#, "snaps[3].presence"),
        (r#"NAME, "id": "ID", "modes": ["Run"]"#, "snaps[3].modes[0]"),
        (r#"NAME, "id": "ID", "modes": "run""#, "snaps[3].modes"),
        (
            r#"NAME, "id": "ID", "default-channel": "stable""#,
            "snaps[3].default-channel",
        ),
        (
            r#"NAME, "id": "ID", "default-channel": "24/foo""#,
            "snaps[3].default-channel",
        ),
        (r#"NAME, "id": "ID", "default-channel": "24/edge/fix""#, ""),
        (
            r#"NAME, "id": "ID", "default-channel": "24/edge/fix/1""#,
            "snaps[3].default-channel",
        ),
        (r#"NAME, "id": "ID", "default-channel": "24""#, ""),
        (r#"NAME, "id": "ID", "classic": "true""#, "snaps[3].classic"),
        (r#"NAME, "id": "ID", "components": "c""#, "snaps[3].components"),
        (r#"NAME, "id": "ID", "components": {"comp": "optional"}"#, ""),
        (
            r#"NAME, "id": "ID", "components": {"comp": "x"}"#,
            "snaps[3].components.comp",
        ),
        (
            r#"NAME, "id": "ID", "components": {"c": "optional"}"#,
            "snaps[3].components.c",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"modes": ["run"]}}"#,
            "snaps[3].components.comp.presence",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"presence": "optional", "x": "y"}}"#,
            "snaps[3].components.comp.x",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"presence": "optional", "modes": ["recover"]}}"#,
            "snaps[3].components.comp.modes",
        ),
    ] {
        let extra = format!(
            "{{{}}}",
            extra.replace("NAME", r#""name": "app""#).replace("ID", ID)
        );
        let expected = if header.is_empty() {
            Ok(())
        } else {
            Err(header.to_owned())
        };
        assert_eq!(wrong_snap(&extra, "{}"), expected, "{extra}");
    }
    let app = |extra: &str| format!(r#"{{"name": "app", "id": "{ID}", "classic": "true"{extra}}}"#);
    let classic = r#"{"classic": "true", "distribution": "ubuntu"}"#;
    assert_eq!(wrong_snap(&app(""), classic), Ok(()));
    assert_eq!(
        wrong_snap(&app(r#", "modes": ["recover"]"#), classic),
        Err("snaps[3].classic".into())
    );
    assert_eq!(
        wrong_snap(&app(r#", "type": "base""#), classic),
        Err("snaps[3].classic".into())
    );
    // A model of grade dangerous may list snaps without an id.
    assert_eq!(
        wrong_snap(r#"{"name": "app"}"#, r#"{"grade": "dangerous"}"#),
        Ok(())
    );
    // snapd knows the snap ids of the bases up to core24.
    assert_eq!(
        wrong_snap(
            r#"{"name": "app"}"#,
            r#"{"grade": "dangerous", "base": "core26"}"#
        ),
        Ok(())
    );
    let app = format!(r#"{{"name": "app", "id": "{ID}"}}"#);
    assert_eq!(wrong_snap(&app, r#"{"base": "core26"}"#), Err("snaps".into()));
    assert_eq!(wrong_snap(&app, r#"{"base": "core22"}"#), Ok(()));
}

#[test]
fn essential_snaps_must_be_listed() {
    for (kept, classic, fine) in [
        (&["gadget"][..], false, false),
        (&["kernel"], false, false),
        (&["gadget", "kernel"], false, true),
        (&[], true, true),
        (&["gadget"], true, true),
        (&["kernel"], true, false),
    ] {
        let mut statement = changed("model", "{}");
        let snaps = statement.headers.get("snaps").unwrap().as_list().unwrap().iter();
        let kind = |snap: &Value| {
            snap.as_map()
                .unwrap()
                .get_str("type")
                .unwrap_or_default()
                .to_owned()
        };
        let snaps = snaps
            .filter(|snap| kept.contains(&kind(snap).as_str()))
            .cloned()
            .collect();
        statement.headers.set("snaps", Value::List(snaps)).unwrap();
        if classic {
            statement.headers.set("classic", "true").unwrap();
            statement.headers.set("distribution", "ubuntu").unwrap();
        }
        let result = Model::check(&statement.headers);
        assert_eq!(result.is_ok(), fine, "{kept:?} classic: {classic}: {result:?}");
    }
}
