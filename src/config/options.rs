//! Reads the options in the snap's configuration.

use serde_json::Value;

use super::{ConfigError, OPTION, SettingError, Settings};
use crate::quote::shortened;

impl Settings {
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
            Value::String(value) => self.set(name, value),
            // `snap set` without -s turns what looks like a number into one.
            Value::Number(number) if !number.is_f64() => self.set(name, &number.to_string()),
            other => Err(SettingError::Type {
                name: name.to_owned(),
                found: shortened(&other.to_string()),
            }),
        };
        if let Err(problem) = outcome {
            errors.push(ConfigError::Option {
                option: option.to_owned(),
                problem,
            });
        }
    }
}
