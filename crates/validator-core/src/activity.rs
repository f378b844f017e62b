//! What requests leave behind until it is reported: counts, the last time, the last address, the last page.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use portcullis_contract::{token::TokenClaims, v1};
use tokio::sync::mpsc;

use crate::{clock::Mark, identity::Admitted};

/// The longest page that is reported, in bytes; what is longer is cut off.
pub(crate) const PAGE_BYTES_MAX: usize = 512;
/// The most requests of one token that one report counts.
const REQUESTS_MAX: u64 = 1 << 31;
/// The oldest request that is reported, in milliseconds: an older one is said to be this old.
const AGE_MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// What a request tells beside its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// The client's address. None: not known.
    pub ip: Option<IpAddr>,
    /// The path, of which `?` or `#` and what follows is not taken. None: not told. The authority keeps the last one where
    /// the tenant's policy says so.
    pub page: Option<&'a str>,
    /// The source that forged tokens are counted for, as the gateway likes: an account, a network. None: the address,
    /// or the first half of it when it is an IPv6 address. A source that showed too many is refused further first
    /// sights for a while ([`Rejection::Busy`](crate::Rejection)); known tokens are not concerned.
    pub source: Option<&'a [u8]>,
}

/// The use of one token since it was last reported.
#[derive(Default)]
pub(crate) struct Activity {
    requests: AtomicU64,
    /// When the last of them was, in milliseconds of [`Mark::millis`].
    last: AtomicU64,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    ip: Option<IpAddr>,
    page: String,
}

impl Activity {
    /// Counts a request that was admitted. Never waits, and allocates only for a page that is longer than any before.
    #[inline]
    pub(crate) fn note(&self, now: &Mark, request: &RequestInfo<'_>) {
        self.requests.fetch_add(1, Relaxed);
        self.last.store(now.millis(), Relaxed);
        if request.ip.is_some() || request.page.is_some() {
            self.note_place(request);
        }
    }

    fn note_place(&self, request: &RequestInfo<'_>) {
        // Whoever meets another request of the same token leaves it to that one.
        let Ok(mut place) = self.place.try_lock() else {
            return;
        };
        place.ip = request.ip.or(place.ip);
        if let Some(page) = request.page.map(presentable)
            && page != place.page
        {
            place.page.clear();
            place.page.push_str(page);
        }
    }

    /// Requests that have not been reported.
    pub(crate) fn pending(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Takes reported requests off.
    pub(crate) fn settle(&self, requests: u32) {
        self.requests.fetch_sub(requests.into(), Relaxed);
    }

    /// What there is to report of `who`; none: nothing.
    fn report(&self, who: &impl TokenClaims, now: &Mark) -> Option<v1::Activity> {
        let requests = u32::try_from(self.pending().min(REQUESTS_MAX))
            .ok()
            .filter(|requests| *requests > 0)?;
        let millis = now
            .millis()
            .saturating_sub(self.last.load(Relaxed))
            .min(AGE_MILLIS_MAX);
        let age = std::time::Duration::from_millis(millis);
        let place = self.place.try_lock();
        let (ip, page) = place.map_or((None, String::new()), |place| {
            (place.ip, place.page.clone())
        });
        Some(v1::Activity {
            tenant_id: who.tenant_id().to_string(),
            credential_id: who.credential_id(),
            requests,
            age: age.try_into().ok(),
            ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
            last_page: page,
        })
    }
}

/// An identity of any kind, as the reporter sees it.
pub(crate) trait Used: Send + Sync {
    /// Its use; none: it is not tracked.
    fn activity(&self) -> Option<&Activity>;

    /// What there is to report; none: nothing.
    fn report(&self, now: &Mark) -> Option<v1::Activity>;
}

impl<C: TokenClaims> Used for Admitted<C> {
    fn activity(&self) -> Option<&Activity> {
        self.activity()
    }

    fn report(&self, now: &Mark) -> Option<v1::Activity> {
        self.activity()?.report(&self.claims, now)
    }
}

/// What of a page may be reported: the authority would refuse a whole report for one that is too long or has a control
/// character.
fn presentable(page: &str) -> &str {
    let path = page.split(['?', '#']).next().unwrap_or_default();
    let path = &path[..path.floor_char_boundary(PAGE_BYTES_MAX)];
    if path.chars().any(char::is_control) {
        ""
    } else {
        path
    }
}

/// The way of identities to the reporter, and the bound on how many it has.
pub(crate) struct Tracking {
    tracked: AtomicUsize,
    tracked_max: usize,
    reported: AtomicU64,
    /// Whether use found no room since the last round of reports.
    dropped: AtomicBool,
    fresh: mpsc::Sender<Arc<dyn Used>>,
}

impl Tracking {
    /// At most `tracked_max` identities are tracked at a time.
    pub(crate) fn new(tracked_max: usize) -> (Self, mpsc::Receiver<Arc<dyn Used>>) {
        let (fresh, tracked) = mpsc::channel(tracked_max);
        (
            Self {
                tracked: AtomicUsize::new(0),
                tracked_max,
                reported: AtomicU64::new(0),
                dropped: AtomicBool::new(false),
                fresh,
            },
            tracked,
        )
    }

    /// Has the use of an identity reported from now on; none: there is no room.
    pub(crate) fn track<'a, C: TokenClaims>(
        &self,
        identity: &'a Arc<Admitted<C>>,
    ) -> Option<&'a Activity> {
        let take = |tracked| (tracked < self.tracked_max).then_some(tracked + 1);
        if self.tracked.fetch_update(Relaxed, Relaxed, take).is_err() {
            self.note_dropped();
            return None;
        }
        if identity.begin_activity() {
            let used: Arc<dyn Used> = Arc::<Admitted<C>>::clone(identity);
            // The channel has as much room as there is; it is closed when nobody reports any more.
            let _ = self.fresh.try_send(used);
        } else {
            self.release(1);
        }
        identity.activity()
    }

    /// Makes room.
    pub(crate) fn release(&self, identities: usize) {
        self.tracked.fetch_sub(identities, Relaxed);
    }

    /// Notes that use found no room.
    pub(crate) fn note_dropped(&self) {
        self.dropped.store(true, Relaxed);
    }

    /// Whether use found no room since this was asked last.
    pub(crate) fn take_dropped(&self) -> bool {
        self.dropped.swap(false, Relaxed)
    }

    /// Counts requests that were reported.
    pub(crate) fn add_reported(&self, requests: u64) {
        self.reported.fetch_add(requests, Relaxed);
    }

    /// Identities that are tracked, and requests that were reported.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.tracked.load(Relaxed), self.reported.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_path_that_the_authority_takes() {
        assert_eq!(presentable("/a/b?token=x#y"), "/a/b");
        assert_eq!(presentable("/a#y?z"), "/a");
        assert_eq!(presentable("/a\nb"), "");
        assert_eq!(presentable(&"x".repeat(1_000)).len(), PAGE_BYTES_MAX);
        let wide = format!("/{}", "語".repeat(1_000));
        assert_eq!(presentable(&wide).len(), 511, "no letter is cut in two");
    }

    #[test]
    fn the_last_place_stays_until_another_is_told() {
        let (activity, now) = (Activity::default(), Mark::now());
        let one = RequestInfo {
            ip: Some([10, 0, 0, 1].into()),
            page: Some("/one?x"),
            source: None,
        };
        for request in [
            one,
            RequestInfo {
                ip: None,
                page: Some("/two"),
                source: None,
            },
            RequestInfo::default(),
        ] {
            activity.note(&now, &request);
        }
        assert_eq!(activity.pending(), 3);
        let place = activity.place.lock().expect("whole");
        assert_eq!((place.ip, place.page.as_str()), (one.ip, "/two"));
        activity.note(&now, &one);
        assert_eq!(
            activity.pending(),
            4,
            "who does not get the lock does not wait for it"
        );
    }
}
