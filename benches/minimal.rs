//! The minimum that a hook must do: opens the TCTI, sends the same TPM commands, and ends. The
//! benchmark compares the hooks with it.

use std::env;
use std::str::FromStr as _;

use tss_esapi::Context;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, HashcheckTicket, SignatureScheme};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::tss2_esys::{TPM2B_DIGEST, TPMT_TK_HASHCHECK};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sign = env::args().any(|argument| argument == "sign");
    let mut context = Context::new(TctiNameConf::from_str(&env::var("TCTI")?)?)?;
    let handle = TpmHandle::Persistent(PersistentTpmHandle::new(0x8101_8C00)?);
    let key = KeyHandle::from(context.tr_from_tpm_public(handle)?);
    if sign {
        let ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
            tag: TPM2_ST_HASHCHECK,
            hierarchy: TPM2_RH_NULL,
            digest: TPM2B_DIGEST::default(),
        })?;
        context.execute_with_session(Some(AuthSession::Password), |context| {
            context.sign(
                key,
                Digest::try_from([7; 32].as_slice())?,
                SignatureScheme::Null,
                ticket,
            )
        })?;
    }
    Ok(())
}
