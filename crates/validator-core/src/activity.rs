//! The use of one token until it is reported: a count, the last time, the last address, the last page.

use std::{
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_contract::{token::TokenClaims, v1};

use crate::clock::Mark;

/// The longest page that is reported, in bytes. A longer one is cut off.
const PAGE_BYTES_MAX: usize = 512;
/// The most requests of one token that one report counts.
const REQUESTS_MAX: u64 = 1 << 31;
/// The greatest age of a request that is reported, in milliseconds. An older request is reported with this age.
const AGE_MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Facts about a request beside its token. All of them are optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The path. `?` or `#` and the text behind it are cut off. The authority keeps the last one where the tenant's
    /// policy allows it.
    pub page: Option<&'a str>,
    /// The source that forged tokens are counted for, as the gateway likes: an account, a network.
    ///
    /// Without it the address counts, or the first half of an IPv6 address. A source that showed too many forged tokens
    /// is refused further unknown tokens for a while ([`Rejection::Busy`](crate::Rejection::Busy)). Known tokens are
    /// admitted as before.
    pub source: Option<&'a [u8]>,
    /// Whether a program made the request by itself, such as a poll of an open page. Such a request is admitted or
    /// refused like any other, and is no use of the session: its time, address and page are not reported. Default false.
    ///
    /// A client may say so itself: at worst its session ends as idle sooner.
    pub background: bool,
    /// Whether the request is refused without a proof of freshness, also by an engine in best-effort mode. It tightens
    /// [`Mode`](crate::Mode) for this request and never loosens it. Default false.
    pub strict: bool,
}

/// The use of one token since it was last reported.
#[derive(Default)]
pub(crate) struct Activity {
    requests: AtomicU64,
    /// The time of the last request, in milliseconds of [`Mark::millis`].
    last: AtomicU64,
    last_seen: Mutex<LastSeen>,
}

/// The address and the page of the last request that told them.
#[derive(Default)]
struct LastSeen {
    ip: Option<IpAddr>,
    page: String,
}

impl Activity {
    /// Counts a request that was admitted. Never waits, and allocates only for a page that is longer than any before.
    #[inline]
    pub(crate) fn record_request(&self, now: &Mark, request: &RequestInfo<'_>) {
        self.requests.fetch_add(1, Relaxed);
        // Two requests at a time may store the older time last. The difference is far below what a policy counts in.
        self.last.store(now.millis(), Relaxed);
        if request.ip.is_some() || request.page.is_some() {
            self.record_last_seen(request);
        }
    }

    fn record_last_seen(&self, request: &RequestInfo<'_>) {
        // A lock that is taken means that another request of the same token writes just now, which is as good.
        let Ok(mut last_seen) = self.last_seen.try_lock() else {
            return;
        };
        if request.ip.is_some() {
            last_seen.ip = request.ip;
        }
        let Some(page) = request.page.map(presentable_page) else {
            return;
        };
        // Most requests of a token are for few pages: comparing is cheaper than copying.
        if page != last_seen.page {
            last_seen.page.clear();
            last_seen.page.push_str(page);
        }
    }

    /// The number of requests that have not been reported.
    pub(crate) fn pending(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Takes reported requests off the count.
    pub(crate) fn settle(&self, requests: u32) {
        // Subtracted, not set to zero: requests that came while the report was under way stay counted.
        self.requests.fetch_sub(requests.into(), Relaxed);
    }

    /// Returns the entry of a report for the credential with these claims, or `None` when it was not used.
    pub(crate) fn report(&self, claims: &impl TokenClaims, now: &Mark) -> Option<v1::Activity> {
        // Capped instead of dropped: the rest stays counted and goes out with the next report.
        let requests = u32::try_from(self.pending().min(REQUESTS_MAX)).ok()?;
        if requests == 0 {
            return None;
        }

        let millis = now.millis().saturating_sub(self.last.load(Relaxed));
        let age = Duration::from_millis(millis.min(AGE_MILLIS_MAX));
        let (ip, last_page) = self.copy_last_seen();
        Some(v1::Activity {
            tenant_id: claims.tenant_id().to_string(),
            credential_id: claims.credential_id(),
            requests,
            age: age.try_into().ok(),
            ip,
            last_page,
        })
    }

    /// Returns the address and the page of the last use, as a report has them.
    fn copy_last_seen(&self) -> (String, String) {
        let Ok(last_seen) = self.last_seen.try_lock() else {
            // A request that holds the lock has newer facts, which the next report takes along.
            return (String::new(), String::new());
        };
        // A socket of both versions of IP writes IPv4 addresses as IPv6. People know them as IPv4.
        let ip = last_seen.ip.map(|ip| ip.to_canonical().to_string());
        (ip.unwrap_or_default(), last_seen.page.clone())
    }
}

/// Returns the part of a page that may be reported.
///
/// The authority would refuse a whole report for one page that is too long or has a control character.
fn presentable_page(page: &str) -> &str {
    // A query or a fragment may hold a secret, for example a reset token.
    let path = page.split(['?', '#']).next().unwrap_or_default();
    let path = &path[..path.floor_char_boundary(PAGE_BYTES_MAX)];
    if path.chars().any(char::is_control) {
        ""
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_path_that_the_authority_takes() {
        assert_eq!(presentable_page("/a/b?token=x#y"), "/a/b");
        assert_eq!(presentable_page("/a#y?z"), "/a");
        assert_eq!(presentable_page("/a\nb"), "");
        assert_eq!(presentable_page(&"x".repeat(1_000)).len(), PAGE_BYTES_MAX);
        let wide = format!("/{}", "語".repeat(1_000));
        assert_eq!(
            presentable_page(&wide).len(),
            511,
            "no letter is cut in two"
        );
    }

    #[test]
    fn no_request_is_reported_as_older_than_a_day() {
        assert_eq!(Duration::from_millis(AGE_MILLIS_MAX).as_secs(), 86_400);
    }

    #[test]
    fn the_last_place_stays_until_another_is_told() {
        let (activity, now) = (Activity::default(), Mark::now());
        let one = RequestInfo {
            ip: Some([10, 0, 0, 1].into()),
            page: Some("/one?x"),
            ..RequestInfo::default()
        };
        for request in [
            one,
            RequestInfo {
                page: Some("/two"),
                ..RequestInfo::default()
            },
            RequestInfo::default(),
        ] {
            activity.record_request(&now, &request);
        }
        assert_eq!(activity.pending(), 3);
        let last_seen = activity.last_seen.lock().expect("whole");
        assert_eq!((last_seen.ip, last_seen.page.as_str()), (one.ip, "/two"));
        activity.record_request(&now, &one);
        assert_eq!(
            activity.pending(),
            4,
            "who does not get the lock does not wait for it"
        );
    }
}
