//! Calls for a page of a list, and their errors.

use tonic::Status;

use super::{
    desk::{Desk, reason, refused_fields},
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
    if let Err(status) = &answer
        && reason(status) == "PAGE_TOKEN_INVALID"
    {
        // A newer authority orders the list in another way, or a key was replaced since the page was opened.
        *listing = Listing::of(listing.search.clone());
        notice = desk.words().text("team-page-gone");
        answer = call(String::new()).await;
    }
    match answer {
        Ok(listed) => Ok(Found {
            listed,
            wrong: Vec::new(),
            notice,
        }),
        Err(status) => match refused_fields(&status) {
            wrong if wrong.is_empty() => Err(status.into()),
            wrong => Ok(Found::wrong(wrong)),
        },
    }
}
