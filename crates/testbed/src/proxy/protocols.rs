//! The two protocols by which tpm2-tss reaches the proxy.
//!
//! Source: what tpm2-tss sends (tcti-mssim.c, tcti-swtpm.c, versions 3.2 to 4.2).

use std::io::{self, Read, Write};
use std::net::TcpStream;

use anyhow::{Result, bail, ensure};

use super::{Shared, UserId};
use crate::wire;

/// mssim protocol: a TPM command follows (locality, size, command).
const MSSIM_SEND_COMMAND: u32 = 8;
/// mssim protocol: the user closes the connection.
const MSSIM_SESSION_END: u32 = 20;
/// mssim protocol, control: power on, NV on, cancel on, cancel off. The answer to each is a zero.
const MSSIM_CONTROL: [u32; 4] = [1, 11, 9, 10];
/// swtpm protocol, control: initialise (4 bytes follow) and set the locality (1 byte follows), as
/// tpm2-tss sends them.
const SWTPM_CONTROL: [(u32, usize); 2] = [(2, 4), (5, 1)];

/// The first byte of every TPM command (TPM_ST_NO_SESSIONS, TPM_ST_SESSIONS). No mssim request
/// starts with it.
const TPM_TAG_BYTE: u8 = 0x80;

pub(super) fn serve_commands(shared: &Shared, user: UserId, stream: TcpStream) -> Result<()> {
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Ok(());
    }
    match first[0] {
        TPM_TAG_BYTE => serve_swtpm(shared, stream),
        _ => serve_mssim(shared, user, stream),
    }
}

fn serve_swtpm(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    while let Some(command) = wire::read_message(&mut stream)? {
        let Some(response) = shared.execute(None, &command)? else {
            break;
        };
        stream.write_all(&response)?;
    }
    Ok(())
}

fn serve_mssim(shared: &Shared, user: UserId, mut stream: TcpStream) -> Result<()> {
    while let Some(request) = read_word(&mut stream)? {
        match request {
            MSSIM_SEND_COMMAND => {}
            MSSIM_SESSION_END => break,
            other => bail!("unknown mssim request {other}"),
        }
        let mut locality_and_size = [0; 5];
        stream.read_exact(&mut locality_and_size)?;
        ensure!(locality_and_size[0] == 0, "the locality is not 0");
        let Some(command) = wire::read_message(&mut stream)? else {
            break;
        };
        let Some(response) = shared.execute(Some(user), &command)? else {
            break;
        };
        // One write, because tpm2-tss reads this socket without blocking after the first byte.
        let mut answer = (response.len() as u32).to_be_bytes().to_vec();
        answer.extend(response);
        answer.extend([0; 4]);
        stream.write_all(&answer)?;
    }
    Ok(())
}

pub(super) fn serve_control(shared: &Shared, _user: UserId, mut stream: TcpStream) -> Result<()> {
    while let Some(request) = read_word(&mut stream)? {
        if MSSIM_CONTROL.contains(&request) {
            stream.write_all(&[0; 4])?;
            continue;
        }
        let Some((_, size)) = SWTPM_CONTROL.iter().find(|(code, _)| *code == request) else {
            break;
        };
        let mut whole = request.to_be_bytes().to_vec();
        whole.resize(4 + size, 0);
        stream.read_exact(&mut whole[4..])?;
        let response = shared.with_tpm(|tpm| tpm.software.control(&whole, 4))?;
        stream.write_all(&response)?;
    }
    Ok(())
}

/// Reads a big-endian 32-bit number. Returns `None` if the stream ends before it.
fn read_word(stream: &mut TcpStream) -> io::Result<Option<u32>> {
    let mut word = [0; 4];
    match stream.read_exact(&mut word) {
        Ok(()) => Ok(Some(u32::from_be_bytes(word))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
