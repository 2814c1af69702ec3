//! The list of errors in `docs/errors.md` is made from the error types of the workspace.
//!
//! `UPDATE_ERRORS=1 cargo test -p failure` writes the file.

#![allow(clippy::unwrap_used)]

mod docs;
mod source;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Problem, Source};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

#[test]
fn every_error_has_a_code_and_advice() {
    let problems: Vec<Problem> = Source::all(&root())
        .into_iter()
        .flat_map(|source| source.problems)
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn codes_are_in_kebab_case() {
    for error in Source::all(&root()).iter().flat_map(|source| &source.errors) {
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        assert!(error.code.split('-').all(plain), "{error:?}");
    }
}

#[test]
fn a_code_has_one_advice() {
    let mut advice = BTreeMap::new();
    for error in Source::all(&root()).into_iter().flat_map(|source| source.errors) {
        let first = advice.entry(error.code.clone()).or_insert_with(|| error.clone());
        assert_eq!(first.advice, error.advice, "{first:?} {error:?}");
    }
}

#[test]
fn the_list_in_the_docs_is_up_to_date() {
    let errors: Vec<_> = Source::all(&root())
        .into_iter()
        .flat_map(|source| source.errors)
        .collect();
    assert!(errors.len() > 100, "only {} errors were found", errors.len());
    let file = root().join("docs/errors.md");
    let page = docs::page(errors);
    if env::var_os("UPDATE_ERRORS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let current = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        current == page,
        "docs/errors.md is out of date: UPDATE_ERRORS=1 cargo test -p failure"
    );
}

#[test]
fn tables_of_codes_in_the_docs_name_codes_that_exist() {
    let codes: Vec<String> = Source::all(&root())
        .into_iter()
        .flat_map(|source| source.errors)
        .map(|error| error.code)
        .collect();
    let mut found = 0;
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let file = entry.unwrap().path();
        // The findings of the linter have a test of their own.
        if file.ends_with("check-gadget.md") || file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for code in docs::codes_in_tables(&fs::read_to_string(&file).unwrap()) {
            let is_known = |known: &String| match code.ends_with('-') {
                true => known.starts_with(&code),
                false => *known == code,
            };
            assert!(
                codes.iter().any(is_known),
                "{} has `{code}`, which no error has",
                file.display()
            );
            found += 1;
        }
    }
    assert!(found > 10, "only {found} codes are in tables of the docs");
}

#[test]
fn prose_wraps_at_100_columns() {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let pages = docs.map(|entry| entry.unwrap().path());
    for file in pages.chain(["README.md", "CHANGELOG.md"].map(|name| root().join(name))) {
        let long = docs::long_lines(&fs::read_to_string(&file).unwrap());
        assert!(long.is_empty(), "{}: lines {long:?}", file.display());
    }
}
