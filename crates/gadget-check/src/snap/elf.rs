//! ELF files: what the kernel and the loader read of them.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionTable};
use object::{Endianness, FileKind};

/// Entries of a dynamic table; programs have about thirty.
const MAX_ENTRIES: usize = 1000;

/// The headers and the dynamic table of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    /// `e_machine`.
    pub(crate) machine: u16,
    pub(crate) is_64_bit: bool,
    /// `None` for a static program and for a library.
    pub(crate) loader: Option<String>,
    pub(crate) needed: Vec<String>,
    /// Ignored if there is a RUNPATH.
    pub(crate) rpath: Vec<String>,
    pub(crate) runpath: Option<Vec<String>>,
    /// The newest version of glibc that its symbols require.
    pub(crate) glibc: Option<(u32, u32)>,
}

impl Elf {
    /// Returns `None` if the data is not an ELF file.
    ///
    /// # Errors
    /// The problem of a damaged ELF file.
    pub(crate) fn parse(data: &[u8]) -> Option<Result<Self, String>> {
        if !data.starts_with(&elf::ELFMAG) {
            return None;
        }
        let parsed = match FileKind::parse(data) {
            Ok(FileKind::Elf32) => parse::<FileHeader32<Endianness>>(data, false),
            Ok(FileKind::Elf64) => parse::<FileHeader64<Endianness>>(data, true),
            Ok(_) => return Some(Err("unknown ELF class".to_owned())),
            Err(error) => Err(error),
        };
        Some(parsed.map_err(|error| error.to_string()))
    }
}

fn parse<H: FileHeader<Endian = Endianness>>(data: &[u8], is_64_bit: bool) -> object::Result<Elf> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let mut loader = None;
    for segment in header.program_headers(endian, data)? {
        if let Some(path) = segment.interpreter(endian, data)? {
            loader = Some(text(path));
        }
    }
    let sections = header.sections(endian, data)?;
    let mut file = Elf {
        machine: header.e_machine(endian).0,
        is_64_bit,
        loader,
        needed: Vec::new(),
        rpath: Vec::new(),
        runpath: None,
        glibc: glibc(&sections, endian, data)?,
    };
    let dynamic = sections.dynamic_table(endian, data)?;
    for entry in dynamic.iter().take(MAX_ENTRIES) {
        let paths = |path: &[u8]| text(path).split(':').map(str::to_owned).collect();
        match entry.tag {
            elf::DT_NEEDED => file.needed.push(text(dynamic.string(entry)?)),
            elf::DT_RPATH => file.rpath = paths(dynamic.string(entry)?),
            elf::DT_RUNPATH => file.runpath = Some(paths(dynamic.string(entry)?)),
            _ => {}
        }
    }
    Ok(file)
}

/// The newest `GLIBC_…` among the required versions of symbols.
fn glibc<'data, H: FileHeader<Endian = Endianness>>(
    sections: &SectionTable<'data, H>,
    endian: Endianness,
    data: &'data [u8],
) -> object::Result<Option<(u32, u32)>> {
    let Some((files, strings)) = sections.gnu_verneed(endian, data)? else {
        return Ok(None);
    };
    let strings = sections.strings(endian, data, strings)?;
    let mut newest = None;
    for file in files {
        let (_, versions) = file?;
        for version in versions {
            let name = text(version?.name(endian, strings)?);
            newest = newest.max(name.strip_prefix("GLIBC_").and_then(version_of));
        }
    }
    Ok(newest)
}

/// Major and minor number; `GLIBC_PRIVATE` has none.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
