//! What a file that the device runs is: an ELF file, a script, or neither.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::elf::Elf;
use super::script::Script;
use super::tree::{MAX_PROGRAM, Tree};

#[derive(Debug)]
pub(crate) enum Content {
    Elf(Elf),
    Script(Script),
    /// Why it cannot be read.
    Damaged(String),
    Neither,
}

/// Files of the snap. Each is read once: hooks share their libraries.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    tree: &'a Tree,
    cache: RefCell<BTreeMap<PathBuf, Rc<Content>>>,
}

impl<'a> Contents<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        Contents {
            tree,
            cache: RefCell::default(),
        }
    }

    pub(crate) fn get(&self, path: impl AsRef<Path>) -> Rc<Content> {
        let path = path.as_ref();
        let path = self.tree.canonical(path).unwrap_or_else(|| path.to_owned());
        let mut cache = self.cache.borrow_mut();
        let content = cache
            .entry(path)
            .or_insert_with_key(|path| Rc::new(self.read(path)));
        Rc::clone(content)
    }

    /// The file as a script of an interpreter that it is an argument of; `None` if it cannot be
    /// read or is an ELF file.
    pub(crate) fn script_of(&self, interpreter: &str, path: impl AsRef<Path>) -> Option<Rc<Content>> {
        let data = self.tree.read(path, MAX_PROGRAM).ok()?;
        let is_script = !data.starts_with(b"\x7fELF");
        is_script.then(|| Rc::new(Content::Script(Script::read(interpreter, &data))))
    }

    fn read(&self, path: &Path) -> Content {
        let data = match self.tree.read(path, MAX_PROGRAM) {
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
