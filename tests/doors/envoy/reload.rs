//! A new configuration while Envoy runs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use portcullis_tests::{
    gateways::envoy::{Envoy, EnvoyOptions},
    wait::{eventually, within},
};
use serde_json::json;

use super::{
    client::{Live, get},
    setting::{Setting, bearer, newest},
};

pub async fn a_new_configuration_replaces_the_old_one_without_a_gap() {
    let setting = Setting::new().await;
    let options = EnvoyOptions {
        dynamic_listeners: true,
        ..EnvoyOptions::default()
    };
    let envoy = Envoy::start_with(&newest(), &setting.config(), &options).await;
    let gate = envoy.address();
    setting.admits(gate).await;
    let (ada, bob) = (
        setting.authority.sign_in("ada").await,
        setting.authority.sign_in("bob").await,
    );
    let mut old = Live::events(gate, &bearer(&ada.access_token)).await;
    assert_eq!(get(gate, "/open", "").await.status, 401);

    let (stop, admitted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let load = tokio::spawn({
        let (stop, admitted) = (Arc::clone(&stop), Arc::clone(&admitted));
        let token = bearer(&bob.access_token);
        async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = get(gate, "/", &token).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    // Other rules, and another connection to the authority: its settings changed as well.
    let mut config = envoy.config.clone();
    config.at("/rules")["rules"] = json!([{ "path": "/open", "access": "public" }]);
    config.at("/authority")["name"] = json!("the new gate");
    envoy.replace(&config);
    eventually("the new rules", async || {
        (get(gate, "/open", "").await.status == 200).then_some(())
    })
    .await;

    // A configuration that is wrong changes nothing.
    let mut wrong = config.clone();
    wrong.at("/rules")["rules"] = json!([{ "path": "no slash", "access": "public" }]);
    envoy.replace(&wrong);
    eventually("the refusal of the wrong one", async || {
        (envoy.stat("listener_manager.lds.update_rejected").await >= 1).then_some(())
    })
    .await;
    assert_eq!(get(gate, "/open", "").await.status, 200);

    stop.store(true, Ordering::Relaxed);
    within("the load to end", load)
        .await
        .expect("no request was refused");
    assert!(admitted.load(Ordering::Relaxed) > 0);

    // A stream of the old configuration is cut by the old gate, and one of the new by the new.
    old.text.clear();
    old.until("data: ").await;
    let mut new = Live::events(gate, &bearer(&ada.access_token)).await;
    setting.revoke(&ada).await;
    old.closed().await;
    new.closed().await;
}
