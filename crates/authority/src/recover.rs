//! `portcullis recover`: a new history, after a restore or a failover that may have lost writes.

use portcullis_contract::{
    position::{Incarnation, Position, Revision},
    view::View,
};

use crate::{
    crypto::{MasterKey, random},
    feed::{FeedError, load_view},
    store::{Recovered, Store},
};

/// Begins a new history over what the store has. No authority may be running.
///
/// # Errors
/// When the store fails, or its log cannot be read.
pub async fn recover(
    store: &dyn Store,
    master: &MasterKey,
    sign_out: bool,
) -> Result<Recovered, FeedError> {
    let old = load_view(store, master).await?;
    let checkpoint = |recovered: &Recovered| {
        let bytes = first_view(&old, recovered).encode();
        let code = master.authenticate(&bytes).into();
        (bytes, code)
    };
    Ok(store
        .recover(Incarnation(random()), sign_out, &checkpoint)
        .await?)
}

/// The old history's revocations, and the new history's first batch.
fn first_view(old: &View, recovered: &Recovered) -> View {
    let before = Position {
        revision: Revision(recovered.head.revision.0 - 1),
        ..recovered.head
    };
    let before = Position {
        chain: recovered.old.chain,
        ..before
    };
    old.rebased(before)
        .apply(&recovered.frame)
        .expect("the first batch follows by construction")
}
