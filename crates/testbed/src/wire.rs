//! The wire format of TPM commands and responses, as far as the testbed needs it.
//!
//! Source: TCG TPM 2.0 Library, Part 1 (structure of commands and responses) and Part 2
//! (constants).

use std::io::{self, Read};

/// Size in bytes of the header of a command or response: tag, size, and command or response code.
pub(crate) const HEADER_SIZE: usize = 10;

/// Size in bytes of the largest command or response of swtpm.
const MAX_SIZE: usize = 4096;

const TAG_NO_SESSIONS: u16 = 0x8001;
const TAG_SESSIONS: u16 = 0x8002;
const PASSWORD_SESSION: u32 = 0x4000_0009;

// Command codes (TPM_CC, Part 2) that the testbed sends or looks for.
pub(crate) const CC_EVICT_CONTROL: u32 = 0x120;
pub(crate) const CC_HIERARCHY_CONTROL: u32 = 0x121;
pub(crate) const CC_CHANGE_EPS: u32 = 0x124;
pub(crate) const CC_CLEAR: u32 = 0x126;
pub(crate) const CC_HIERARCHY_CHANGE_AUTH: u32 = 0x129;
pub(crate) const CC_CREATE_PRIMARY: u32 = 0x131;
pub(crate) const CC_LOAD: u32 = 0x157;
pub(crate) const CC_HMAC_START: u32 = 0x15B;
pub(crate) const CC_CONTEXT_LOAD: u32 = 0x161;
pub(crate) const CC_FLUSH_CONTEXT: u32 = 0x165;
pub(crate) const CC_LOAD_EXTERNAL: u32 = 0x167;
pub(crate) const CC_START_AUTH_SESSION: u32 = 0x176;
pub(crate) const CC_GET_CAPABILITY: u32 = 0x17A;
pub(crate) const CC_HASH_SEQUENCE_START: u32 = 0x186;
pub(crate) const CC_CREATE_LOADED: u32 = 0x191;

/// A TPM command, to select the commands that meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Every command.
    Any,
    /// TPM2_EvictControl: makes an object persistent, or removes a persistent one.
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
    /// Any command, by its code (TPM_CC).
    Code(u32),
}

impl Command {
    /// The command code (TPM_CC), or `None` for [`Command::Any`].
    pub fn code(self) -> Option<u32> {
        Some(match self {
            Command::Any => return None,
            Command::EvictControl => CC_EVICT_CONTROL,
            Command::HierarchyControl => CC_HIERARCHY_CONTROL,
            Command::ChangeEps => CC_CHANGE_EPS,
            Command::Clear => CC_CLEAR,
            Command::HierarchyChangeAuth => CC_HIERARCHY_CHANGE_AUTH,
            Command::CreatePrimary => CC_CREATE_PRIMARY,
            Command::Load => CC_LOAD,
            Command::Sign => 0x15D,
            Command::ContextLoad => CC_CONTEXT_LOAD,
            Command::FlushContext => CC_FLUSH_CONTEXT,
            Command::LoadExternal => CC_LOAD_EXTERNAL,
            Command::ReadPublic => 0x173,
            Command::StartAuthSession => CC_START_AUTH_SESSION,
            Command::GetCapability => CC_GET_CAPABILITY,
            Command::GetRandom => 0x17B,
            Command::TestParms => 0x18A,
            Command::CreateLoaded => CC_CREATE_LOADED,
            Command::Code(code) => code,
        })
    }
}

/// Commands whose response has the handle of a new transient object or session.
const MAKE_HANDLES: [u32; 8] = [
    CC_CREATE_PRIMARY,
    CC_LOAD,
    CC_HMAC_START,
    CC_CONTEXT_LOAD,
    CC_LOAD_EXTERNAL,
    CC_START_AUTH_SESSION,
    CC_HASH_SEQUENCE_START,
    CC_CREATE_LOADED,
];

/// The command or response code of a complete message.
pub(crate) fn code(message: &[u8]) -> u32 {
    word(message, 6)
}

/// The handle of the new object or session, if the command creates one and has succeeded.
pub(crate) fn new_handle(command_code: u32, response: &[u8]) -> Option<u32> {
    let succeeded = code(response) == 0 && response.len() >= HEADER_SIZE + 4;
    (succeeded && MAKE_HANDLES.contains(&command_code)).then(|| word(response, HEADER_SIZE))
}

/// The big-endian number at `offset`, or zero if the message is too short.
pub(crate) fn word(message: &[u8], offset: usize) -> u32 {
    let bytes = message
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

/// Reads one complete command or response. Returns `None` if the stream ends before its first byte.
pub(crate) fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; HEADER_SIZE];
    let first = stream.read(&mut message)?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut message[first..])?;
    let size = word(&message, 2) as usize;
    if !(HEADER_SIZE..=MAX_SIZE).contains(&size) {
        let error = format!("the size of a TPM message is {size} bytes, not {HEADER_SIZE} to {MAX_SIZE}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    message.resize(size, 0);
    stream.read_exact(&mut message[HEADER_SIZE..])?;
    Ok(Some(message))
}

/// A response with only a response code (TPM_RC).
pub(crate) fn bare_response(code: u32) -> Vec<u8> {
    message(TAG_NO_SESSIONS, code, &[])
}

/// A command without authorisation.
pub(crate) fn plain_command(code: u32, body: &[u8]) -> Vec<u8> {
    message(TAG_NO_SESSIONS, code, body)
}

/// A command with password authorisation for its first handle.
pub(crate) fn password_command(code: u32, handles: &[u32], password: &[u8], body: &[u8]) -> Vec<u8> {
    let mut session = PASSWORD_SESSION.to_be_bytes().to_vec();
    session.extend([0, 0, 0]); // no nonce, no session attributes
    session.extend(sized(password));

    let mut whole: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    whole.extend((session.len() as u32).to_be_bytes());
    whole.extend(session);
    whole.extend(body);
    message(TAG_SESSIONS, code, &whole)
}

/// Bytes after their 16-bit length (a TPM2B structure).
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
