//! Walks the settings file and the snap's configuration, and hands each setting on under its name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::value::shortened;
use super::{ConfigError, OPTION, Settings};

/// Far above any settings file.
const LARGEST: u64 = 64 * 1024;

/// What is wrong in a settings file, and how many bytes into it.
struct Misplaced {
    offset: usize,
    problem: String,
}

impl Settings {
    /// Reads the file, if there is one.
    pub(super) fn read_file(&mut self, path: &Path, errors: &mut Vec<ConfigError>) {
        let text = match File::open(path).and_then(read_limited) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(reason) => {
                let path = path.to_owned();
                return errors.push(ConfigError::Unreadable { path, reason });
            }
        };
        let mut misplaced = Vec::new();
        match DeTable::parse(&text) {
            Ok(table) => self.set_table("", table.get_ref(), &mut misplaced),
            Err(error) => misplaced.push(Misplaced {
                offset: error.span().map_or(0, |span| span.start),
                problem: error.message().to_owned(),
            }),
        }
        // The tables come in the order of their names.
        misplaced.sort_by_key(|misplaced| misplaced.offset);
        errors.extend(
            misplaced
                .into_iter()
                .map(|Misplaced { offset, problem }| ConfigError::Line {
                    path: path.to_owned(),
                    line: text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1,
                    problem,
                }),
        );
    }

    fn set_table(&mut self, prefix: &str, table: &DeTable<'_>, misplaced: &mut Vec<Misplaced>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let outcome = match value.get_ref() {
                DeValue::Table(inner) => {
                    self.set_table(&format!("{name}."), inner, misplaced);
                    continue;
                }
                DeValue::String(text) => self.set(&name, text),
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .map_err(|error| error.to_string())
                    .and_then(|number| self.set(&name, &number.to_string())),
                other => Err(format!(
                    "expected a text in quotes, not this kind of value: {}",
                    other.type_str()
                )),
            };
            if let Err(problem) = outcome {
                misplaced.push(Misplaced {
                    offset: key.span().start,
                    problem: format!("`{name}`: {problem}"),
                });
            }
        }
    }

    /// Reads the options below `option`.
    pub(super) fn read_options(&mut self, option: &str, value: &Value, errors: &mut Vec<ConfigError>) {
        let name = option
            .strip_prefix(OPTION)
            .unwrap_or(option)
            .trim_start_matches('.');
        let outcome = match value {
            Value::Null => Ok(()),
            Value::Object(inner) => {
                for (key, value) in inner {
                    self.read_options(&format!("{option}.{key}"), value, errors);
                }
                Ok(())
            }
            Value::String(text) => self.set(name, text),
            // `snap set` makes a number of whatever looks like one.
            Value::Number(number) if !number.is_f64() => self.set(name, &number.to_string()),
            other => Err(format!(
                "expected a text (`snap set -s`), found {}",
                shortened(&other.to_string())
            )),
        };
        if let Err(problem) = outcome {
            errors.push(ConfigError::Option {
                option: option.to_owned(),
                problem,
            });
        }
    }
}

fn read_limited(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}
