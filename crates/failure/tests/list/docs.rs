//! The page `docs/errors.md`, and the codes in tables of other pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::source::ErrorEntry;

const HEAD: &str = "\
# Errors

Quick start: every failure ends in a code, `[tpm-missing]` for example. Find it below.

Each failure of the hooks, of `hardware-identity` and of `model-service` has a stable code, a cause
and advice. As text they are one line, `PROGRAM: CAUSE. ADVICE. [CODE]`. With `--json` the tool
prints them as an object: `{\"code\": …, \"cause\": …, \"advice\": …}`. Scripts match codes: the
wording can change. Names in braces are replaced by values.

This page is made from the error types: `UPDATE_ERRORS=1 cargo test -p failure`. The findings of
`check-gadget` are in [check-gadget.md](check-gadget.md).
";

/// The page with all errors, sorted by code.
pub(crate) fn page(errors: Vec<ErrorEntry>) -> String {
    let mut by_code: BTreeMap<String, (BTreeSet<String>, String)> = BTreeMap::new();
    for error in errors {
        let (causes, advice) = by_code.entry(error.code).or_default();
        causes.insert(error.cause);
        *advice = error.advice;
    }
    let mut page = HEAD.to_owned();
    for (code, (causes, advice)) in by_code {
        write!(page, "\n## {code}\n\n").unwrap();
        for cause in causes {
            writeln!(page, "{}", wrapped(&format!("- {}", escaped(&cause)), "  ")).unwrap();
        }
        writeln!(page, "\n{}", wrapped(&format!("{}.", escaped(&advice)), "")).unwrap();
    }
    page
}

/// Angle brackets and asterisks would be markup.
fn escaped(text: &str) -> String {
    text.replace("{0}", "{…}").replace('<', "\\<").replace('*', "\\*")
}

fn wrapped(text: &str, indent: &str) -> String {
    textwrap::fill(
        text,
        textwrap::Options::new(100)
            .subsequent_indent(indent)
            .break_words(false),
    )
}

/// The codes in the first column of tables that begin with the column `code`. A prefix of codes, such
/// as `stream-`, ends with a dash.
pub(crate) fn codes_in_tables(page: &str) -> Vec<String> {
    let mut codes = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let Some(cell) = line
            .strip_prefix('|')
            .and_then(|rest| rest.split('|').next())
            .map(str::trim)
        else {
            in_table = false;
            continue;
        };
        match cell {
            _ if cell.starts_with("code") => in_table = true,
            // Every other part is between backquotes.
            _ if in_table => codes.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned)),
            _ => {}
        }
    }
    codes
}

/// The lines of prose that are longer than 100 columns, counted from 1. Code and tables may be longer.
pub(crate) fn long_lines(page: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut long = Vec::new();
    for (number, line) in page.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        let is_prose = !in_code && !line.starts_with('|') && line.contains(' ');
        if is_prose && line.chars().count() > 100 {
            long.push(number + 1);
        }
    }
    long
}
