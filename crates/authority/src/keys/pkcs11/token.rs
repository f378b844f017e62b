//! One use of a token: load the module, log in, make one code, and leave.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use tokio::{sync::oneshot, time::timeout};
use zeroize::Zeroizing;

use super::super::{MasterKey, master_key::DERIVED_FROM};
use crate::config::Pkcs11Config;

/// The longest use of a token.
const TOKEN_TIME_MAX: Duration = Duration::from_secs(30);

/// Only one use at a time: a module has one state for the whole process, and whoever ends it ends it for all.
static MODULE: Mutex<()> = Mutex::new(());

/// Why a token gave no master key.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The library is not there, or no module of PKCS#11.
    #[error("cannot be loaded: {0}")]
    Module(Error),
    /// The library does not start.
    #[error("does not start: {0}")]
    Start(Error),
    /// No slot has a token of this label now.
    #[error("there is no token with this label: is it plugged in, and may this user reach it?")]
    NoToken,
    /// Several slots have one.
    #[error("{0} tokens have this label")]
    ManyTokens(usize),
    /// The PIN is not that of the user.
    #[error("the token refuses this PIN; after some wrong ones it locks itself")]
    WrongPin,
    /// There were too many wrong ones.
    #[error("the token is locked: its security officer has to set a new PIN")]
    PinLocked,
    /// A wrong one would lock the token. A service that is restarted again and again must not be the one to do it.
    #[error("is not tried, because the token has one attempt left: log in once by hand")]
    LastAttempt,
    /// The token has no secret key of this label.
    #[error("the token has no secret key with this label")]
    NoKey,
    /// It has several.
    #[error("{0} secret keys of the token have this label")]
    ManyKeys(usize),
    /// Whoever has the PIN could take the key away.
    #[error("the token would give this key away: make one that is sensitive and not extractable")]
    Extractable,
    /// The token does not make a code by it.
    #[error("the token makes no HMAC-SHA-256 by this key: {0}")]
    NoCode(Error),
    /// The code is no key.
    #[error("the token made a code of {0} bytes, and not of 32")]
    CodeLength(usize),
    /// It was removed, or the connection to it broke.
    #[error("the token went away: {0}")]
    Gone(Error),
    /// It did not answer.
    #[error("no answer within {} s", TOKEN_TIME_MAX.as_secs())]
    Hangs,
}

impl TokenError {
    /// The setting that it is about.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Module(_) | Self::Start(_) | Self::Hangs => "module",
            Self::NoToken | Self::ManyTokens(_) | Self::Gone(_) => "token",
            Self::WrongPin | Self::PinLocked | Self::LastAttempt => "pin",
            Self::NoKey
            | Self::ManyKeys(_)
            | Self::Extractable
            | Self::NoCode(_)
            | Self::CodeLength(_) => "key",
        }
    }
}

/// Derives the master key.
pub(super) async fn derive(
    config: Pkcs11Config,
    pin: Zeroizing<String>,
) -> Result<MasterKey, TokenError> {
    let (sender, receiver) = oneshot::channel();
    // A thread of its own, and none of the runtime's: that would wait for it at its end, also if the module hangs.
    thread::spawn(move || {
        let _unheard = sender.send(derive_blocking(&config, &pin));
    });
    match timeout(TOKEN_TIME_MAX, receiver).await {
        Ok(Ok(derived)) => derived,
        // The thread panicked, or still waits for the module.
        Ok(Err(_)) | Err(_) => Err(TokenError::Hangs),
    }
}

fn derive_blocking(config: &Pkcs11Config, pin: &str) -> Result<MasterKey, TokenError> {
    let _only_one = MODULE.lock().unwrap_or_else(PoisonError::into_inner);
    let module = Pkcs11::new(&config.module).map_err(TokenError::Module)?;
    // It stays loaded: the libraries that modules bring along do not all bear to be unloaded.
    std::mem::forget(module.clone());

    let is_ours = initialize(&module)?;
    let derived = derive_by(&module, config, pin);
    if is_ours {
        // The key is here already, so an error at the end changes nothing.
        let _ended = module.finalize();
    }
    derived
}

/// Starts a module. Returns false if it runs already.
fn initialize(module: &Pkcs11) -> Result<bool, TokenError> {
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    match module.initialize(arguments) {
        Ok(()) => Ok(true),
        // By somebody else in this process, who still uses it.
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(false),
        Err(error) => Err(TokenError::Start(error)),
    }
}

fn derive_by(module: &Pkcs11, config: &Pkcs11Config, pin: &str) -> Result<MasterKey, TokenError> {
    let slot = find_slot(module, &config.token)?;
    let token = module.get_token_info(slot).map_err(TokenError::Gone)?;
    if token.user_pin_final_try() {
        return Err(TokenError::LastAttempt);
    }

    let session = module.open_ro_session(slot).map_err(TokenError::Gone)?;
    log_in(&session, pin)?;
    let key = find_key(&session, &config.key)?;
    check_key(&session, key)?;
    let code = session
        .sign(&Mechanism::Sha256Hmac, key, DERIVED_FROM)
        .map_err(TokenError::NoCode)?;
    let code = Zeroizing::new(code);
    MasterKey::from_derived(&code).ok_or(TokenError::CodeLength(code.len()))
}

fn find_slot(module: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = module.get_slots_with_token().map_err(TokenError::Start)?;
    let mut found = Vec::new();
    for slot in slots {
        // A token that went away between the two calls is none.
        if let Ok(token) = module.get_token_info(slot)
            && token.label() == label
        {
            found.push(slot);
        }
    }
    match found[..] {
        [] => Err(TokenError::NoToken),
        [slot] => Ok(slot),
        _ => Err(TokenError::ManyTokens(found.len())),
    }
}

fn log_in(session: &Session, pin: &str) -> Result<(), TokenError> {
    let pin = AuthPin::from(pin.to_owned());
    match session.login(UserType::User, Some(&pin)) {
        // A login is of the whole process. Another use of the module may have logged in before.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(TokenError::WrongPin),
        Err(error) => Err(TokenError::Gone(error)),
    }
}

fn find_key(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session.find_objects(&wanted).map_err(TokenError::Gone)?;
    match found[..] {
        [] => Err(TokenError::NoKey),
        [key] => Ok(key),
        _ => Err(TokenError::ManyKeys(found.len())),
    }
}

/// Fails unless the token keeps the key to itself.
fn check_key(session: &Session, key: ObjectHandle) -> Result<(), TokenError> {
    let asked = [AttributeType::Sensitive, AttributeType::Extractable];
    let attributes = session
        .get_attributes(key, &asked)
        .map_err(TokenError::Gone)?;
    let is_kept = attributes.contains(&Attribute::Sensitive(true))
        && attributes.contains(&Attribute::Extractable(false));
    if !is_kept {
        return Err(TokenError::Extractable);
    }
    Ok(())
}
