//! Pages of lists: their sizes and tokens.

use std::sync::Arc;

use super::parse::Fields;
use crate::{
    app::{App, AppError, Caller},
    domain::PageCursor,
    keys::PageTokens,
};

/// Items of one page.
const PAGE_SIZE_MAX: u32 = 200;
const PAGE_SIZE_DEFAULT: u32 = 50;

/// The page tokens of one list: of one caller, one rpc and one set of arguments.
pub(crate) struct Pages {
    tokens: Arc<PageTokens>,
    context: String,
}

impl Pages {
    /// `arguments` contain everything that decides about the items of a page, in any form.
    pub(crate) fn new(app: &App, caller: &Caller, rpc: &str, arguments: &str) -> Self {
        Self {
            tokens: app.secrets.pages(),
            // Authenticated with the token: the position of another list would begin this one at an arbitrary place, and
            // another caller's would reveal that a row exists. The number is the version of the positions.
            context: format!("{}\0{rpc}/2\0{arguments}", caller.binding()),
        }
    }

    /// Returns the position at which the page of a token begins. None: the token is empty, for the first page.
    pub(crate) fn after(&self, token: &str) -> Result<Option<PageCursor>, AppError> {
        if token.is_empty() {
            return Ok(None);
        }
        match self.tokens.read(self.context.as_bytes(), token) {
            Some(position) => Ok(Some(PageCursor(position))),
            // One answer for a token of another list, of another caller and for a forged one: nobody learns which it
            // was.
            None => Err(AppError::PageToken),
        }
    }

    /// Returns the token of the page at a position. Empty: there is no next page.
    pub(crate) fn next(&self, next: Option<&PageCursor>) -> String {
        match next {
            Some(cursor) => self.tokens.make(self.context.as_bytes(), &cursor.0),
            None => String::new(),
        }
    }
}

impl Fields {
    pub(crate) fn page_size(&mut self, size: i32) -> u32 {
        match u32::try_from(size) {
            Ok(0) => PAGE_SIZE_DEFAULT,
            // Lowered and not refused: a client that wants "all" pages on.
            Ok(size) => size.min(PAGE_SIZE_MAX),
            Err(_) => {
                self.wrong("page_size", "must not be negative");
                PAGE_SIZE_DEFAULT
            }
        }
    }
}
