//! Where values are in the lines of a YAML file, and the edits that add and remove values.
//!
//! A block mapping gets further lines below the line of its key, which leaves comments and the
//! author's layout alone. A value in flow style is written again.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::edit::ProjectEdit;
use super::yaml_value::{self, Yaml};

/// What changes in a YAML file.
#[derive(Debug)]
pub(super) struct Changes {
    additions: Yaml,
    /// Names of entries or items, and the path of the mapping or list that has them.
    removals: Vec<(Vec<String>, BTreeSet<String>)>,
}

impl Default for Changes {
    fn default() -> Self {
        Changes {
            additions: Yaml::Map(Vec::new()),
            removals: Vec::new(),
        }
    }
}

impl Changes {
    pub(super) fn add(&mut self, path: &[&str], value: Yaml) {
        self.additions.insert(path, value);
    }

    /// Removes entries of the mapping, or items of the list, at a path. `empty` is an empty value
    /// of that kind.
    pub(super) fn remove(&mut self, path: &[&str], names: impl IntoIterator<Item = String>, empty: Yaml) {
        self.additions.insert(path, empty);
        let path = path.iter().map(|&key| key.to_owned()).collect();
        self.removals.push((path, names.into_iter().collect()));
    }
}

/// A YAML file and its value.
#[derive(Debug)]
pub(super) struct YamlLines<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
}

/// The lines of a mapping or list.
#[derive(Clone, Debug)]
struct Block {
    /// The index of the line after which further entries are inserted, plus one.
    after: usize,
    lines: Range<usize>,
    /// The indentation of its entries or items.
    indent: usize,
}

enum Found {
    Block(Block),
    /// The value begins on the line of its key.
    Flow(Range<usize>),
}

impl<'a> YamlLines<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        YamlLines {
            file,
            lines: text.lines().collect(),
        }
    }

    /// The edits for the changes, in the order of the file. Empty if the top level of the file is
    /// not a block mapping.
    pub(super) fn edits(&self, value: &Value, changes: &Changes) -> Vec<ProjectEdit> {
        let root = Block {
            after: self.lines.len(),
            lines: 0..self.lines.len(),
            indent: 0,
        };
        let entries = self
            .lines
            .iter()
            .filter(|line| is_content(line) && indent_of(line) == 0);
        let keys: BTreeSet<&str> = entries.filter_map(|line| key_of(line)).collect();
        let mut names = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        if !names.all(|name| keys.contains(name)) {
            return Vec::new();
        }
        let mut edits = Vec::new();
        if let Yaml::Map(additions) = &changes.additions {
            self.visit(&root, &mut Vec::new(), additions, value, changes, &mut edits);
        }
        joined(edits)
    }

    fn visit(
        &self,
        block: &Block,
        path: &mut Vec<String>,
        additions: &[(String, Yaml)],
        value: &Value,
        changes: &Changes,
        edits: &mut Vec<ProjectEdit>,
    ) {
        let mut new = Vec::new();
        for (key, addition) in additions {
            path.push(key.clone());
            match (self.find(block, key), addition) {
                (None, _) if addition.is_empty() => {}
                (None, _) => new.extend(yaml_value::entry(key, addition, block.indent)),
                (Some(Found::Block(inner)), Yaml::Map(entries)) => {
                    self.visit(&inner, path, entries, &value[key.as_str()], changes, edits);
                    self.remove(&inner, path, entries.is_empty(), changes, edits);
                }
                (Some(Found::Block(inner)), addition) => {
                    edits.push(self.edit(inner.after, 0, addition.lines(inner.indent)));
                    self.remove(&inner, path, addition.is_empty(), changes, edits);
                }
                (Some(Found::Flow(lines)), addition) => {
                    let mut merged = Yaml::from(&value[key.as_str()]);
                    merged.merge(addition.clone());
                    changes
                        .removals
                        .iter()
                        .filter(|(removed, _)| removed == path)
                        .for_each(|(_, names)| merged.remove(names));
                    let written = yaml_value::entry(key, &merged, block.indent);
                    edits.push(self.edit(lines.start, lines.len(), written));
                }
            }
            path.pop();
        }
        edits.push(self.edit(block.after, 0, new));
    }

    /// Removes entries of a block, and the line of its key if nothing is left.
    fn remove(
        &self,
        block: &Block,
        path: &[String],
        gains_nothing: bool,
        changes: &Changes,
        edits: &mut Vec<ProjectEdit>,
    ) {
        let removals = changes.removals.iter().filter(|(removed, _)| removed == path);
        let names: BTreeSet<&str> = removals
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        let entries = block.lines.clone();
        let entries: Vec<usize> = entries
            .filter(|&line| is_content(self.lines[line]) && indent_of(self.lines[line]) == block.indent)
            .collect();
        let is_removed = |line: &&usize| {
            let text = self.lines[**line].trim_start();
            let item = text.strip_prefix('-').map(|item| plain(uncommented(item)));
            item.or_else(|| key_of(text))
                .is_some_and(|name| names.contains(name))
        };
        let removed: Vec<&usize> = entries.iter().filter(is_removed).collect();
        if gains_nothing && !removed.is_empty() && removed.len() == entries.len() {
            let start = block.after - 1;
            edits.push(self.edit(start, block.lines.end - start, Vec::new()));
            return;
        }
        edits.extend(removed.into_iter().map(|&line| self.edit(line, 1, Vec::new())));
    }

    fn edit(&self, after: usize, remove: usize, lines: Vec<String>) -> ProjectEdit {
        let is_end = after == self.lines.len();
        let under = match after.checked_sub(1) {
            Some(index) if !is_end => self.lines[index].trim().to_owned(),
            _ => String::new(),
        };
        ProjectEdit {
            file: self.file.to_owned(),
            after,
            remove,
            lines: lines.into_iter().map(|line| line + "\n").collect(),
            under,
            new: false,
        }
    }

    fn find(&self, block: &Block, key: &str) -> Option<Found> {
        let is_key = |&line: &usize| {
            let text = self.lines[line];
            is_content(text) && indent_of(text) == block.indent && key_of(text) == Some(key)
        };
        let line = block.lines.clone().find(is_key)?;
        let is_next = |&next: &usize| {
            let text = self.lines[next];
            let indent = indent_of(text);
            // The items of a list can have the indentation of its key.
            let is_item = text.trim_start().starts_with('-');
            is_content(text) && (indent < block.indent || (indent == block.indent && !is_item))
        };
        let end = (line + 1..block.lines.end).find(is_next);
        let mut end = end.unwrap_or(block.lines.end);
        while end > line + 1 && !is_content(self.lines[end - 1]) {
            end -= 1;
        }
        let value = self.lines[line]
            .trim_start()
            .split_once(':')
            .map(|(_, value)| value);
        let value = uncommented(value.unwrap_or_default());
        let first = (line + 1..end).find(|&line| is_content(self.lines[line]));
        Some(
            match value.is_empty() || (value.starts_with('&') && !value.contains(' ')) {
                true => Found::Block(Block {
                    after: line + 1,
                    lines: line + 1..end,
                    indent: first.map_or(block.indent + 2, |first| indent_of(self.lines[first])),
                }),
                false => Found::Flow(line..end),
            },
        )
    }
}

/// Sorts the edits, drops empty ones, and joins those that touch.
fn joined(mut edits: Vec<ProjectEdit>) -> Vec<ProjectEdit> {
    edits.retain(|edit| edit.remove > 0 || !edit.lines.is_empty());
    edits.sort_by_key(|edit| (edit.after, edit.remove));
    let mut joined: Vec<ProjectEdit> = Vec::new();
    for edit in edits {
        match joined.last_mut() {
            Some(last)
                if last.after + last.remove == edit.after
                    && (last.remove > 0 || last.after == edit.after) =>
            {
                last.remove += edit.remove;
                last.lines += &edit.lines;
            }
            _ => joined.push(edit),
        }
    }
    joined
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && line != "---"
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The key at the beginning of a line, without quotation marks.
fn key_of(line: &str) -> Option<&str> {
    let (key, value) = line.trim_start().split_once(':')?;
    (value.is_empty() || value.starts_with([' ', '\t'])).then(|| plain(key))
}

fn plain(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

/// The text without a comment at its end.
fn uncommented(text: &str) -> &str {
    let text = match text.trim_start().starts_with('#') {
        true => "",
        false => text.split(" #").next().unwrap_or_default(),
    };
    text.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, changes: &Changes) -> String {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let edits = YamlLines::new("x.yaml", text).edits(&value, changes);
        for edit in edits.iter().rev() {
            let new = edit.lines.lines().map(str::to_owned);
            lines.splice(edit.after..edit.after + edit.remove, new);
        }
        lines.iter().map(|line| line.to_owned() + "\n").collect()
    }

    #[test]
    fn entries_go_below_their_keys() {
        let mut changes = Changes::default();
        changes.add(&["hooks", "a", "plugs"], Yaml::list(["tpm"]));
        changes.add(&["hooks", "b", "plugs"], Yaml::list(["tpm"]));
        changes.add(&["assumes"], Yaml::list(["snapd2.74"]));
        changes.add(&["new", "x"], Yaml::text("value"));
        let text = "# hooks:\nhooks:\n    a:\n      # why\n      environment:\n        plugs: |\n          \
                    plugs:\nassumes: # these\n- snapd2.63\n";
        let expected = "# hooks:\nhooks:\n    b:\n      plugs: [tpm]\n    a:\n      plugs: [tpm]\n      # why\n      \
                        environment:\n        plugs: |\n          plugs:\nassumes: # these\n- snapd2.74\n- \
                        snapd2.63\nnew:\n  x: value\n";
        assert_eq!(edited(text, &changes), expected);
    }

    #[test]
    fn values_in_flow_style_are_written_again() {
        let mut changes = Changes::default();
        changes.add(&["hooks", "a", "plugs"], Yaml::list(["tpm"]));
        changes.add(&["hooks", "b", "plugs"], Yaml::list(["tpm"]));
        changes.add(&["assumes"], Yaml::list(["snapd2.74"]));
        let text = "hooks: {a: {plugs: [x,\n   z]}, c: }\nassumes: ['snapd2.63']\nname: x\n";
        let expected = "hooks:\n  a:\n    plugs: [x, z, tpm]\n  c:\n  b:\n    plugs: [tpm]\nassumes: [snapd2.63, \
                        snapd2.74]\nname: x\n";
        assert_eq!(edited(text, &changes), expected);
    }

    #[test]
    fn entries_are_removed_and_an_empty_mapping_with_its_key() {
        let mut changes = Changes::default();
        let names = ["a/b", "c"].map(str::to_owned);
        changes.remove(&["p", "organize"], names.clone(), Yaml::Map(Vec::new()));
        changes.remove(&["p", "list"], names.clone(), Yaml::List(Vec::new()));
        changes.add(&["p", "list"], Yaml::list(["z"]));
        let text = "p:\n  organize:\n    # both\n    a/b: x\n    'c': y\n  list:\n  - c # old\n  - d\n";
        assert_eq!(edited(text, &changes), "p:\n  list:\n  - z\n  - d\n");
        let text = "p:\n  organize: {a/b: x, k: v}\n  list: [c, d]\n";
        assert_eq!(
            edited(text, &changes),
            "p:\n  organize:\n    k: v\n  list: [d, z]\n"
        );
    }
}
