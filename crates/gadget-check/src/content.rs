//! What the files that run are: ELF, script, or neither.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::elf::Elf;
use crate::script::Script;
use crate::tree::{LARGEST_PROGRAM, Tree};

#[derive(Debug)]
pub(crate) enum Content {
    Elf(Elf),
    Script(Script),
    /// Why it cannot be read.
    Damaged(String),
    Neither,
}

/// Files of the snap, each read once: hooks share their libraries.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    tree: &'a Tree,
    read: RefCell<BTreeMap<PathBuf, Rc<Content>>>,
}

impl<'a> Contents<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        Contents {
            tree,
            read: RefCell::default(),
        }
    }

    pub(crate) fn get(&self, path: &Path) -> Rc<Content> {
        let path = self.tree.canonical(path).unwrap_or_else(|| path.to_owned());
        let mut read = self.read.borrow_mut();
        let content = read
            .entry(path)
            .or_insert_with_key(|path| Rc::new(self.open(path)));
        Rc::clone(content)
    }

    fn open(&self, path: &Path) -> Content {
        let data = match self.tree.read(path, LARGEST_PROGRAM) {
            Ok(data) => data,
            Err(error) => return Content::Damaged(error.to_string()),
        };
        if let Some(script) = Script::parse(&data) {
            return Content::Script(script);
        }
        match Elf::parse(&data) {
            Some(Ok(elf)) => Content::Elf(elf),
            Some(Err(problem)) => Content::Damaged(problem),
            None => Content::Neither,
        }
    }
}
