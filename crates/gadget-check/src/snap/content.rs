//! What a file that the device runs is: an ELF file, a script, or neither.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::elf::Elf;
use super::script::{MAX_SCRIPT, Script};
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
    /// Scripts that are arguments of an interpreter, by its name and their path.
    scripts: RefCell<BTreeMap<(String, PathBuf), Rc<Content>>>,
    /// Bytes of scripts that can still be read.
    rest: Cell<usize>,
    /// Commands and bytes of their words that can still be followed.
    steps: Cell<usize>,
    words: Cell<usize>,
}

/// Bytes of all scripts of a snap that are read: a few seconds' work for the parser.
const MAX_SCRIPTS: usize = 8 << 20;
/// Commands of all hooks and apps that are followed, and bytes of their words. A gadget has a few
/// hundred commands.
const MAX_STEPS: usize = 200_000;
const MAX_WORDS: usize = 32 << 20;

impl<'a> Contents<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        Contents {
            tree,
            cache: RefCell::default(),
            scripts: RefCell::default(),
            rest: Cell::new(MAX_SCRIPTS),
            steps: Cell::new(MAX_STEPS),
            words: Cell::new(MAX_WORDS),
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
    pub(crate) fn script_of(&self, interpreter: &str, path: &str) -> Option<Rc<Content>> {
        let key = (interpreter.to_owned(), PathBuf::from(path));
        if let Some(content) = self.scripts.borrow().get(&key) {
            return Some(Rc::clone(content));
        }
        let data = self.tree.read(path, MAX_PROGRAM).ok()?;
        let is_script = !data.starts_with(b"\x7fELF");
        let content =
            is_script.then(|| Rc::new(Content::Script(Script::read(interpreter, self.taken(&data)))))?;
        self.scripts.borrow_mut().insert(key, Rc::clone(&content));
        Some(content)
    }

    /// Counts a command with words of this length. Returns false if there were too many.
    pub(crate) fn count_step(&self, length: usize) -> bool {
        self.steps.set(self.steps.get().saturating_sub(1));
        self.words.set(self.words.get().saturating_sub(length));
        self.steps.get() > 0 && self.words.get() > 0
    }

    /// The part of a script that is read, and whether that is all of it.
    fn taken<'d>(&self, data: &'d [u8]) -> (&'d [u8], bool) {
        let length = data.len().min(MAX_SCRIPT).min(self.rest.get());
        self.rest.set(self.rest.get() - length);
        (&data[..length], length == data.len())
    }

    fn read(&self, path: &Path) -> Content {
        let data = match self.tree.read(path, MAX_PROGRAM) {
            Ok(data) => data,
            Err(error) => return Content::Damaged(error.to_string()),
        };
        if data.starts_with(b"#!") {
            return Content::Script(Script::parse(self.taken(&data)));
        }
        match Elf::parse(&data) {
            Some(Ok(elf)) => Content::Elf(elf),
            Some(Err(problem)) => Content::Damaged(problem),
            None => Content::Neither,
        }
    }
}
