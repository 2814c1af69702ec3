//! Reads the settings file.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, SettingError, Settings};

/// Bytes. Far above any settings file.
const LARGEST: u64 = 64 * 1024;

/// An error, and its place in the file in bytes.
struct ErrorAt {
    offset: usize,
    problem: SettingError,
}

impl Settings {
    /// Reads the file, if it exists.
    pub(super) fn read_file(&mut self, path: &Path, errors: &mut Vec<ConfigError>) {
        let content = match files::read_text(path, LARGEST) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return,
            Err(error) => return errors.push(ConfigError::Unreadable(error)),
        };
        let mut found = Vec::new();
        match DeTable::parse(&content) {
            Ok(table) => self.set_table("", table.get_ref(), &mut found),
            Err(error) => found.push(ErrorAt {
                offset: error.span().map_or(0, |span| span.start),
                problem: SettingError::Syntax(error.message().to_owned()),
            }),
        }
        // A table is sorted by the names in it.
        found.sort_by_key(|error| error.offset);
        errors.extend(found.into_iter().map(|ErrorAt { offset, problem }| {
            let before = content.bytes().take(offset);
            ConfigError::Line {
                path: path.to_owned(),
                line: before.filter(|&byte| byte == b'\n').count() + 1,
                problem,
            }
        }));
    }

    fn set_table(&mut self, prefix: &str, table: &DeTable<'_>, errors: &mut Vec<ErrorAt>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let outcome = match value.get_ref() {
                DeValue::Table(inner) => {
                    self.set_table(&format!("{name}."), inner, errors);
                    continue;
                }
                DeValue::String(value) => self.set(&name, value),
                DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => self.set(&name, &number.to_string()),
                    // Too large for any setting.
                    Err(_) => self.set(&name, number.as_str()),
                },
                other => Err(SettingError::Type {
                    name,
                    found: other.type_str().to_owned(),
                }),
            };
            if let Err(problem) = outcome {
                let offset = key.span().start;
                errors.push(ErrorAt { offset, problem });
            }
        }
    }
}
