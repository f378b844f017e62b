//! Sessions of the authority.

use anyhow::Result;
use futures::future::try_join_all;
use portcullis_tests::authority::session_id;

use crate::world::{Process, sign_in};

/// Sign-ins at a time.
const CALLERS: usize = 16;

/// A session that was signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Signs users in, each once.
pub(crate) async fn sign_in_many(authority: &Process, count: usize) -> Result<Vec<Session>> {
    let sessions = authority.sessions().await?;
    let caller = |caller: usize| {
        let mut sessions = sessions.clone();
        async move {
            let mut opened = Vec::new();
            for number in (caller..count).step_by(CALLERS) {
                let created = sign_in(&mut sessions, &format!("user-{number}")).await?;
                opened.push(Session {
                    id: session_id(&created),
                    token: created.access_token,
                });
            }
            anyhow::Ok(opened)
        }
    };
    let opened = try_join_all((0..CALLERS).map(caller)).await?;
    Ok(opened.into_iter().flatten().collect())
}
