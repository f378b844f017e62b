//! The age of streams, and the client behind a load balancer.

use std::time::Instant;

use portcullis_tests::{gateways::Sample, live::Live, visitor::Visit};
use rustix::process::Signal;

use super::{at_every_gateway, rig::Rig};
use crate::kind::Kind;

/// Nothing cuts a stream when its session ends, so its age is bounded where the gateway can.
async fn streams_have_an_age(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let shorten: fn(Sample) -> Sample = match kind {
        Kind::NginxDebian | Kind::NginxNewest => {
            |sample| sample.set("worker_shutdown_timeout 30s", "worker_shutdown_timeout 1s")
        }
        Kind::CaddyNewest => |sample| sample.set("stream_timeout 5m", "stream_timeout 1s"),
        Kind::Haproxy => |sample| sample.set("hard-stop-after 30s", "hard-stop-after 1s"),
        // Their pages say that they have no bound.
        Kind::CaddyDebian | Kind::Traefik => return,
    };
    rig.restart_gateway(shorten).await;
    let token = rig.token("alice").await;
    let socket = Live::websocket("a WebSocket", rig.gateway.http(), &token).await;

    match kind {
        Kind::NginxDebian | Kind::NginxNewest => rig.gateway.running.signal_leader(Signal::HUP),
        // What `systemctl reload` sends to the old process.
        Kind::Haproxy => rig.gateway.running.signal_leader(Signal::USR1),
        _ => {}
    }
    socket.ended(Instant::now()).await;
    if kind != Kind::Haproxy {
        rig.admitted(&Visit::get("/").bearer(&token)).await;
    }
}

/// Behind a load balancer, the lines for it make the client known.
async fn a_trusted_load_balancer_tells_the_client(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let visit = Visit::get("/")
        .bearer(&token)
        .header("X-Forwarded-For", "192.0.2.1, 203.0.113.9");
    let echo = rig.admitted(&visit).await;
    assert_eq!(echo.value("x-forwarded-for"), Some("127.0.0.1"), "{kind:?}");

    let trust: fn(Sample) -> Sample = match kind {
        Kind::NginxDebian | Kind::NginxNewest => |sample| {
            sample
                .set(
                    "# set_real_ip_from 10.0.0.0/8",
                    "set_real_ip_from 127.0.0.0/8",
                )
                .set("# real_ip_", "real_ip_")
        },
        // Caddy has `trusted_proxies` here since 2.6.3.
        Kind::CaddyDebian => return,
        Kind::CaddyNewest => |sample| {
            sample.set(
                "# trusted_proxies static 10.0.0.0/8",
                "trusted_proxies static 127.0.0.0/8",
            )
        },
        Kind::Traefik => |sample| {
            sample.set("# forwardedHeaders:", "forwardedHeaders:").set(
                "#   trustedIPs: [10.0.0.0/8]",
                "  trustedIPs: [127.0.0.0/8]",
            )
        },
        Kind::Haproxy => |sample| {
            sample
                .set("# http-request set-src", "http-request set-src")
                .set("10.0.0.0/8", "127.0.0.0/8")
        },
    };
    rig.restart_gateway(trust).await;
    let echo = rig.admitted(&visit).await;
    let expected = match kind {
        Kind::CaddyNewest | Kind::Traefik => "192.0.2.1, 203.0.113.9, 127.0.0.1",
        _ => "203.0.113.9",
    };
    assert_eq!(echo.value("x-forwarded-for"), Some(expected), "{kind:?}");
}

at_every_gateway!(
    streams_have_an_age,
    a_trusted_load_balancer_tells_the_client,
);
