//! Values of words in scripts, as far as they are known without running the script.

use std::path::Path;

use crate::snap::environment::Environment;
use crate::snap::shell::{Part, UNKNOWN, Word};

/// The number of values that are followed.
const MAX_VALUES: usize = 8;
/// Bytes of a value. What is longer grows from variables, or is data.
const MAX_VALUE: usize = 16 << 10;
/// Words of a command.
const MAX_WORDS: usize = 1000;

/// The value of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// One value, or several if a variable in it can have several. `…` replaces unknown parts.
    texts: Vec<String>,
    is_known: bool,
}

impl Value {
    pub(crate) fn known(text: impl Into<String>) -> Self {
        Value {
            texts: vec![text.into()],
            is_known: true,
        }
    }

    /// A value of which `…` in the text is not known.
    pub(crate) fn partly_known(text: impl Into<String>) -> Self {
        Value {
            is_known: false,
            ..Value::known(text)
        }
    }

    /// The value with `…` for unknown parts; if there are several, the last.
    pub(crate) fn text(&self) -> &str {
        self.texts.last().map_or("", String::as_str)
    }

    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns true if the value is known.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The only value, if it is known.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.texts.as_slice() {
            [text] if self.is_known => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, text: &str) {
        if self
            .texts
            .iter()
            .any(|value| value.len() + text.len() > MAX_VALUE)
        {
            return self.cut();
        }
        self.texts.iter_mut().for_each(|value| value.push_str(text));
    }

    /// Marks the rest of a long value as unknown.
    fn cut(&mut self) {
        self.is_known = false;
        let whole = self.texts.iter_mut().filter(|value| !value.ends_with(UNKNOWN));
        whole.for_each(|value| value.push(UNKNOWN));
    }

    fn push_unknown(&mut self) {
        self.is_known = false;
        self.push(&UNKNOWN.to_string());
    }

    /// Appends one of several texts.
    fn push_any(&mut self, texts: &[String]) {
        match texts {
            [] => self.push_unknown(),
            [text] => self.push(text),
            _ if self
                .texts
                .iter()
                .chain(texts)
                .any(|text| text.len() > MAX_VALUE / 2) =>
            {
                self.push_unknown()
            }
            _ => {
                let each = self
                    .texts
                    .iter()
                    .flat_map(|value| texts.iter().map(move |text| format!("{value}{text}")));
                self.texts = each.take(MAX_VALUES).collect();
            }
        }
    }
}

/// What the words of a script are expanded with.
pub(super) struct Scope<'a> {
    pub(super) environment: &'a Environment,
    /// The path of the script in the snap.
    pub(super) script: &'a str,
    pub(super) arguments: &'a [Value],
}

impl Scope<'_> {
    /// The values of words. `"$@"` becomes the arguments of the script.
    pub(super) fn words(&self, words: &[Word]) -> Vec<Value> {
        let values = words.iter().flat_map(|word| match word.parts() {
            [Part::Variable(name)] if name == "@" || name == "*" => self.arguments.to_vec(),
            _ => vec![self.word(word)],
        });
        values.take(MAX_WORDS).collect()
    }

    pub(super) fn word(&self, word: &Word) -> Value {
        let mut value = Value::known("");
        for part in word.parts() {
            match part {
                Part::Text(text) => value.push(text),
                Part::Variable(reference) => value.push_any(&self.variable(reference)),
                Part::Substitution(source) => match self.substitution(source) {
                    Some(text) => value.push(&text),
                    None => value.push_unknown(),
                },
            }
        }
        value
    }

    /// The values of `$REFERENCE` or `${REFERENCE}`; none if they are not known.
    fn variable(&self, reference: &str) -> Vec<String> {
        let end = reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, operator) = reference.split_at(end.unwrap_or(reference.len()));
        let values = self.values(name);
        let all = |map: fn(&str) -> String| values.iter().map(|value| map(value)).collect();
        let other = |text: &str| vec![self.environment.expand(text)];
        match operator {
            "" | "[0]" => values,
            "%/*" => all(|value| directory(value).to_owned()),
            "##*/" => all(|value| value.rsplit('/').next().unwrap_or_default().to_owned()),
            _ => match operator.trim_start_matches(':').split_at_checked(1) {
                Some(("-" | "=", text)) if values.is_empty() => other(text),
                Some(("+", text)) if !values.is_empty() => other(text),
                Some(("+", _)) => vec![String::new()],
                Some(("-" | "=" | "?", _)) => values,
                _ => Vec::new(),
            },
        }
    }

    fn values(&self, name: &str) -> Vec<String> {
        match name.parse::<usize>() {
            Ok(0) => vec![self.environment.on_device(self.script)],
            Ok(number) => {
                let argument = self.arguments.get(number - 1).and_then(Value::only);
                argument.map(str::to_owned).into_iter().collect()
            }
            Err(_) if name == "BASH_SOURCE" => self.values("0"),
            Err(_) => {
                let all = self.environment.all(name).iter();
                all.map(|value| value.to_string()).collect()
            }
        }
    }

    /// The directory or path of the script, in one of the usual forms.
    fn substitution(&self, source: &str) -> Option<String> {
        let path = self.environment.on_device(self.script);
        let plain: String = source
            .chars()
            .filter(|character| !"\"'{}[]`$()".contains(*character))
            .collect();
        let plain = plain.replace("BASH_SOURCE0", "0").replace("BASH_SOURCE", "0");
        let words: Vec<&str> = plain
            .split_ascii_whitespace()
            .filter(|word| !matches!(*word, "--" | "-f" | "-e"))
            .collect();
        match words.as_slice() {
            ["readlink" | "realpath", "0"] => Some(path),
            ["dirname", "0"]
            | ["dirname", "readlink" | "realpath", "0"]
            | ["readlink" | "realpath", "dirname", "0"]
            | ["cd", "dirname", "0", "&&", "pwd"] => Some(directory(&path).to_owned()),
            _ => None,
        }
    }
}

fn directory(path: &str) -> &str {
    Path::new(path)
        .parent()
        .and_then(Path::to_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snap::shell::{ShellScript, Step};

    fn values(words: &str) -> Vec<String> {
        let mut environment = Environment::of(&serde_saphyr::from_str("name: pc\n").unwrap());
        environment.set("A", vec!["1".to_owned(), "2".to_owned()], false);
        environment.set("E", vec![String::new()], false);
        let scope = Scope {
            environment: &environment,
            script: "meta/hooks/configure",
            arguments: &[Value::known("x"), Value::partly_known("…")],
        };
        let script = ShellScript::parse(&format!("a {words}"));
        let Some(Step::Run(command)) = script.steps.into_iter().next() else {
            return Vec::new();
        };
        let values = scope.words(&command.words[1..]);
        values
            .iter()
            .map(|value| {
                format!(
                    "{}{}",
                    value.texts.join("|"),
                    if value.is_known { "" } else { "?" }
                )
            })
            .collect()
    }

    #[test]
    fn variables_are_replaced_as_far_as_they_are_known() {
        const HOOKS: &str = "/snap/pc/current/meta/hooks";
        for (words, expected) in [
            ("\"$SNAP/b\"'$SNAP' \\$SNAP", "/snap/pc/current/b$SNAP $SNAP"),
            ("$NONE x$(date)y `date`", "…? x…y? …?"),
            ("\"$@\" $1 $2 ${1}", "x …? x …? x"),
            ("$A/$A ${A}b", "1/1|1/2|2/1|2/2 1b|2b"),
            (
                "${NONE:-d} ${NONE-$SNAP} ${SNAP_NAME:-d}",
                "d /snap/pc/current pc",
            ),
            ("x${NONE:+:$NONE} x${SNAP_NAME:+:$SNAP_NAME}", "x x:pc"),
            (
                "${0%/*} $(dirname \"$0\") \"$(dirname \"$(readlink -f \"$0\")\")/a\"",
                &format!("{HOOKS} {HOOKS} {HOOKS}/a"),
            ),
            ("$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)", HOOKS),
            ("${0##*/} ${NONE%/*} ${SNAP_NAME:?no}", "configure …? pc"),
        ] {
            assert_eq!(values(words).join(" "), expected, "{words}");
        }
    }
}
