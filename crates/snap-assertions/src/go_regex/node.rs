//! Parts of a regular expression, with what Go's limits depend on.

use regex_syntax::hir::{Hir, Repetition};

/// The largest count of a repetition, and the largest product of nested counts.
pub(super) const MAX_REPEAT: u32 = 1000;
/// The largest depth of the tree. Go allows 1000 levels (`maxHeight`); the regex crate, whose
/// compiler is recursive, 250.
const MAX_HEIGHT: u32 = 250;

/// A part of an expression.
pub(super) struct Node {
    hir: Hir,
    height: u32,
    /// The largest product of the nested counts.
    copies: u32,
}

impl Node {
    pub(super) fn leaf(hir: Hir) -> Self {
        Self {
            hir,
            height: 1,
            copies: 1,
        }
    }

    pub(super) fn concat(nodes: Vec<Self>) -> Result<Self, String> {
        Self::joined(nodes, Hir::concat)
    }

    pub(super) fn alternation(nodes: Vec<Self>) -> Result<Self, String> {
        Self::joined(nodes, Hir::alternation)
    }

    fn joined(nodes: Vec<Self>, join: fn(Vec<Hir>) -> Hir) -> Result<Self, String> {
        let deepest = nodes.iter().map(|node| node.height).max().unwrap_or_default();
        // Before `join`, which compares the nodes recursively.
        let height = checked_height(deepest + u32::from(nodes.len() != 1))?;
        Ok(Self {
            height,
            copies: nodes.iter().map(|node| node.copies).max().unwrap_or(1),
            hir: join(nodes.into_iter().map(|node| node.hir).collect()),
        })
    }

    /// The node in a group that captures, which is a level of its own in Go.
    pub(super) fn captured(self) -> Result<Self, String> {
        let height = checked_height(self.height + 1)?;
        Ok(Self { height, ..self })
    }

    /// The node, repeated. Only counts in braces multiply.
    pub(super) fn repeated(self, min: u32, max: Option<u32>, counted: bool) -> Result<Self, String> {
        let copies = match max {
            _ if !counted => self.copies,
            // Go does not look into what is left out.
            Some(0) => 1,
            max => self.copies.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if min.max(max.unwrap_or_default()) >= 2 && copies > MAX_REPEAT {
            return Err("invalid repeat count".to_owned());
        }
        let repetition = Repetition {
            min,
            max,
            greedy: true,
            sub: Box::new(self.hir),
        };
        let height = checked_height(self.height + 1)?;
        Ok(Self {
            hir: Hir::repetition(repetition),
            height,
            copies,
        })
    }

    pub(super) fn into_hir(self) -> Hir {
        self.hir
    }
}

fn checked_height(height: u32) -> Result<u32, String> {
    match height <= MAX_HEIGHT {
        true => Ok(height),
        false => Err("expression nests too deeply".to_owned()),
    }
}
