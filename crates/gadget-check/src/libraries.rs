//! Which libraries the loader would not find, looked for as glibc does (ld.so(8), dlopen(3)).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::bases::Base;
use crate::content::{Content, Contents};
use crate::elf::Elf;
use crate::environment::Environment;

/// tpm2-tss's loader of TCTIs: it opens a library by the name of the TCTI at run time (src/tss2-tcti/
/// tctildr-dl.c).
const TCTI_LOADER: &str = "libtss2-tctildr.so";

/// Folders in which a library is looked for; snapcraft sets fewer than twenty.
const MOST_FOLDERS: usize = 100;

/// A library that would not be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Missing {
    pub(crate) library: String,
    /// The file in the snap that needs it.
    pub(crate) needed_by: PathBuf,
    /// Whether it is opened at run time, as the way to the TPM.
    pub(crate) tcti: bool,
}

/// What happens when a program starts.
pub(crate) struct Start<'a> {
    pub(crate) contents: &'a Contents<'a>,
    pub(crate) environment: &'a Environment,
    /// None where it is unknown what the base has.
    pub(crate) base: Option<&'static Base>,
    /// The name of the TCTI.
    pub(crate) tcti: &'a str,
}

/// A file that was loaded.
struct Loaded {
    path: PathBuf,
    content: Rc<Content>,
    /// The number of the one that asked for it.
    by: Option<usize>,
}

/// What loading a program came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) missing: Vec<Missing>,
    /// Files that ask for a newer glibc than the base has.
    pub(crate) too_new: Vec<(PathBuf, (u32, u32))>,
}

enum Found {
    InSnap(PathBuf, Rc<Content>),
    InBase,
    Nowhere,
}

impl Start<'_> {
    /// Loads an ELF program with all that it needs.
    pub(crate) fn load(&self, program: &Path) -> Outcome {
        let mut loading = Loading {
            start: self,
            loaded: vec![Loaded {
                path: program.to_owned(),
                content: self.contents.get(program),
                by: None,
            }],
            names: BTreeSet::new(),
            outcome: Outcome::default(),
        };
        let mut next = 0;
        while next < loading.loaded.len() {
            loading.load_needed(next);
            next += 1;
            // As dlopen, which comes after all others.
            if next == loading.loaded.len() {
                loading.load_tcti();
            }
        }
        loading.outcome
    }
}

struct Loading<'a> {
    start: &'a Start<'a>,
    loaded: Vec<Loaded>,
    /// All names that were asked for.
    names: BTreeSet<String>,
    outcome: Outcome,
}

impl Loading<'_> {
    fn load_needed(&mut self, number: usize) {
        let content = Rc::clone(&self.loaded[number].content);
        let Content::Elf(elf) = &*content else { return };
        if let (Some(base), Some(glibc)) = (self.start.base, elf.glibc)
            && glibc > base.glibc
        {
            let path = self.loaded[number].path.clone();
            self.outcome.too_new.push((path, glibc));
        }
        for name in &elf.needed {
            if self.names.insert(name.clone()) && !self.load(name, number) {
                self.miss(name, number, false);
            }
        }
    }

    fn load_tcti(&mut self) {
        let loader = self.loaded.iter().position(|loaded| {
            let name = loaded.path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(TCTI_LOADER)
        });
        let Some(loader) = loader else { return };
        let names = ["so.0", "so"].map(|end| format!("libtss2-tcti-{}.{end}", self.start.tcti));
        if names.iter().any(|name| self.names.contains(name)) {
            return;
        }
        self.names.extend(names.clone());
        if !names.iter().any(|name| self.load(name, loader)) {
            self.miss(&names[0], loader, true);
        }
    }

    fn load(&mut self, name: &str, by: usize) -> bool {
        match self.find(name, by) {
            Found::InSnap(path, content) => {
                self.loaded.push(Loaded {
                    path,
                    content,
                    by: Some(by),
                });
                true
            }
            Found::InBase => true,
            Found::Nowhere => false,
        }
    }

    fn miss(&mut self, name: &str, by: usize, tcti: bool) {
        self.outcome.missing.push(Missing {
            library: name.to_owned(),
            needed_by: self.loaded[by].path.clone(),
            tcti,
        });
    }

    fn find(&self, name: &str, by: usize) -> Found {
        let paths: Vec<String> = match name.contains('/') {
            true => vec![name.to_owned()],
            false => self
                .folders(by)
                .iter()
                .map(|folder| format!("{folder}/{name}"))
                .collect(),
        };
        for path in &paths {
            if let Some(path) = self.start.environment.in_snap(path)
                && let Some(content) = self.fitting(&path)
            {
                return Found::InSnap(path, content);
            }
        }
        let name = name.rsplit('/').next().unwrap_or(name);
        let in_base = match self.start.base {
            Some(base) => base.has_library(name),
            // No base is known to have these.
            None => !name.starts_with("libtss2-"),
        };
        if in_base { Found::InBase } else { Found::Nowhere }
    }

    /// Where the loader looks, before the base's own folders. A RUNPATH is for the file alone that has it; an
    /// RPATH also for all that it loads.
    fn folders(&self, by: usize) -> Vec<String> {
        let mut folders = Vec::new();
        let own_runpath = self.elf(by).and_then(|elf| elf.runpath.as_ref());
        if own_runpath.is_none() {
            let mut link = Some(by);
            while let Some(number) = link {
                if let Some(elf) = self.elf(number).filter(|elf| elf.runpath.is_none()) {
                    folders.extend(self.with_origin(&elf.rpath, number));
                }
                link = self.loaded[number].by;
            }
        }
        let variable = self.start.environment.get("LD_LIBRARY_PATH").unwrap_or_default();
        folders.extend(variable.split([':', ';']).map(str::to_owned));
        folders.extend(self.with_origin(own_runpath.map_or(&[], Vec::as_slice), by));
        folders.truncate(MOST_FOLDERS);
        folders
    }

    fn with_origin(&self, folders: &[String], number: usize) -> Vec<String> {
        let folder = self.loaded[number].path.parent().unwrap_or(Path::new(""));
        let origin = format!(
            "{}/{}",
            self.start.environment.expand("$SNAP"),
            folder.to_string_lossy()
        );
        let expand = |text: &String| text.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
        folders.iter().map(expand).collect()
    }

    fn elf(&self, number: usize) -> Option<&Elf> {
        match &*self.loaded[number].content {
            Content::Elf(elf) => Some(elf),
            _ => None,
        }
    }

    /// The file, if it is a library for the program's machine; the loader passes over others.
    fn fitting(&self, path: &Path) -> Option<Rc<Content>> {
        let program = self.elf(0)?;
        let content = self.start.contents.get(path);
        let fits = match &*content {
            Content::Elf(elf) => elf.machine == program.machine && elf.is_64_bit == program.is_64_bit,
            _ => false,
        };
        fits.then_some(content)
    }
}
