//! NGINX, Caddy, Traefik and HAProxy in front of a real sidecar, each from its file in `deploy/`: what is particular to
//! them. The cases that every door passes are in `tests/doors`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

/// Runs each test at every gateway, in every version that we support.
macro_rules! at_every_gateway {
    ($($test:ident),+ $(,)?) => {
        crate::at_every_gateway! { @ nginx_debian, NginxDebian, $($test),+ }
        crate::at_every_gateway! { @ nginx_newest, NginxNewest, $($test),+ }
        crate::at_every_gateway! { @ caddy_debian, CaddyDebian, $($test),+ }
        crate::at_every_gateway! { @ caddy_newest, CaddyNewest, $($test),+ }
        crate::at_every_gateway! { @ traefik, Traefik, $($test),+ }
        crate::at_every_gateway! { @ haproxy, Haproxy, $($test),+ }
    };
    (@ $module:ident, $kind:ident, $($test:ident),+) => {
        mod $module {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::rig::Kind::$kind).await;
            })+
        }
    };
}
pub(crate) use at_every_gateway;

mod headers;
mod outages;
mod paths;
mod refusals;
mod rig;
mod streams;
