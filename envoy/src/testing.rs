//! An Envoy for tests of the seam: it records what the module does, and panics where it is told to.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    envoy::{Answer, ConfigHost, HeaderKind, Stream, WakeUp},
    meters::MeterId,
    route::RouteConfig,
};

/// The place of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PanicAt {
    ReadingHeaders,
    SettingHeaders,
    ClientAddress,
    Answering,
}

/// A stream that records.
#[derive(Default)]
pub(crate) struct FakeStream {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) route: Option<RouteConfig>,
    pub(crate) panic_at: Option<PanicAt>,
    /// Status and body of each answer.
    pub(crate) answers: Vec<(u16, String)>,
    /// Names and values of the headers of the last answer.
    pub(crate) answered_headers: Vec<(String, String)>,
    pub(crate) resets: Vec<String>,
    pub(crate) routes_cleared: u32,
    pub(crate) counts: RefCell<HashMap<usize, u64>>,
    pub(crate) wake_ups: Arc<AtomicU32>,
}

impl FakeStream {
    /// A request with its pseudo headers.
    pub(crate) fn get(path: &str) -> Self {
        let mut stream = Self::default();
        for (name, value) in [
            (":method", "GET"),
            (":authority", "app.test"),
            (":path", path),
            (":scheme", "http"),
        ] {
            stream.headers.push((name.into(), value.into()));
        }
        stream
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// The values of a request's header.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        for (known, value) in &self.headers {
            if known.eq_ignore_ascii_case(name) {
                values.push(String::from_utf8_lossy(value).into_owned());
            }
        }
        values
    }

    /// The number of a counter.
    pub(crate) fn counted(&self, counter: MeterId) -> u64 {
        self.counts
            .borrow()
            .get(&counter.0)
            .copied()
            .unwrap_or_default()
    }

    fn map(&mut self, kind: HeaderKind) -> &mut Vec<(String, Vec<u8>)> {
        match kind {
            HeaderKind::Request => &mut self.headers,
            HeaderKind::RequestTrailers => &mut self.trailers,
        }
    }

    fn reached(&self, place: PanicAt) {
        assert!(self.panic_at != Some(place), "told to panic at {place:?}");
    }
}

impl Stream for FakeStream {
    fn visit_headers(&self, kind: HeaderKind, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.reached(PanicAt::ReadingHeaders);
        let headers = match kind {
            HeaderKind::Request => &self.headers,
            HeaderKind::RequestTrailers => &self.trailers,
        };
        for (name, value) in headers {
            visit(name.as_bytes(), value);
        }
    }

    fn set_header(&mut self, kind: HeaderKind, name: &str, value: &[u8]) {
        self.reached(PanicAt::SettingHeaders);
        self.remove_header(kind, name);
        self.map(kind).push((name.into(), value.to_vec()));
    }

    fn remove_header(&mut self, kind: HeaderKind, name: &str) {
        self.reached(PanicAt::SettingHeaders);
        self.map(kind)
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    fn client_address(&self) -> Option<IpAddr> {
        self.reached(PanicAt::ClientAddress);
        None
    }

    fn route(&self) -> Option<&RouteConfig> {
        self.route.as_ref()
    }

    fn clear_route(&mut self) {
        self.routes_cleared += 1;
    }

    fn answer(&mut self, answer: &Answer<'_>) {
        self.reached(PanicAt::Answering);
        self.answers.push((answer.status, answer.body.to_owned()));
        self.answered_headers.clear();
        for (name, value) in answer.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            self.answered_headers.push((name.to_string(), value));
        }
    }

    fn reset(&mut self, details: &str) {
        self.resets.push(details.to_owned());
    }

    fn waker(&self) -> Box<dyn WakeUp> {
        Box::new(CountedWakeUp(Arc::clone(&self.wake_ups)))
    }

    fn count(&self, counter: MeterId) {
        *self.counts.borrow_mut().entry(counter.0).or_default() += 1;
    }
}

struct CountedWakeUp(Arc<AtomicU32>);

impl WakeUp for CountedWakeUp {
    fn wake_up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An Envoy that reads a configuration.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) defined: usize,
    /// Refuses to define counters.
    pub(crate) frozen: bool,
}

impl ConfigHost for FakeHost {
    fn define_counter(&mut self, _name: &str) -> Option<MeterId> {
        self.defined += 1;
        (!self.frozen).then_some(MeterId(self.defined))
    }

    fn define_gauge(&mut self, name: &str) -> Option<MeterId> {
        self.define_counter(name)
    }

    fn waker(&self) -> Box<dyn WakeUp> {
        Box::new(CountedWakeUp(Arc::default()))
    }
}
