//! The step before each request for the console.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};

use super::{cookies, devices::Devices};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Notes the arrival of a click, and tells the console the address that the browser pretends to have.
///
/// The times that the panel shows begin here, so they contain the call to the authority and its durable write. Without the
/// address, a person who looks at their devices would move from their town to a machine that is nowhere.
pub(super) async fn prepare(
    State(devices): State<Devices>,
    mut request: Request,
    next: Next,
) -> Response {
    // Pages and streams are only read by GET, and would begin the time anew.
    if *request.method() == Method::POST {
        devices.clicks.record();
    }
    let key = cookies::read(request.headers(), cookies::DEVICE);
    let device = key.and_then(|key| devices.find(key));
    let address = device.and_then(|device| HeaderValue::from_str(&device.address.to_string()).ok());
    if let Some(address) = address {
        // Replaced and not appended: a browser that sends one itself must not choose its address.
        request.headers_mut().insert(FORWARDED_FOR, address);
    }
    next.run(request).await
}
