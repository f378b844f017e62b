//! Routes with rules of their own.

use portcullis_tests::gateways::envoy::EnvoyConfig;
use serde_json::{Value, json};

use super::{
    client::get,
    setting::{Setting, bearer},
};

pub async fn a_route_has_rules_of_its_own() {
    let setting = Setting::new().await;
    let mut config = setting.config();
    route(
        &mut config,
        "/open",
        &json!({ "rules": [{ "path": "/open/{*rest}", "access": "public" }] }),
    );
    let envoy = setting.envoy(&config).await;
    let token = bearer(&setting.authority.sign_in("ada").await.access_token);

    for (path, headers, status) in [
        ("/open/a", "", 200),
        // The route's rules have no other public path.
        ("/openly", "", 401),
        ("/openly", &token[..], 200),
        ("/orders", "", 401),
        ("/orders", &token, 200),
    ] {
        let answer = get(envoy.address(), path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers}: {}", answer.text);
    }
    // Nobody gets an identity on a public route.
    let answer = get(envoy.address(), "/open/a", "X-Portcullis-User: eve\r\n").await;
    assert!(!answer.text.contains("eve"), "{}", answer.text);
}

/// Adds a route before the others.
fn route(config: &mut EnvoyConfig, prefix: &str, rules: &Value) {
    let routes = &mut config.manager()["route_config"]["virtual_hosts"][0]["routes"];
    let per_route = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
        "dynamic_module_config": { "name": "portcullis_envoy", "do_not_close": true },
        "per_route_config_name": "portcullis",
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": { "rules": rules },
        },
    });
    let route = json!({
        "match": { "prefix": prefix },
        "route": { "cluster": "application", "timeout": "0s" },
        "typed_per_filter_config": { "portcullis": per_route },
    });
    routes.as_array_mut().expect("routes").insert(0, route);
}
