//! Envoy's C interface for dynamic modules, `source/extensions/dynamic_modules/abi/abi.h` of Envoy 1.38 to 1.40.
//!
//! Envoy finds the hooks by their names, and this file finds Envoy's callbacks the same way. It translates, and nothing
//! else: pointers become the traits of [`crate::envoy`], and a panic does not pass.
//!
//! What Envoy promises, and every block here relies on:
//!
//! - A pointer to one of Envoy's objects is valid until the hook returns that got it.
//! - Bytes of Envoy's are valid until the hook returns, or until it changes a header.
//! - All hooks of a filter run on one worker. None runs after `destroy`. Some run inside of a callback of another one.
//! - A hook gets back the pointer that the `new` of its object returned.
#![allow(unsafe_code, reason = "this file is the border to C")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    rc::Rc,
    slice,
    sync::{Arc, OnceLock},
};

use tracing::Level;

use crate::{
    config::ConfigError,
    envoy::{Answer, ConfigHost, HeaderKind, Stream, WakeUp},
    filter::{Filter, Flow},
    filter_config::FilterConfig,
    log,
    meters::MeterId,
    route::RouteConfig,
};

/// The version of the interface that Envoy 1.40 has. Envoy 1.38 and 1.39 load it with a warning.
const ABI_VERSION: &CStr = c"v0.2.0";

/// Bytes of Envoy's or of ours: `…_type_envoy_buffer` and `…_type_module_buffer`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    ptr: *const u8,
    len: usize,
}

/// A header: `…_type_envoy_http_header` and `…_type_module_http_header`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    name: Bytes,
    value: Bytes,
}

/// `envoy_dynamic_module_type_http_header_type`.
const REQUEST_HEADER: c_int = 0;
const REQUEST_TRAILER: c_int = 1;
/// `envoy_dynamic_module_type_attribute_id_SourceAddress`.
const SOURCE_ADDRESS: c_int = 24;
/// `envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalReset`.
const LOCAL_RESET: c_int = 0;
/// The status of a hook: `…_status_Continue` and `…_status_StopIteration` of heads and trailers.
const CONTINUE: c_int = 0;
const STOP_ITERATION: c_int = 1;
/// `…_body_status_StopIterationNoBuffer`.
const STOP_BODY: c_int = 3;
/// `envoy_dynamic_module_type_metrics_result_Success`.
const SUCCESS: c_int = 0;
/// The event of a wake-up. There is one kind.
const WAKE_UP: u64 = 0;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: c_int, message: Bytes);
    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: *mut c_void,
        name: Bytes,
        labels: *const Bytes,
        labels_len: usize,
        id: *mut usize,
    ) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: *mut c_void,
        name: Bytes,
        labels: *const Bytes,
        labels_len: usize,
        id: *mut usize,
    ) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: *mut c_void,
        id: usize,
        labels: *const Bytes,
        labels_len: usize,
        value: u64,
    ) -> c_int;
    fn envoy_dynamic_module_callback_http_get_headers_size(
        filter: *mut c_void,
        kind: c_int,
    ) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(
        filter: *mut c_void,
        kind: c_int,
        headers: *mut Header,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        filter: *mut c_void,
        kind: c_int,
        name: Bytes,
        value: Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(
        filter: *mut c_void,
        status: u32,
        headers: *const Header,
        headers_len: usize,
        body: Bytes,
        details: Bytes,
    );
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: *mut c_void,
        attribute: c_int,
        value: *mut Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_get_most_specific_route_config(
        filter: *mut c_void,
    ) -> *const c_void;
    fn envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: *mut c_void,
        reason: c_int,
        details: Bytes,
    );
    fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(
        scheduler: *mut c_void,
        event: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        config: *mut c_void,
    ) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: *mut c_void,
        event: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
    /// Of the C library.
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `envoy_dynamic_module_callback_http_filter_config_set_gauge`, which Envoy 1.38 does not have.
type SetGauge = unsafe extern "C" fn(*mut c_void, usize, *const Bytes, usize, u64) -> c_int;

fn set_gauge() -> Option<SetGauge> {
    static FOUND: OnceLock<Option<SetGauge>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let name = c"envoy_dynamic_module_callback_http_filter_config_set_gauge";
        // SAFETY: the null handle asks all libraries of this process, and the name ends with a zero.
        let found = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
        if found.is_null() {
            return None;
        }
        // SAFETY: the function of this name has this signature in every version of the interface that has it.
        Some(unsafe { std::mem::transmute::<*mut c_void, SetGauge>(found) })
    })
}

impl Bytes {
    /// No bytes: Envoy removes a header that is set to this.
    const NULL: Self = Self {
        ptr: ptr::null(),
        len: 0,
    };

    fn of(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// Returns the bytes.
    ///
    /// # Safety
    /// They are Envoy's, and stay valid for as long as the caller says.
    unsafe fn get<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller promises that these bytes are valid.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

fn write_line(level: Level, text: &str) {
    let level = match level {
        Level::ERROR => 4,
        Level::WARN => 3,
        Level::INFO => 2,
        Level::DEBUG => 1,
        Level::TRACE => 0,
    };
    // SAFETY: Envoy copies the text before it returns, and its log may be called from any thread.
    unsafe { envoy_dynamic_module_callback_log(level, Bytes::of(text.as_bytes())) };
}

/// Runs code that Envoy called. A panic may not cross the border.
fn contain<T>(on_panic: T, hook: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|panic| {
        // Its drop may be code that panics again.
        std::mem::forget(panic);
        on_panic
    })
}

/// The stream of a filter, during a hook.
struct EnvoyStream(*mut c_void);

impl EnvoyStream {
    fn kind(kind: HeaderKind) -> c_int {
        match kind {
            HeaderKind::Request => REQUEST_HEADER,
            HeaderKind::RequestTrailers => REQUEST_TRAILER,
        }
    }
}

impl Stream for EnvoyStream {
    fn visit_headers(&self, kind: HeaderKind, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let kind = Self::kind(kind);
        // SAFETY: the pointer is the hook's own.
        let len = unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.0, kind) };
        let none = Header {
            name: Bytes::NULL,
            value: Bytes::NULL,
        };
        let mut headers = vec![none; len];
        // SAFETY: there is room for as many headers as Envoy said, and nothing changes them in between.
        let filled = unsafe {
            envoy_dynamic_module_callback_http_get_headers(self.0, kind, headers.as_mut_ptr())
        };
        if !filled {
            return;
        }
        for header in &headers {
            // SAFETY: no header is changed before `visit` returns: changing one takes `&mut self`.
            let (name, value) = unsafe { (header.name.get(), header.value.get()) };
            visit(name, value);
        }
    }

    fn set_header(&mut self, kind: HeaderKind, name: &str, value: &[u8]) {
        let (name, value) = (Bytes::of(name.as_bytes()), Bytes::of(value));
        // SAFETY: Envoy copies both before it returns.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.0, Self::kind(kind), name, value)
        };
    }

    fn remove_header(&mut self, kind: HeaderKind, name: &str) {
        let name = Bytes::of(name.as_bytes());
        // SAFETY: Envoy reads the name before it returns.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(
                self.0,
                Self::kind(kind),
                name,
                Bytes::NULL,
            )
        };
    }

    fn client_address(&self) -> Option<IpAddr> {
        let mut text = Bytes::NULL;
        // SAFETY: the pointer is the hook's own, and Envoy writes one buffer.
        let found = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.0,
                SOURCE_ADDRESS,
                &raw mut text,
            )
        };
        if !found {
            return None;
        }
        // SAFETY: read before anything else happens to the stream.
        let text = str::from_utf8(unsafe { text.get() }).ok()?;
        // A Unix socket has a path instead.
        let address: SocketAddr = text.parse().ok()?;
        Some(address.ip())
    }

    fn route(&self) -> Option<&RouteConfig> {
        // SAFETY: the pointer is the hook's own.
        let route = unsafe { envoy_dynamic_module_callback_get_most_specific_route_config(self.0) };
        // SAFETY: what `per_route_config_new` returned, and the stream keeps its route. Choosing the route anew takes
        // `&mut self`.
        unsafe { route.cast::<RouteConfig>().as_ref() }
    }

    fn clear_route(&mut self) {
        // SAFETY: the pointer is the hook's own.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.0) };
    }

    fn answer(&mut self, answer: &Answer<'_>) {
        let mut headers = Vec::with_capacity(answer.headers.len());
        for (name, value) in answer.headers {
            headers.push(Header {
                name: Bytes::of(name.as_str().as_bytes()),
                value: Bytes::of(value.as_bytes()),
            });
        }
        // SAFETY: Envoy copies everything before it returns.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.0,
                answer.status.into(),
                headers.as_ptr(),
                headers.len(),
                Bytes::of(answer.body.as_bytes()),
                Bytes::of(answer.details.as_bytes()),
            );
        }
    }

    fn reset(&mut self, details: &str) {
        let details = Bytes::of(details.as_bytes());
        // SAFETY: Envoy copies the details. It may destroy the filter, which the hook holds until it returns.
        unsafe {
            envoy_dynamic_module_callback_http_filter_reset_stream(self.0, LOCAL_RESET, details);
        }
    }

    fn waker(&self) -> Box<dyn WakeUp> {
        // SAFETY: the pointer is the hook's own. The scheduler outlives it, and is deleted by its owner.
        let scheduler = unsafe { envoy_dynamic_module_callback_http_filter_scheduler_new(self.0) };
        Box::new(StreamScheduler(scheduler))
    }

    fn count(&self, counter: MeterId) {
        // SAFETY: the counter was defined without labels by the configuration of this filter.
        unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(
                self.0,
                counter.0,
                ptr::null(),
                0,
                1,
            )
        };
    }
}

/// Envoy's scheduler of a stream.
struct StreamScheduler(*mut c_void);

// SAFETY: Envoy's schedulers are made to be used from other threads.
unsafe impl Send for StreamScheduler {}

impl WakeUp for StreamScheduler {
    fn wake_up(&self) {
        // SAFETY: not deleted yet. Once the filter is destroyed Envoy ignores it.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0, WAKE_UP) };
    }
}

impl Drop for StreamScheduler {
    fn drop(&mut self) {
        // SAFETY: ours, and deleted once.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0) };
    }
}

/// Envoy's scheduler of a filter configuration.
struct ConfigScheduler(*mut c_void);

// SAFETY: Envoy's schedulers are made to be used from other threads.
unsafe impl Send for ConfigScheduler {}

impl WakeUp for ConfigScheduler {
    fn wake_up(&self) {
        // SAFETY: not deleted yet. Once the configuration is destroyed Envoy ignores it.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0, WAKE_UP);
        }
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: ours, and deleted once.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0) };
    }
}

/// A filter configuration, while Envoy reads it.
struct EnvoyConfig(*mut c_void);

impl ConfigHost for EnvoyConfig {
    fn define_counter(&mut self, name: &str) -> Option<MeterId> {
        let mut id = 0;
        // SAFETY: Envoy copies the name, and writes one number.
        let result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.0,
                Bytes::of(name.as_bytes()),
                ptr::null(),
                0,
                &raw mut id,
            )
        };
        (result == SUCCESS).then_some(MeterId(id))
    }

    fn define_gauge(&mut self, name: &str) -> Option<MeterId> {
        let mut id = 0;
        // SAFETY: Envoy copies the name, and writes one number.
        let result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_gauge(
                self.0,
                Bytes::of(name.as_bytes()),
                ptr::null(),
                0,
                &raw mut id,
            )
        };
        (result == SUCCESS).then_some(MeterId(id))
    }

    fn waker(&self) -> Box<dyn WakeUp> {
        // SAFETY: the pointer is the hook's own. The scheduler outlives it, and is deleted by its owner.
        let scheduler =
            unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.0) };
        Box::new(ConfigScheduler(scheduler))
    }
}

/// Says which key is wrong. Envoy itself only says that the module refused.
fn report_refused(error: &ConfigError) {
    write_line(Level::ERROR, &format!("portcullis: {error}"));
}

/// The module is loaded, before anything else.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    contain((), || {
        log::report_panics(write_line);
        log::start(write_line);
    });
    ABI_VERSION.as_ptr()
}

/// Reads the configuration of a filter.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: *mut c_void,
    _name: Bytes,
    config: Bytes,
) -> *const c_void {
    contain(ptr::null(), || {
        // SAFETY: the bytes are valid until this hook returns.
        let json = unsafe { config.get() };
        match FilterConfig::new(json, &mut EnvoyConfig(envoy)) {
            Ok(config) => Arc::into_raw(Arc::new(config)).cast(),
            Err(error) => {
                report_refused(&error);
                ptr::null()
            }
        }
    })
}

/// Envoy sets the gauges, on its main thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    envoy: *mut c_void,
    config: *const c_void,
    _event: u64,
) {
    contain((), || {
        // SAFETY: Envoy has not destroyed the configuration yet.
        let config = unsafe { &*config.cast::<FilterConfig>() };
        let Some(set_gauge) = set_gauge() else {
            return;
        };
        let gauge = config.meters().freshness_age_ms;
        // SAFETY: the gauge was defined without labels by this configuration.
        unsafe { set_gauge(envoy, gauge.0, ptr::null(), 0, config.freshness_age_ms()) };
    });
}

/// No new stream gets the configuration. Streams that have it keep it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    contain((), || {
        // SAFETY: made by `Arc::into_raw`, and given back once.
        let config = unsafe { Arc::from_raw(config.cast::<FilterConfig>()) };
        config.close();
    });
}

/// Reads the configuration of a route.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Bytes,
    config: Bytes,
) -> *const c_void {
    contain(ptr::null(), || {
        // SAFETY: the bytes are valid until this hook returns.
        let json = unsafe { config.get() };
        match RouteConfig::new(json) {
            Ok(route) => Box::into_raw(Box::new(route)).cast_const().cast(),
            Err(error) => {
                report_refused(&error);
                ptr::null()
            }
        }
    })
}

/// No route has the configuration any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(
    config: *mut c_void,
) {
    contain((), || {
        // SAFETY: made by `Box::into_raw`, and given back once.
        drop(unsafe { Box::from_raw(config.cast::<RouteConfig>()) });
    });
}

/// A stream begins. On null Envoy closes it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    contain(ptr::null(), || {
        let config = config.cast::<FilterConfig>();
        // SAFETY: made by `Arc::into_raw`, and not destroyed yet.
        let config = unsafe {
            Arc::increment_strong_count(config);
            Arc::from_raw(config)
        };
        Rc::into_raw(Rc::new(Filter::new(config))).cast()
    })
}

/// The stream has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *const c_void) {
    contain((), || {
        // SAFETY: made by `Rc::into_raw` on this worker, and given back once.
        let filter = unsafe { Rc::from_raw(filter.cast::<Filter>()) };
        // A hook that is still running may hold it.
        filter.close();
    });
}

/// Runs a hook of a filter, and holds the filter until it returns: Envoy may destroy it meanwhile.
///
/// # Safety
/// `filter` is what `filter_new` returned, on its own worker, and not destroyed yet.
unsafe fn run(
    envoy: *mut c_void,
    filter: *const c_void,
    hook: impl FnOnce(&Filter, &mut EnvoyStream) -> Flow,
) -> Flow {
    let filter = filter.cast::<Filter>();
    // SAFETY: made by `Rc::into_raw` on this worker, and not destroyed yet.
    let filter = unsafe {
        Rc::increment_strong_count(filter);
        Rc::from_raw(filter)
    };
    contain(Flow::Stop, move || {
        filter.guard(&mut EnvoyStream(envoy), hook)
    })
}

fn status(flow: Flow) -> c_int {
    match flow {
        Flow::Continue => CONTINUE,
        Flow::Stop => STOP_ITERATION,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: *mut c_void,
    filter: *const c_void,
    _end_of_stream: bool,
) -> c_int {
    // SAFETY: both are what Envoy gave.
    status(unsafe {
        run(envoy, filter, |filter, stream| {
            filter.request_headers(stream)
        })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    envoy: *mut c_void,
    filter: *const c_void,
    _end_of_stream: bool,
) -> c_int {
    // SAFETY: both are what Envoy gave.
    match unsafe { run(envoy, filter, |filter, _| filter.request_body()) } {
        Flow::Continue => CONTINUE,
        Flow::Stop => STOP_BODY,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    envoy: *mut c_void,
    filter: *const c_void,
) -> c_int {
    // SAFETY: both are what Envoy gave.
    status(unsafe {
        run(envoy, filter, |filter, stream| {
            filter.request_trailers(stream)
        })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: *mut c_void,
    filter: *const c_void,
    _end_of_stream: bool,
) -> c_int {
    // SAFETY: both are what Envoy gave.
    status(unsafe { run(envoy, filter, |filter, _| filter.response_headers()) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: *mut c_void,
    filter: *const c_void,
    _event: u64,
) {
    // SAFETY: both are what Envoy gave.
    unsafe { run(envoy, filter, Filter::scheduled) };
}

/// The stream is complete, and `destroy` follows.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _envoy: *mut c_void,
    _filter: *const c_void,
) {
}

// Hooks that Envoy looks for, and that have nothing to do here.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _end_of_stream: bool,
) -> c_int {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _envoy: *mut c_void,
    _filter: *const c_void,
) -> c_int {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _callout: u64,
    _result: c_int,
    _headers: *const Header,
    _headers_len: usize,
    _body: *const Bytes,
    _body_len: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _stream: u64,
    _headers: *const Header,
    _headers_len: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _stream: u64,
    _data: *const Bytes,
    _data_len: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _stream: u64,
    _trailers: *const Header,
    _trailers_len: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _stream: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _stream: u64,
    _reason: c_int,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _envoy: *mut c_void,
    _filter: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _envoy: *mut c_void,
    _filter: *const c_void,
) {
}
