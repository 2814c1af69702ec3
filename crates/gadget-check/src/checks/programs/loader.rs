//! The dynamic loader: which libraries of a program it does not find. Libraries are searched for as
//! glibc does (ld.so(8), dlopen(3)), without directories such as `glibc-hwcaps`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::facts::bases::Base;
use crate::snap::content::{Content, Contents};
use crate::snap::elf::Elf;
use crate::snap::environment::Environment;

/// The library of tpm2-tss that opens the library of a TCTI by name at run time
/// (src/tss2-tcti/tctildr-dl.c).
const TCTI_LOADER: &str = "libtss2-tctildr.so";

/// Directories of a search path; snapcraft sets fewer than twenty.
const MAX_DIRECTORIES: usize = 100;

/// A library that the loader does not find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MissingLibrary {
    pub(super) library: String,
    /// The file in the snap that needs it.
    pub(super) needed_by: PathBuf,
    /// It is the library of the TCTI, opened at run time.
    pub(super) is_tcti: bool,
}

/// The loader of a program.
pub(super) struct Loader<'a> {
    pub(super) contents: &'a Contents<'a>,
    pub(super) environment: &'a Environment,
    /// `None` if the content of the base is unknown.
    pub(super) base: Option<&'static Base>,
    /// The name of the TCTI, `None` if the key is not in a TPM.
    pub(super) tcti: Option<&'a str>,
    /// The PKCS#11 module in the snap, which the programs of this project load.
    pub(super) module: Option<&'a Path>,
}

/// A loaded file.
struct Loaded {
    path: PathBuf,
    content: Rc<Content>,
    /// The number of the file that needed it.
    needed_by: Option<usize>,
}

/// The problems of a program when it is loaded.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) missing: Vec<MissingLibrary>,
    /// Files that need a newer glibc than that of the base, with the needed version.
    pub(super) too_new: Vec<(PathBuf, (u32, u32))>,
}

enum Found {
    InSnap(PathBuf, Rc<Content>),
    InBase,
    Nowhere,
}

impl Loader<'_> {
    /// Loads an ELF program and all its libraries.
    pub(super) fn load(&self, program: &Path) -> Outcome {
        let mut loading = Loading {
            loader: self,
            loaded: vec![Loaded {
                path: program.to_owned(),
                content: self.contents.get(program),
                needed_by: None,
            }],
            names: BTreeSet::new(),
            outcome: Outcome::default(),
        };
        let mut next = 0;
        while next < loading.loaded.len() {
            loading.load_needed(next);
            next += 1;
            // dlopen runs after the libraries of the program are loaded.
            if next == loading.loaded.len() {
                loading.load_tcti();
                loading.load_module();
            }
        }
        loading.outcome
    }
}

struct Loading<'a> {
    loader: &'a Loader<'a>,
    loaded: Vec<Loaded>,
    /// The names of all needed libraries.
    names: BTreeSet<String>,
    outcome: Outcome,
}

impl Loading<'_> {
    fn load_needed(&mut self, number: usize) {
        let content = Rc::clone(&self.loaded[number].content);
        let Content::Elf(elf) = &*content else { return };
        if let (Some(base), Some(glibc)) = (self.loader.base, elf.glibc)
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

    /// What is wrong with the module itself is another check's.
    fn load_module(&mut self) {
        let Some(module) = self.loader.module else { return };
        let name = module.display().to_string();
        if self.names.insert(name)
            && let Some(content) = self.fitting(module)
        {
            self.loaded.push(Loaded {
                path: module.to_owned(),
                content,
                needed_by: Some(0),
            });
        }
    }

    fn load_tcti(&mut self) {
        let Some(tcti) = self.loader.tcti else { return };
        let loader = self.loaded.iter().position(|loaded| {
            let name = loaded.path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(TCTI_LOADER)
        });
        let Some(loader) = loader else { return };
        let names = ["so.0", "so"].map(|end| format!("libtss2-tcti-{tcti}.{end}"));
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
                    needed_by: Some(by),
                });
                true
            }
            Found::InBase => true,
            Found::Nowhere => false,
        }
    }

    fn miss(&mut self, name: &str, by: usize, tcti: bool) {
        self.outcome.missing.push(MissingLibrary {
            library: name.to_owned(),
            needed_by: self.loaded[by].path.clone(),
            is_tcti: tcti,
        });
    }

    fn find(&self, name: &str, by: usize) -> Found {
        let paths: Vec<String> = match name.contains('/') {
            true => vec![name.to_owned()],
            false => self
                .search_path(by)
                .iter()
                .map(|directory| format!("{directory}/{name}"))
                .collect(),
        };
        for path in &paths {
            if let Some(path) = self.loader.environment.in_snap(path)
                && let Some(content) = self.fitting(&path)
            {
                return Found::InSnap(path, content);
            }
        }
        let name = name.rsplit('/').next().unwrap_or(name);
        let in_base = match self.loader.base {
            Some(base) => base.has_library(name),
            // No base has the libraries of tpm2-tss.
            None => !name.starts_with("libtss2-"),
        };
        if in_base { Found::InBase } else { Found::Nowhere }
    }

    /// The search path before the directories of the base. A RUNPATH applies only to the file that
    /// has it, an RPATH also to everything that this file loads.
    fn search_path(&self, by: usize) -> Vec<String> {
        let mut directories = Vec::new();
        let own_runpath = self.elf(by).and_then(|elf| elf.runpath.as_ref());
        if own_runpath.is_none() {
            let mut link = Some(by);
            while let Some(number) = link {
                if let Some(elf) = self.elf(number).filter(|elf| elf.runpath.is_none()) {
                    directories.extend(self.with_origin(&elf.rpath, number));
                }
                link = self.loaded[number].needed_by;
            }
        }
        let values = self.loader.environment.all("LD_LIBRARY_PATH").iter();
        directories.extend(values.flat_map(|value| value.split([':', ';']).map(str::to_owned)));
        directories.extend(self.with_origin(own_runpath.map_or(&[], Vec::as_slice), by));
        directories.truncate(MAX_DIRECTORIES);
        directories
    }

    fn with_origin(&self, directories: &[String], number: usize) -> Vec<String> {
        let directory = self.loaded[number].path.parent().unwrap_or(Path::new(""));
        let origin = format!(
            "{}/{}",
            self.loader.environment.expand("$SNAP"),
            directory.to_string_lossy()
        );
        let expand = |text: &String| text.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
        directories.iter().map(expand).collect()
    }

    fn elf(&self, number: usize) -> Option<&Elf> {
        match &*self.loaded[number].content {
            Content::Elf(elf) => Some(elf),
            _ => None,
        }
    }

    /// The file, if it is a library for the machine of the program. The loader skips others.
    fn fitting(&self, path: &Path) -> Option<Rc<Content>> {
        let program = self.elf(0)?;
        let content = self.loader.contents.get(path);
        let fits = match &*content {
            Content::Elf(elf) => elf.machine == program.machine && elf.is_64_bit == program.is_64_bit,
            _ => false,
        };
        fits.then_some(content)
    }
}
