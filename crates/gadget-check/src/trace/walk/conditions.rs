//! Conditions of an `exit`, as far as they are known before the script runs.

use super::{Frame, Walk};
use crate::snap::shell::{Condition, Test};
use crate::snap::tree::Entry;

impl Walk<'_> {
    /// Whether all conditions hold; `None` if that is not known.
    pub(super) fn holds(&self, conditions: &[Option<Condition>], frame: &Frame) -> Option<bool> {
        let mut holds = Some(true);
        for condition in conditions {
            match condition
                .as_ref()
                .and_then(|condition| self.is_met(condition, frame))
            {
                Some(false) => return Some(false),
                Some(true) => {}
                None => holds = None,
            }
        }
        holds
    }

    fn is_met(&self, condition: &Condition, frame: &Frame) -> Option<bool> {
        let scope = frame.scope();
        let met = match &condition.test {
            Test::Unary(operator, word) => {
                let value = scope.word(word);
                match operator.as_str() {
                    "-z" => value.only()?.is_empty(),
                    "-n" => !value.only()?.is_empty(),
                    "-x" | "-e" | "-f" => {
                        let path = frame.environment.in_snap(value.only()?)?;
                        self.tree.entry(path) != Entry::Missing
                    }
                    _ => return None,
                }
            }
            Test::Binary(left, operator, right) => {
                let (left, right) = (scope.word(left), scope.word(right));
                let equal = left.only()? == right.only()?;
                match operator.as_str() {
                    "=" | "==" => equal,
                    "!=" => !equal,
                    _ => return None,
                }
            }
        };
        Some(met != condition.negated)
    }
}
