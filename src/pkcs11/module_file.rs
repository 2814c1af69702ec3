//! The file of a module, looked at before it is loaded: the loader's messages are for programmers.

use std::io::Read as _;
use std::path::Path;

use super::Pkcs11Error;

/// This program.
const OWN: &str = "/proc/self/exe";
/// The start of an ELF file, up to and with `e_machine` (System V ABI, ELF header).
const LENGTH: usize = 20;

/// Checks that the file is one that this program can load.
///
/// # Errors
/// [`Pkcs11Error::ModuleMissing`], [`Pkcs11Error::ModuleUnreadable`] and
/// [`Pkcs11Error::OtherArchitecture`].
pub(super) fn check(path: &Path) -> Result<(), Pkcs11Error> {
    let found = header(path)?;
    let own = header(Path::new(OWN))?;
    match (machine(&found), machine(&own)) {
        (Some(found), Some(own)) if found != own => Err(Pkcs11Error::OtherArchitecture(path.to_owned())),
        // The loader says what is wrong with a file that is not ELF.
        _ => Ok(()),
    }
}

fn header(path: &Path) -> Result<Vec<u8>, Pkcs11Error> {
    let file = files::open(path).map_err(|error| match error.is_not_found() {
        true => Pkcs11Error::ModuleMissing(path.to_owned()),
        false => Pkcs11Error::ModuleUnreadable(error),
    })?;
    let mut header = Vec::new();
    file.take(LENGTH as u64)
        .read_to_end(&mut header)
        .map_err(|reason| {
            let path = path.to_owned();
            Pkcs11Error::ModuleUnreadable(files::FileError::Unreadable { path, reason })
        })?;
    Ok(header)
}

/// Class, byte order and machine.
fn machine(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_elf = header.starts_with(b"\x7fELF");
    let parts = header.get(4..6).zip(header.get(18..20));
    parts.filter(|_| is_elf)
}
