//! What TPM commands and responses look like on the wire, as far as the testbed has to know it.
//!
//! Source: TCG TPM 2.0 Library, Part 1 (structure of commands and responses) and Part 2 (constants).

use std::io::{self, Read};

/// Bytes in the header of a command or of a response: tag, size, and command or response code.
pub(crate) const HEADER_SIZE: usize = 10;

/// The largest command or response that swtpm takes or gives.
const MAX_SIZE: usize = 4096;

const TAG_NO_SESSIONS: u16 = 0x8001;
const TAG_SESSIONS: u16 = 0x8002;
const PASSWORD_SESSION: u32 = 0x4000_0009;

/// A TPM command, to say which ones a fault or a hold concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Every command.
    Any,
    /// TPM2_EvictControl: make an object persistent, or remove a persistent one.
    EvictControl,
    /// TPM2_HierarchyControl.
    HierarchyControl,
    /// TPM2_ChangeEPS.
    ChangeEps,
    /// TPM2_Clear.
    Clear,
    /// TPM2_HierarchyChangeAuth.
    HierarchyChangeAuth,
    /// TPM2_CreatePrimary.
    CreatePrimary,
    /// TPM2_Load.
    Load,
    /// TPM2_Sign.
    Sign,
    /// TPM2_ContextLoad.
    ContextLoad,
    /// TPM2_FlushContext.
    FlushContext,
    /// TPM2_LoadExternal.
    LoadExternal,
    /// TPM2_ReadPublic.
    ReadPublic,
    /// TPM2_StartAuthSession.
    StartAuthSession,
    /// TPM2_GetCapability.
    GetCapability,
    /// TPM2_GetRandom.
    GetRandom,
    /// TPM2_TestParms.
    TestParms,
    /// TPM2_CreateLoaded.
    CreateLoaded,
    /// Any other command, by its code (TPM_CC).
    Code(u32),
}

impl Command {
    /// The command code (TPM_CC); `None` for [`Command::Any`].
    pub fn code(self) -> Option<u32> {
        Some(match self {
            Command::Any => return None,
            Command::EvictControl => 0x120,
            Command::HierarchyControl => 0x121,
            Command::ChangeEps => 0x124,
            Command::Clear => 0x126,
            Command::HierarchyChangeAuth => 0x129,
            Command::CreatePrimary => 0x131,
            Command::Load => 0x157,
            Command::Sign => 0x15D,
            Command::ContextLoad => 0x161,
            Command::FlushContext => 0x165,
            Command::LoadExternal => 0x167,
            Command::ReadPublic => 0x173,
            Command::StartAuthSession => 0x176,
            Command::GetCapability => 0x17A,
            Command::GetRandom => 0x17B,
            Command::TestParms => 0x18A,
            Command::CreateLoaded => 0x191,
            Command::Code(code) => code,
        })
    }
}

/// Commands whose response carries the handle of a new transient object or session:
/// CreatePrimary, Load, HMAC_Start, ContextLoad, LoadExternal, StartAuthSession, HashSequenceStart, CreateLoaded.
const MAKE_HANDLES: [u32; 8] = [0x131, 0x157, 0x15B, 0x161, 0x167, 0x176, 0x186, 0x191];

/// The command or response code of a whole message.
pub(crate) fn code(message: &[u8]) -> u32 {
    word(message, 6)
}

/// The handle that a successful command gave to the caller, if it is of the kind that makes one.
pub(crate) fn new_handle(command_code: u32, response: &[u8]) -> Option<u32> {
    let succeeded = code(response) == 0 && response.len() >= HEADER_SIZE + 4;
    (succeeded && MAKE_HANDLES.contains(&command_code)).then(|| word(response, HEADER_SIZE))
}

/// The handle that a TPM2_FlushContext command names.
pub(crate) fn flushed_handle(command: &[u8]) -> Option<u32> {
    (Some(code(command)) == Command::FlushContext.code() && command.len() >= HEADER_SIZE + 4)
        .then(|| word(command, HEADER_SIZE))
}

/// The big-endian number at `offset`; zero where the message is too short for one.
pub(crate) fn word(message: &[u8], offset: usize) -> u32 {
    let bytes = message
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

/// Reads one whole command or response; `None` when the stream ends before its first byte.
pub(crate) fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; HEADER_SIZE];
    let first = stream.read(&mut message)?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut message[first..])?;
    let size = word(&message, 2) as usize;
    if !(HEADER_SIZE..=MAX_SIZE).contains(&size) {
        let what = format!("a TPM message that claims to be {size} bytes long");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    message.resize(size, 0);
    stream.read_exact(&mut message[HEADER_SIZE..])?;
    Ok(Some(message))
}

/// A response that carries a response code (TPM_RC) and nothing else.
pub(crate) fn bare_response(code: u32) -> Vec<u8> {
    message(TAG_NO_SESSIONS, code, &[])
}

/// A command without authorisation.
pub(crate) fn plain_command(code: u32, body: &[u8]) -> Vec<u8> {
    message(TAG_NO_SESSIONS, code, body)
}

/// A command whose first handle is authorised with a password.
pub(crate) fn password_command(
    code: u32,
    handles: &[u32],
    password: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let mut session = PASSWORD_SESSION.to_be_bytes().to_vec();
    session.extend([0, 0, 0]); // no nonce, no session attributes
    session.extend(sized(password));

    let mut whole: Vec<u8> = handles
        .iter()
        .flat_map(|handle| handle.to_be_bytes())
        .collect();
    whole.extend((session.len() as u32).to_be_bytes());
    whole.extend(session);
    whole.extend(body);
    message(TAG_SESSIONS, code, &whole)
}

/// Bytes with their 16-bit length in front (a TPM2B structure).
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut whole = (bytes.len() as u16).to_be_bytes().to_vec();
    whole.extend(bytes);
    whole
}

fn message(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let mut whole = tag.to_be_bytes().to_vec();
    whole.extend(((HEADER_SIZE + body.len()) as u32).to_be_bytes());
    whole.extend(code.to_be_bytes());
    whole.extend(body);
    whole
}
