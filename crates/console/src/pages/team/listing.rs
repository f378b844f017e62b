//! Lists in pages: the state of a list, which travels sealed in the address, and the way from page to page.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::desk::Desk;
use crate::{seal::SealFailed, words::Words};

/// Earlier pages to which a list leads back one by one. Farther back there is the first page. Each is a page token in the
/// address, which servers do not take at any length.
const EARLIER_MAX: usize = 4;

/// A list at a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Listing<S> {
    pub(super) search: S,
    /// The authority's token of this page. Empty: the first one.
    pub(super) page_token: String,
    /// Pages before this one.
    pub(super) before: u32,
    /// The tokens of the pages just before this one, the nearest last.
    earlier: Vec<String>,
    /// Sessions of the tenant, which the authority counts for the first page only.
    pub(super) total: Option<Total>,
    /// Whether the boxes of all rows are ticked.
    pub(super) is_all_selected: bool,
}

/// A number that may be the most that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Total {
    pub(super) count: u32,
    pub(super) is_capped: bool,
}

/// A list of the console, with its address.
pub(super) struct ListPlace {
    /// The name to which the state is sealed.
    pub(super) page: String,
    pub(super) path: String,
}

/// The links from a page to others.
pub(super) struct Pager {
    pub(super) label: String,
    pub(super) first: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    /// This page, read again.
    pub(super) here: String,
    /// This page with all boxes ticked, or with none.
    pub(super) select: String,
    pub(super) select_label: String,
}

impl<S: Clone + Default> Listing<S> {
    /// The first page of a search.
    pub(super) fn of(search: S) -> Self {
        Self {
            search,
            ..Self::default()
        }
    }

    fn after(&self, next_page_token: String) -> Self {
        let mut earlier = self.earlier.clone();
        earlier.push(self.page_token.clone());
        if earlier.len() > EARLIER_MAX {
            // The farthest one goes, because the first page has a link of its own.
            earlier.remove(0);
        }
        Self {
            search: self.search.clone(),
            page_token: next_page_token,
            before: self.before.saturating_add(1),
            earlier,
            total: self.total,
            // Ticked boxes belong to the rows that the reader has seen.
            is_all_selected: false,
        }
    }

    fn previous(&self) -> Option<Self> {
        let mut earlier = self.earlier.clone();
        let page_token = earlier.pop()?;
        let previous = Self {
            search: self.search.clone(),
            page_token,
            before: self.before.saturating_sub(1),
            earlier,
            total: self.total,
            is_all_selected: false,
        };
        Some(previous.counted_anew())
    }

    fn selecting(&self, is_all_selected: bool) -> Self {
        let selecting = Self {
            is_all_selected,
            ..self.clone()
        };
        selecting.counted_anew()
    }

    /// Forgets the total on the first page, where the authority counts again.
    fn counted_anew(self) -> Self {
        if !self.page_token.is_empty() {
            return self;
        }
        Self {
            total: None,
            ..self
        }
    }
}

impl ListPlace {
    /// The address of a list in a state.
    pub(super) fn address<S>(
        &self,
        desk: &Desk<'_>,
        listing: &Listing<S>,
    ) -> Result<String, SealFailed>
    where
        S: Clone + Default + PartialEq + Serialize,
    {
        // The list as it is first seen has the plain address.
        if *listing == Listing::default() {
            return Ok(self.path.clone());
        }
        let sealed = desk.close(&self.page, listing)?;
        Ok(format!("{}?q={sealed}", self.path))
    }

    /// The state in an address. `None` when it was not made here for this reader.
    pub(super) fn open<S>(&self, desk: &Desk<'_>, sealed: &str) -> Option<Listing<S>>
    where
        S: Clone + Default + DeserializeOwned,
    {
        if sealed.is_empty() {
            return Some(Listing::default());
        }
        desk.open(&self.page, sealed)
    }

    /// The links of a page.
    pub(super) fn pager<S>(
        &self,
        desk: &Desk<'_>,
        listing: &Listing<S>,
        next_page_token: &str,
    ) -> Result<Pager, SealFailed>
    where
        S: Clone + Default + PartialEq + Serialize,
    {
        let address = |listing: &Listing<S>| self.address(desk, listing);
        let is_first = listing.page_token.is_empty();
        let first = (!is_first).then(|| Listing::of(listing.search.clone()));
        let next = (!next_page_token.is_empty()).then(|| listing.after(next_page_token.to_owned()));
        Ok(Pager {
            label: page_label(desk.words(), listing.before),
            first: first.as_ref().map(address).transpose()?,
            previous: listing.previous().as_ref().map(address).transpose()?,
            next: next.as_ref().map(address).transpose()?,
            here: address(&listing.selecting(false))?,
            // A link and no script ticks all boxes, so it works in every browser.
            select: address(&listing.selecting(!listing.is_all_selected))?,
            select_label: select_label(desk.words(), listing.is_all_selected),
        })
    }
}

fn page_label(words: &Words, before: u32) -> String {
    words.with("team-page", [("number", before.saturating_add(1))])
}

fn select_label(words: &Words, is_all_selected: bool) -> String {
    if is_all_selected {
        words.text("team-select-none")
    } else {
        words.text("team-select-all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(listing: &Listing<String>) -> (u32, &str) {
        (listing.before, &listing.page_token)
    }

    #[test]
    fn a_list_leads_back_page_by_page_and_keeps_few_tokens() {
        let mut listing = Listing::of("ada".to_owned());
        assert_eq!(listing.previous(), None);
        for number in 1..=10 {
            listing = listing.after(format!("t{number}"));
            assert!(listing.earlier.len() <= EARLIER_MAX);
        }
        assert_eq!(page(&listing), (10, "t10"));
        for number in (6..10).rev() {
            listing = listing.previous().expect("a page before");
            assert_eq!(page(&listing), (number, format!("t{number}").as_str()));
            assert_eq!(listing.search, "ada");
        }
        assert_eq!(listing.previous(), None, "from here the first page is near");

        let second = Listing::of("ada".to_owned()).after("t1".to_owned());
        let first = second.previous().expect("the first page");
        assert_eq!(first, Listing::of("ada".to_owned()));
    }
}
