//! Calls of snapctl.

use super::{Call, Value};
use crate::snap::shell::UNKNOWN;

/// A call that changes the snap's configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Snapctl {
    Set {
        /// The options that get a value, and their values.
        options: Vec<(String, Value)>,
        /// The options that `set NAME!` removes.
        removed: Vec<String>,
        /// True with `-s` or `-t`: the value is not guessed to be JSON.
        is_typed: bool,
    },
    Unset(Vec<String>),
}

impl Snapctl {
    /// Returns `None` for calls of other programs and for other commands of snapctl.
    pub(super) fn of(call: &Call) -> Option<Self> {
        if call.program.rsplit('/').next() != Some("snapctl") {
            return None;
        }
        let (command, rest) = call.arguments.split_first()?;
        let (flags, words): (Vec<&Value>, Vec<&Value>) = rest
            .iter()
            .partition(|word| word.text().starts_with('-') && word.is_known());
        match command.text() {
            "unset" => Some(Snapctl::Unset(
                words.iter().map(|word| word.text().to_owned()).collect(),
            )),
            // Attributes of plugs and slots are not options.
            "set" if !words.first().is_some_and(|word| word.text().starts_with(':')) => {
                let mut flags = flags.iter();
                let is_typed = flags.any(|flag| flag.text().contains(['s', 't']));
                Some(Snapctl::set(&words, is_typed))
            }
            _ => None,
        }
    }

    fn set(words: &[&Value], is_typed: bool) -> Self {
        let mut options = Vec::new();
        let mut removed = Vec::new();
        for word in words {
            match word.text().split_once('=') {
                Some((name, _)) => options.push((name.to_owned(), value_of(word))),
                None if word.text().ends_with('!') => {
                    removed.push(word.text().trim_end_matches('!').to_owned());
                }
                // The name is in the part that is not known.
                None => options.push((word.text().to_owned(), Value::partly_known(UNKNOWN))),
            }
        }
        Snapctl::Set {
            options,
            removed,
            is_typed,
        }
    }

    /// Returns true if the call sets the option, or may set it.
    pub(super) fn sets(&self, option: &str) -> bool {
        match self {
            Snapctl::Set { options, .. } => options.iter().any(|(name, _)| covers(name, option)),
            Snapctl::Unset(_) => false,
        }
    }

    /// Returns true if the call removes the option, or may remove it.
    pub(super) fn unsets(&self, option: &str) -> bool {
        let names = match self {
            Snapctl::Set { removed, .. } => removed,
            Snapctl::Unset(names) => names,
        };
        names.iter().any(|name| covers(name, option))
    }
}

fn value_of(word: &Value) -> Value {
    let (_, value) = word.text().split_once('=').unwrap_or_default();
    match word.is_known() || !value.contains(UNKNOWN) {
        true => Value::known(value),
        false => Value::partly_known(value),
    }
}

/// Returns true if `name` is the option or an option that contains it. A name that is not known can
/// be either.
fn covers(name: &str, option: &str) -> bool {
    let rest = option.strip_prefix(name);
    name.contains(UNKNOWN) || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapctl(arguments: &[&str]) -> Option<Snapctl> {
        let value = |text: &&str| match text.contains(UNKNOWN) {
            true => Value::partly_known(*text),
            false => Value::known(*text),
        };
        Snapctl::of(&Call {
            script: String::new(),
            line: None,
            program: "/usr/bin/snapctl".to_owned(),
            arguments: arguments.iter().map(value).collect(),
        })
    }

    #[test]
    fn options_are_removed_by_their_names_and_those_of_their_parents() {
        let option = "registration.body";
        for arguments in [
            &["unset", "registration"][..],
            &["unset", "a", "registration.body", "b"],
            &["set", "registration!"],
            &["set", "a=b", "registration.body!"],
            &["unset", "…"],
        ] {
            assert!(snapctl(arguments).unwrap().unsets(option), "{arguments:?}");
        }
        for arguments in [
            &["unset", "registration.bod"][..],
            &["unset", "registration.body.x"],
            &["set", "registration.body=x"],
        ] {
            assert!(!snapctl(arguments).unwrap().unsets(option), "{arguments:?}");
        }
        assert_eq!(snapctl(&["get", "registration.body"]), None);
        assert_eq!(snapctl(&["set", ":plug", "registration.body=x"]), None);
    }

    #[test]
    fn options_are_set() {
        let sets = |arguments: &[&str]| snapctl(arguments).unwrap().sets("device-service.url");
        assert!(sets(&["set", "-s", "a=b", "device-service.url=…"]));
        assert!(sets(&["set", "device-service={\"url\": \"x\"}"]));
        assert!(sets(&["set", "…=x"]));
        assert!(!sets(&["set", "device-service.urls=x"]));
        let typed =
            |arguments: &[&str]| matches!(snapctl(arguments), Some(Snapctl::Set { is_typed: true, .. }));
        assert!(typed(&["set", "a=b", "-t"]) && typed(&["set", "-s", "a=b"]));
        assert!(!typed(&["set", "a=b"]) && !typed(&["set", "--", "a=b"]));
    }
}
