//! Collects the steps of a script from its syntax tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tree_sitter::Node;

use super::{Command, Condition, Step, Test, Word};

/// Constructs within each other. Deeper ones are not looked at.
const DEEPEST: usize = 100;

/// `!` and brackets around a condition.
const MAX_NEGATIONS: usize = 8;

/// The operators of `[` that test for a file.
const FILE_TESTS: [&str; 8] = ["-e", "-f", "-x", "-r", "-s", "-d", "-L", "-h"];

pub(super) struct Collector<'a> {
    source: &'a str,
    pub(super) steps: Vec<Step>,
    /// Paths and names whose existence the script tests.
    pub(super) tested: BTreeMap<String, Word>,
    pub(super) functions: BTreeSet<String>,
    /// Bytes of the source that are comments.
    pub(super) comments: Vec<Range<usize>>,
    /// The conditions of the current place, from the outermost. `None`: one that is not read.
    conditions: Vec<Option<Condition>>,
    complete: bool,
}

/// Where in the script a node is.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    conditional: bool,
    /// True if an `exit` ends the shell of this place and not the script: in a subshell. Functions
    /// count too, since they can be called elsewhere or never.
    inner: bool,
}

impl Place {
    fn deeper(self, conditional: bool) -> Self {
        Place {
            depth: self.depth + 1,
            conditional: self.conditional || conditional,
            ..self
        }
    }

    fn within(self) -> Self {
        Place {
            inner: true,
            ..self.deeper(true)
        }
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Collector {
            source,
            steps: Vec::new(),
            tested: BTreeMap::new(),
            functions: BTreeSet::new(),
            comments: Vec::new(),
            conditions: Vec::new(),
            complete: true,
        }
    }

    /// Returns false if the script was too deep to be read as a whole.
    pub(super) fn collect(&mut self, program: Node<'_>) -> bool {
        let place = Place {
            depth: 0,
            conditional: false,
            inner: false,
        };
        let mut cursor = program.walk();
        for statement in program.named_children(&mut cursor) {
            let first = self.steps.len();
            self.node(statement, place);
            if self.ends(first) {
                break;
            }
        }
        self.complete
    }

    /// Returns true if one of the steps since `first` ends the script in any case.
    fn ends(&self, first: usize) -> bool {
        let new = self.steps.iter().skip(first);
        new.into_iter().any(|step| match step {
            Step::Run(command) if !command.conditional => command.ends_script(),
            _ => false,
        })
    }

    fn node(&mut self, node: Node<'_>, place: Place) {
        if place.depth > DEEPEST {
            self.complete = false;
            return;
        }
        match node.kind() {
            "comment" => self.comments.push(node.byte_range()),
            "heredoc_content" | "string_content" | "word" | "raw_string" => {}
            "command" => self.command(node, place),
            "variable_assignment" => self.assignment(node, place),
            "test_command" => self.test(node, place),
            "list" | "if_statement" | "elif_clause" | "while_statement" | "case_item" => {
                self.branches(node, place);
            }
            "else_clause" => self.children(node, place.deeper(true)),
            "for_statement" | "c_style_for_statement" => {
                self.conditions.push(None);
                self.children(node, place.deeper(true));
                self.conditions.pop();
            }
            "function_definition" => {
                let name = node.child_by_field_name("name").map(|name| name.byte_range());
                let name = name.and_then(|name| self.source.get(name));
                self.functions.extend(name.map(str::to_owned));
                self.children(node, place.within());
            }
            "subshell" | "command_substitution" | "process_substitution" | "pipeline" => {
                self.children(node, place.within());
            }
            _ => self.children(node, place.deeper(false)),
        }
    }

    fn children(&mut self, node: Node<'_>, place: Place) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.node(child, place);
        }
    }

    /// The first child always runs: the condition, or what is before `&&` and `||`.
    fn branches(&mut self, node: Node<'_>, place: Place) {
        let mut cursor = node.walk();
        let mut children = node.named_children(&mut cursor);
        let Some(first) = children.next() else { return };
        self.node(first, place.deeper(false));
        let condition = match node.kind() {
            "list" | "if_statement" | "elif_clause" => self.condition(first, 0),
            _ => None,
        };
        let has_elif = node
            .named_children(&mut node.walk())
            .any(|child| child.kind() == "elif_clause");
        let is_or = node.child(1).is_some_and(|operator| operator.kind() == "||");
        for child in children {
            let otherwise = is_or || matches!(child.kind(), "elif_clause" | "else_clause");
            // The conditions of all branches before have to fail.
            let is_known = !(has_elif && child.kind() == "else_clause");
            let condition = condition.clone().filter(|_| is_known);
            self.conditions
                .push(condition.map(|condition| condition.negated_if(otherwise)));
            self.node(child, place.deeper(true));
            self.conditions.pop();
        }
    }

    /// `[ … ]`, `[[ … ]]` and `test …` with one operator.
    fn condition(&self, node: Node<'_>, depth: usize) -> Option<Condition> {
        if depth > MAX_NEGATIONS {
            return None;
        }
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        let text = |node: Node<'_>| self.source.get(node.byte_range()).unwrap_or_default();
        match (node.kind(), children.as_slice()) {
            ("test_command", [inner]) => self.condition(*inner, depth + 1),
            ("negated_command", [inner]) => Some(self.condition(*inner, depth + 1)?.negated_if(true)),
            ("unary_expression", [operator, word]) if operator.kind() == "test_operator" => {
                let operator = text(*operator).to_owned();
                Some(Test::Unary(operator, Word::read(*word, self.source)).into())
            }
            ("unary_expression", [inner]) => Some(self.condition(*inner, depth + 1)?.negated_if(true)),
            ("binary_expression", [left, right]) => {
                let operator = text(left.next_sibling()?).to_owned();
                let (left, right) = (Word::read(*left, self.source), Word::read(*right, self.source));
                Some(Test::Binary(left, operator, right).into())
            }
            ("command", [name, operator, word]) if text(*name) == "test" => {
                let operator = text(*operator).to_owned();
                Some(Test::Unary(operator, Word::read(*word, self.source)).into())
            }
            _ => None,
        }
    }

    fn command(&mut self, node: Node<'_>, place: Place) {
        let mut command = Command {
            line: node.start_position().row + 1,
            conditional: place.conditional,
            ..Command::default()
        };
        let mut nested = Vec::new();
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "variable_assignment" => command.variables.extend(self.assigned(child)),
                kind if kind.ends_with("redirect") => {}
                _ => command.words.push(Word::read(child, self.source)),
            }
            nested.push(child);
        }
        self.note_test(&command);
        if command.conditional && !place.inner && command.is_exit_with_success() {
            let conditions = self.conditions.clone();
            self.steps.push(Step::Exit {
                line: command.line,
                conditions,
            });
        }
        self.steps.push(Step::Run(command));
        for child in nested {
            self.substitutions(child, place.deeper(false));
        }
    }

    /// The commands in `$(…)` and here-documents below a node.
    fn substitutions(&mut self, node: Node<'_>, place: Place) {
        match node.kind() {
            "variable_assignment" => self.children(node, place),
            _ => self.node(node, place),
        }
    }

    fn assignment(&mut self, node: Node<'_>, place: Place) {
        if let Some((name, value)) = self.assigned(node) {
            let conditional = place.conditional;
            self.steps.push(Step::Assign {
                name,
                value,
                conditional,
            });
        }
        self.children(node, place.deeper(false));
    }

    fn assigned(&self, node: Node<'_>) -> Option<(String, Word)> {
        let name = self.source.get(node.child_by_field_name("name")?.byte_range())?;
        let value = node.child_by_field_name("value");
        let value = value.map_or_else(Word::default, |value| Word::read(value, self.source));
        Some((name.to_owned(), value))
    }

    /// `[ -x PATH ]` and `[[ -x PATH ]]`.
    fn test(&mut self, node: Node<'_>, place: Place) {
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop() {
            let mut cursor = node.walk();
            let children: Vec<_> = node.named_children(&mut cursor).collect();
            if let [operator, path] = children.as_slice()
                && operator.kind() == "test_operator"
                && FILE_TESTS.contains(&self.source.get(operator.byte_range()).unwrap_or_default())
            {
                let path = Word::read(*path, self.source);
                self.tested.insert(path.text().to_owned(), path);
            }
            if waiting.len() < DEEPEST {
                waiting.extend(children);
            }
        }
        self.children(node, place.deeper(false));
    }

    /// `test -x PATH` and `command -v NAME`.
    fn note_test(&mut self, command: &Command) {
        let words: Vec<&str> = command.words.iter().map(Word::text).collect();
        let is_test = match words.as_slice() {
            ["test", operator, _] => FILE_TESTS.contains(operator),
            ["command", "-v" | "-V", _] | ["which" | "type" | "hash", _] => true,
            _ => false,
        };
        if let Some(word) = command.words.last().filter(|_| is_test) {
            self.tested.insert(word.text().to_owned(), word.clone());
        }
    }
}

impl Command {
    /// Returns true if nothing of the script runs after it.
    fn ends_script(&self) -> bool {
        match self.words.first().map(Word::text) {
            Some("exit") => true,
            Some("exec") => self.words.len() > 1,
            _ => false,
        }
    }

    fn is_exit_with_success(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(Word::text).collect();
        matches!(words.as_slice(), ["exit"] | ["exit", "0"])
    }
}
