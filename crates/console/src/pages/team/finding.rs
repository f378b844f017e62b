//! Calls for a page of a list, and their errors.

use tonic::Status;

use super::{
    desk::{Desk, correctable_fields, reason},
    listing::Listing,
    search::WrongFields,
};
use crate::problem::Problem;

/// A page of a list, or the fields of the search that have no valid value.
pub(super) struct Found<T> {
    pub(super) listed: T,
    pub(super) wrong: WrongFields,
    /// For the reader. Empty: there is nothing to say.
    pub(super) notice: String,
}

impl<T: Default> Found<T> {
    pub(super) fn wrong(wrong: WrongFields) -> Self {
        Self {
            listed: T::default(),
            wrong,
            notice: String::new(),
        }
    }
}

/// Finds the page of a listing. If the authority no longer knows that page, it is the first one, and the notice says so.
pub(super) async fn find<S, T, F>(
    desk: &Desk<'_>,
    listing: &mut Listing<S>,
    call: impl Fn(String) -> F,
) -> Result<Found<T>, Problem>
where
    S: Clone + Default,
    T: Default,
    F: Future<Output = Result<T, Status>>,
{
    let mut notice = String::new();
    let mut answer = call(listing.page_token.clone()).await;
    if is_page_gone(&answer) {
        // A newer authority orders the list in another way, or a key was replaced since the page was opened.
        *listing = Listing::of(listing.search.clone());
        notice = desk.words().text("team-page-gone");
        // Once is enough: without a token the same error cannot come again.
        answer = call(String::new()).await;
    }
    match answer {
        Ok(listed) => Ok(Found {
            listed,
            wrong: Vec::new(),
            notice,
        }),
        Err(status) => Ok(Found::wrong(correctable_fields(status)?)),
    }
}

/// Whether the authority does not take the page token.
fn is_page_gone<T>(answer: &Result<T, Status>) -> bool {
    match answer {
        Ok(_) => false,
        Err(status) => reason(status) == "PAGE_TOKEN_INVALID",
    }
}
