//! Loading a module, finding a token, logging in.

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Info, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};
use cryptoki::types::AuthPin;

use crate::TokenError;

/// Loads and initialises a module. Also returns true if several threads may use it at once.
///
/// # Errors
/// [`TokenError::NotLoaded`] and [`TokenError::NotInitialised`].
pub fn load(path: &Path) -> Result<(Pkcs11, bool), TokenError> {
    let module = Pkcs11::new(path).map_err(|reason| TokenError::NotLoaded {
        module: path.to_owned(),
        reason,
    })?;
    let initialized = match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CantLock, _)) => module
            .initialize(CInitializeArgs::new(CInitializeFlags::empty()))
            .map(|()| false),
        initialized => initialized.map(|()| true),
    };
    match initialized {
        Ok(threads) => Ok((module, threads)),
        Err(reason) => Err(TokenError::NotInitialised {
            module: path.to_owned(),
            reason,
        }),
    }
}

/// Returns the only initialised token that `is_wanted`. `path` is that of the module, for errors.
///
/// # Errors
/// [`TokenError::NoTokenList`], [`TokenError::NoToken`] and [`TokenError::ManyTokens`].
pub fn select_token(
    module: &Pkcs11,
    path: &Path,
    is_wanted: impl Fn(&Info, Slot, &SlotInfo, &TokenInfo) -> bool,
) -> Result<(Slot, TokenInfo), TokenError> {
    let mut all = Vec::new();
    let mut matching = Vec::new();
    let mut list = || {
        let library = module.get_library_info()?;
        for slot in module.get_slots_with_token()? {
            let token = module.get_token_info(slot)?;
            if !token.token_initialized() {
                continue;
            }
            all.push(label_and_serial(&token));
            let slot_info = module.get_slot_info(slot)?;
            if is_wanted(&library, slot, &slot_info, &token) {
                matching.push((slot, token));
            }
        }
        Ok(())
    };
    let path = || path.to_owned();
    list().map_err(|reason| TokenError::NoTokenList {
        module: path(),
        reason,
    })?;
    let Some(found) = matching.pop() else {
        return Err(TokenError::NoToken {
            module: path(),
            tokens: match all.is_empty() {
                true => "no initialised token".to_owned(),
                false => all.join(", "),
            },
        });
    };
    if matching.is_empty() {
        return Ok(found);
    }
    let tokens = matching.iter().chain([&found]);
    let tokens: Vec<String> = tokens.map(|(_, token)| label_and_serial(token)).collect();
    Err(TokenError::ManyTokens {
        module: path(),
        tokens: tokens.join(", "),
    })
}

/// Two tokens may have the same label.
fn label_and_serial(token: &TokenInfo) -> String {
    format!("{:?} (serial {})", token.label(), token.serial_number())
}

/// Logs in as the user. Another session of this process may have done so already.
///
/// # Errors
/// [`TokenError::WrongPin`], [`TokenError::Locked`] and [`TokenError::NoLogin`].
pub fn log_in(session: &Session, token: &TokenInfo, pin: Option<&AuthPin>) -> Result<(), TokenError> {
    let label = token.label().to_owned();
    match session.login(UserType::User, pin) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            Err(TokenError::WrongPin(label))
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::Locked(label)),
        Err(reason) => Err(TokenError::NoLogin { label, reason }),
    }
}
