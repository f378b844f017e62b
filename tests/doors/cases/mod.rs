//! The cases, one list. Each is a function over a [`Scene`].

mod credentials;
mod ends;

use futures::future::BoxFuture;
use portcullis_tests::door::{Abilities, Ability};

use crate::scene::Scene;

/// A case of the suite.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// The abilities that a door needs for it.
    needs: &'static [fn(&Abilities) -> Ability],
    /// Runs it, and panics when the door does not pass.
    pub run: fn(Scene) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Whether a door with these abilities can pass: the first lack, if any.
    pub fn ability(&self, abilities: &Abilities) -> Ability {
        let mut needs = self.needs.iter().map(|need| need(abilities));
        needs
            .find(|ability| *ability != Ability::Yes)
            .unwrap_or(Ability::Yes)
    }
}

/// Writes a case: its name, its function, and the abilities that it needs.
macro_rules! case {
    ($name:literal, $run:path $(, $need:ident)*) => {
        Case {
            name: $name,
            needs: &[$(|abilities| abilities.$need),*],
            run: |scene| Box::pin($run(scene)),
        }
    };
}

/// Every case, in the order of the table.
pub const CASES: &[Case] = &[
    case!("live credential", credentials::live),
    case!("live credential in a cookie", credentials::cookie),
    case!("HTTP/2", credentials::http2, http2),
    case!("absent credential", credentials::absent),
    case!("malformed credential", credentials::malformed),
    case!("foreign credential", credentials::foreign),
    case!("expired credential", credentials::expired),
    case!("not yet valid credential", credentials::not_yet_valid),
    case!("two credentials", credentials::two),
    case!(
        "API key where a session is asked",
        credentials::api_key_for_session
    ),
    case!("revoked session", ends::revoked),
    case!("forced sign-out", ends::forced_sign_out),
    case!("tenant sign-out", ends::tenant_sign_out),
    case!("disabled user", ends::disabled_user),
];
