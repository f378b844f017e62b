//! Streams that outlive their request are cut when their session ends.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::ADMIN,
    door::Ability,
    live_stream::LiveStream,
    proxy::Link,
    upstream::{DOWNLOAD, EVENTS, GRPC_STREAM},
};

use super::{credentials::resign, ends, rules::new_api_key};
use crate::scene::Scene;

/// The life of a token that expires while its streams are open.
const SHORT_LIFE: Duration = Duration::from_secs(3);

pub async fn websocket(scene: Scene) {
    for token in ["", "garbage"] {
        let refused = LiveStream::websocket(scene.http(), token).await;
        assert_eq!(refused.err(), Some(401));
    }
    let ada = scene.sign_in("ada").await;
    let mut socket = open_websocket(&scene, &ada.token).await;
    for _ in 0..3 {
        socket.expect_open("a WebSocket").await;
    }
    scene.revoke(&ada).await;
    scene.refused_soon(&ends::visit(&ada), 401, "revoked").await;
    let refused = LiveStream::websocket(scene.http(), &ada.token).await;
    assert_eq!(refused.err(), Some(401));
}

pub async fn events(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let mut events = LiveStream::http1(scene.http(), EVENTS, &ada.token).await;
    // Events arrive one by one: a door that buffers the answer shows none of them.
    for _ in 0..3 {
        events.expect_open("an event stream").await;
    }
}

pub async fn cut_by_revoke(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let mut hers = open(&scene, &ada.token).await;
    let mut his = open(&scene, &bob.token).await;
    scene.revoke(&ada).await;
    expect_cut(&mut hers, "after RevokeSession").await;
    expect_open(&mut his, "of another session").await;
}

pub async fn cut_by_sign_out(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let mut hers = open(&scene, &ada.token).await;
    let mut his = open(&scene, &bob.token).await;
    ends::force_sign_out(&scene, "ada").await;
    expect_cut(&mut hers, "after ForceSignOut").await;
    expect_open(&mut his, "of another user").await;
}

pub async fn cut_by_tenant_sign_out(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let elsewhere = scene.sign_in_elsewhere("ada").await;
    let mut streams = open(&scene, &ada.token).await;
    streams.extend(open(&scene, &bob.token).await);
    let mut others = open(&scene, &elsewhere.token).await;
    ends::sign_out_tenant(&scene).await;
    expect_cut(&mut streams, "after SignOutTenant").await;
    expect_open(&mut others, "of another tenant").await;
}

pub async fn cut_by_disable(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let mut streams = open(&scene, &ada.token).await;
    ends::disable(&scene, "ada").await;
    expect_cut(&mut streams, "after DisableUser").await;
}

pub async fn cut_by_key_revocation(scene: Scene) {
    let (key, id) = new_api_key(&scene, &[]).await;
    let path = format!("/programs{EVENTS}");
    let mut events = LiveStream::http1(scene.http(), &path, &key).await;
    events.expect_open("an API key's stream").await;
    let request = v1::RevokeApiKeyRequest {
        tenant_id: scene.tenant.clone(),
        api_key_id: id,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut keys = scene.authority().api_keys(ADMIN);
    keys.revoke_api_key(request).await.expect("revoked");
    events.cut("an API key's stream").await;
}

pub async fn cut_by_expiry(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let short = resign(&scene, &ada, |claims| {
        claims.expires_at = claims.issued_at + SHORT_LIFE.as_secs();
    })
    .await;
    let mut hers = open(&scene, &short).await;
    let mut his = open(&scene, &bob.token).await;
    expect_cut(&mut hers, "after their token's expiry").await;
    expect_open(&mut his, "of another session").await;
}

pub async fn cut_by_staleness(scene: Scene) {
    let scene = scene.own(Duration::from_secs(1), None).await;
    let ada = scene.sign_in("ada").await;
    let mut streams = open(&scene, &ada.token).await;
    scene.proxy().set(Link::BLACK_HOLE);
    expect_cut(&mut streams, "after the loss of freshness").await;
}

/// One stream of each kind that the door has.
async fn open(scene: &Scene, token: &str) -> Vec<(&'static str, LiveStream)> {
    let abilities = scene.abilities();
    let mut streams = vec![
        (
            "an event stream",
            LiveStream::http1(scene.http(), EVENTS, token).await,
        ),
        (
            "a download",
            LiveStream::http1(scene.http(), DOWNLOAD, token).await,
        ),
    ];
    if abilities.websockets == Ability::Yes {
        streams.push(("a WebSocket", open_websocket(scene, token).await));
    }
    if abilities.http2 == Ability::Yes {
        let events = LiveStream::http2(scene.http2(), EVENTS, token).await;
        streams.push(("an event stream of HTTP/2", events));
    }
    if abilities.grpc == Ability::Yes {
        let call = LiveStream::http2(scene.http2(), GRPC_STREAM, token).await;
        streams.push(("a gRPC stream", call));
    }
    for (what, stream) in &mut streams {
        // The one message of the gRPC stream was read.
        if *what != "a gRPC stream" {
            stream.expect_open(what).await;
        }
    }
    streams
}

async fn open_websocket(scene: &Scene, token: &str) -> LiveStream {
    let opened = LiveStream::websocket(scene.http(), token).await;
    opened.unwrap_or_else(|status| panic!("a WebSocket was refused: {status}"))
}

async fn expect_cut(streams: &mut [(&'static str, LiveStream)], when: &str) {
    for (what, stream) in streams {
        stream.cut(&format!("{what} {when}")).await;
    }
}

async fn expect_open(streams: &mut [(&'static str, LiveStream)], whose: &str) {
    for (what, stream) in streams {
        if *what != "a gRPC stream" {
            stream.expect_open(&format!("{what} {whose}")).await;
        }
    }
}
