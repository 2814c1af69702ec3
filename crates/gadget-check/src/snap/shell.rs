//! The commands of a shell script, as far as they can be read without running it.
//!
//! The grammar is tree-sitter's for bash, which also reads POSIX scripts and goes on after an error.
//! Comments, strings and here-documents are not commands; the words of a command come without their
//! quotes, and variables and substitutions in them stay recognisable.

mod collect;
mod word;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

use collect::Collector;
pub(crate) use word::{Part, UNKNOWN, Word};

/// The longest time for one script. Ordinary scripts take less than a millisecond.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// What a shell script does, in the order of the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ShellScript {
    pub(crate) steps: Vec<Step>,
    /// Paths and names whose existence the script tests: `[ -x PATH ]`, `command -v NAME`.
    pub(crate) tested: BTreeMap<String, Word>,
    /// The names of its functions.
    pub(crate) functions: BTreeSet<String>,
    /// The text without comments.
    pub(crate) code: String,
    /// True if the script was read from beginning to end without an error.
    pub(crate) complete: bool,
    /// The line where the first part with a syntax error begins.
    pub(crate) error: Option<usize>,
}

/// A part of a script that matters for the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `NAME=VALUE`, with `export` or without.
    Assign {
        name: String,
        value: Word,
        conditional: bool,
    },
    /// `exit` or `exit 0` under conditions, the outermost first. `None` is a condition that is not
    /// read.
    Exit {
        line: usize,
        conditions: Vec<Option<Condition>>,
    },
    Run(Command),
}

/// A condition with one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) test: Test,
    pub(crate) negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Such as `-z WORD`.
    Unary(String, Word),
    /// Such as `WORD = WORD`.
    Binary(Word, String, Word),
}

impl From<Test> for Condition {
    fn from(test: Test) -> Self {
        Condition { test, negated: false }
    }
}

impl Condition {
    fn negated_if(self, negate: bool) -> Self {
        Condition {
            negated: self.negated != negate,
            ..self
        }
    }
}

/// A command in command position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    /// The program and its arguments.
    pub(crate) words: Vec<Word>,
    /// Variables that are set for this command alone.
    pub(crate) variables: Vec<(String, Word)>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// True if it runs only under a condition, in a loop or in a function.
    pub(crate) conditional: bool,
}

impl ShellScript {
    /// Reads the text of a script, or of an argument of `sh -c`.
    pub(crate) fn parse(text: &str) -> Self {
        let Some(tree) = parse(text.as_bytes()) else {
            return ShellScript {
                code: text.to_owned(),
                ..ShellScript::default()
            };
        };
        let mut collector = Collector::new(text);
        let complete = collector.collect(tree.root_node());
        ShellScript {
            steps: collector.steps,
            tested: collector.tested,
            functions: collector.functions,
            code: without(text, &collector.comments),
            complete: complete && !tree.root_node().has_error(),
            error: first_error(&tree),
        }
    }

    /// Counts the lines from that of the command whose argument the text is.
    pub(crate) fn move_to_line(&mut self, first: usize) {
        for step in &mut self.steps {
            match step {
                Step::Run(Command { line, .. }) | Step::Exit { line, .. } => *line += first - 1,
                Step::Assign { .. } => {}
            }
        }
        self.error = self.error.map(|line| line + first - 1);
    }

    /// The commands, without assignments.
    #[cfg(test)]
    fn commands(&self) -> impl Iterator<Item = &Command> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(command) => Some(command),
            _ => None,
        })
    }
}

/// The text without these ranges, which are in the order of the text.
fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut position = 0;
    for range in ranges {
        rest += text.get(position..range.start).unwrap_or_default();
        position = position.max(range.end);
    }
    rest + text.get(position..).unwrap_or_default()
}

/// The line where the first part begins that is not in the grammar. The error itself can be later.
fn first_error(tree: &Tree) -> Option<usize> {
    let mut cursor = tree.walk();
    while cursor.node().has_error() && !cursor.node().is_error() {
        let has_child = cursor.goto_first_child();
        if !has_child {
            break;
        }
        while !cursor.node().has_error() && cursor.goto_next_sibling() {}
    }
    let node = cursor.node();
    node.has_error().then(|| node.start_position().row + 1)
}

fn parse(text: &[u8]) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    let deadline = Instant::now() + TIME_LIMIT;
    let mut go_on = |_: &ParseState| match Instant::now() < deadline {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut go_on);
    let mut read = |offset: usize, _| text.get(offset..).unwrap_or_default();
    parser.parse_with_options(&mut read, None, Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command as its words joined by spaces.
    fn commands(text: &str) -> Vec<String> {
        ShellScript::parse(text)
            .commands()
            .map(Command::to_string)
            .collect()
    }

    impl std::fmt::Display for Command {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let words: Vec<&str> = self.words.iter().map(Word::text).collect();
            f.write_str(&words.join(" "))
        }
    }

    #[test]
    fn commands_are_what_runs() {
        for (text, expected) in [
            ("# a\necho b # c\n", &["echo b"][..]),
            ("a && b || c; d | e &\n", &["a", "b", "c", "d", "e"]),
            (
                "if a; then b; elif c; then d; else e; fi",
                &["a", "b", "c", "d", "e"],
            ),
            (
                "while a; do b; done; for x in 1 2; do c $x; done",
                &["a", "b", "c $x"],
            ),
            ("case $1 in a) b;; *) c;; esac", &["b", "c"]),
            ("f() { a; }; f", &["a", "f"]),
            ("( a ); { b; }; ! c", &["a", "b", "c"]),
            ("a $(b c) `d` \"$(e)\"", &["a … … …", "b c", "d", "e"]),
            ("x=$(a)\n", &["a"]),
            ("cat <<EOF\nno $(a)\nEOF\nb", &["cat", "a", "b"]),
            ("cat <<'EOF'\nno $(a)\nEOF\n", &["cat"]),
            (
                "snapctl unset \\\n  registration.body\n",
                &["snapctl unset registration.body"],
            ),
            ("A=1 B=$C a <in >out 2>&1", &["a"]),
            ("exec >>log 2>&1\nexec a \"$@\"\n", &["exec", "exec a $@"]),
        ] {
            assert_eq!(commands(text), expected, "{text}");
            assert!(ShellScript::parse(text).complete, "{text}");
        }
    }

    #[test]
    fn words_come_without_quotes() {
        let script =
            ShellScript::parse(r#"a 'it'"'"'s' a\ b "x\"y$Z" "$SNAP"/b ${SNAP}/c $'d\n' "{\"k\":1}""#);
        let words: Vec<&str> = script
            .commands()
            .next()
            .unwrap()
            .words
            .iter()
            .map(Word::text)
            .collect();
        assert_eq!(
            words,
            [
                "a",
                "it's",
                "a b",
                "x\"y$Z",
                "$SNAP/b",
                "${SNAP}/c",
                "d\n",
                "{\"k\":1}"
            ]
        );
    }

    #[test]
    fn a_dollar_in_single_quotes_is_no_variable() {
        let script = ShellScript::parse("a '$SNAP/b' \\$SNAP \"\\$SNAP\" $SNAP");
        let is_literal = |word: &Word| matches!(word.parts(), [Part::Text(_)]);
        let literal: Vec<bool> = script
            .commands()
            .next()
            .unwrap()
            .words
            .iter()
            .map(is_literal)
            .collect();
        assert_eq!(literal, [true, true, true, true, false]);
    }

    #[test]
    fn assignments_keep_their_place() {
        let script = ShellScript::parse("A=$SNAP/bin; export B=\"x\" C; D=1 a");
        let names: Vec<String> = script
            .steps
            .iter()
            .map(|step| match step {
                Step::Assign { name, value, .. } => format!("{name}={}", value.text()),
                Step::Exit { line, .. } => format!("exit {line}"),
                Step::Run(command) => {
                    let (name, value) = &command.variables[0];
                    format!("{name}={} {command}", value.text())
                }
            })
            .collect();
        assert_eq!(names, ["A=$SNAP/bin", "B=x", "D=1 a"]);
    }

    #[test]
    fn existence_tests_are_known() {
        let text =
            "[ -x \"$SNAP/bin/a\" ] && b; if test -f $C; then d; fi; [[ -e e ]]; command -v f; [ -z g ]";
        let tested = ShellScript::parse(text).tested;
        assert_eq!(
            tested.into_keys().collect::<Vec<_>>(),
            ["$C", "$SNAP/bin/a", "e", "f"]
        );
    }

    #[test]
    fn what_cannot_be_reached_is_left_out() {
        assert_eq!(commands("a\nexit 0\nb"), ["a", "exit 0"]);
        assert_eq!(commands("exec a\nb"), ["exec a"]);
        assert_eq!(commands("(exit 0)\nx=$(exit)\nb"), ["exit 0", "exit", "b"]);
    }

    #[test]
    fn an_exit_comes_with_its_conditions() {
        let exits = |text: &str| -> Vec<(usize, String)> {
            let steps = ShellScript::parse(text).steps.into_iter();
            let exits = steps.filter_map(|step| match step {
                Step::Exit { line, conditions } => Some((line, describe(&conditions))),
                _ => None,
            });
            exits.collect()
        };
        fn describe(conditions: &[Option<Condition>]) -> String {
            let texts = conditions.iter().map(|condition| match condition {
                Some(Condition {
                    test: Test::Unary(operator, word),
                    negated,
                }) => {
                    format!("{}{operator} {}", if *negated { "!" } else { "" }, word.text())
                }
                Some(Condition {
                    test: Test::Binary(left, operator, right),
                    negated,
                }) => {
                    let (left, right) = (left.text(), right.text());
                    format!("{}{left} {operator} {right}", if *negated { "!" } else { "" })
                }
                None => "?".to_owned(),
            });
            texts.collect::<Vec<_>>().join(", ")
        }
        for (text, expected) in [
            ("if [ -z \"$A\" ]; then\n exit 0\nfi", "-z $A"),
            ("[ -n \"$A\" ] || exit", "!-n $A"),
            ("test -x \"$A\" && exit 0", "-x $A"),
            ("if [ ! -e a ]; then exit 0; fi", "!-e a"),
            ("if ! [ -e a ]; then exit 0; fi", "!-e a"),
            ("if [ \"$A\" = b ]; then if c; then exit; fi; fi", "$A = b, ?"),
            ("if [ a != b ]; then c; else exit; fi", "!a != b"),
            ("case $1 in a) exit 0;; esac", "?"),
            ("for x in a; do exit; done", "?"),
            ("while [ -z \"$A\" ]; do exit; done", "?"),
            ("if [ -z $A ]; then b; elif c; then d; else exit; fi", "?"),
            (
                "if [ -z $A ]; then b; elif [ -n $C ]; then exit; fi",
                "!-z $A, -n $C",
            ),
        ] {
            let exits = exits(text);
            assert_eq!(exits.len(), 1, "{text}");
            assert_eq!(exits[0].1, expected, "{text}");
        }
        for text in [
            "a || exit 1",
            "(exit 0)",
            "f() { exit 0; }",
            "a | exit",
            "x=$(exit 0)",
        ] {
            assert!(exits(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn comments_are_not_code() {
        let script = ShellScript::parse("#!/bin/sh\na # b\n# c\nd '# e'");
        assert_eq!(script.code, "\na \n\nd '# e'");
    }

    #[test]
    fn hostile_scripts_end_in_time() {
        for text in [
            "$(".repeat(400_000),
            "{ ".repeat(400_000),
            "if x; then ".repeat(90_000),
            "\"$(".repeat(300_000),
            "`\\`".repeat(300_000),
            "cat <<EOF\n".repeat(100_000),
            "((((((((((".repeat(100_000),
            "a=(".repeat(300_000),
            "[[ ".repeat(300_000),
        ] {
            assert!(!ShellScript::parse(&text).complete, "{}", text.get(..9).unwrap());
        }
        // One long word is a command.
        assert!(ShellScript::parse(&"\u{fffd}".repeat(300_000)).complete);
    }

    #[test]
    fn a_script_with_an_error_is_read_as_far_as_possible() {
        let script = ShellScript::parse("a\nif ; then\nb c\n");
        assert!(!script.complete);
        assert_eq!(script.error, Some(1));
        assert_eq!(ShellScript::parse("a\nb\n").error, None);
        assert_eq!(script.commands().next().unwrap().to_string(), "a");
    }
}
