//! The gate in every version of Envoy that we support: it admits, refuses, and cuts.

use std::time::{Duration, Instant};

use portcullis_tests::{
    gateways::{Program, envoy::Envoy, program::envoys},
    wait::eventually,
};

use super::{
    client::{Live, get},
    setting::{Setting, bearer},
};

/// The longest time from the acknowledgement of a revocation to its effect, on a machine that is busy with other tests.
const EFFECT_MAX: Duration = Duration::from_secs(2);

pub async fn each_version_of_envoy_admits_refuses_and_cuts() {
    let setting = Setting::new().await;
    for program in envoys() {
        admit_refuse_and_cut(&setting, &program).await;
    }
}

async fn admit_refuse_and_cut(setting: &Setting, program: &Program) {
    let envoy = Envoy::start(program, &setting.config()).await;
    let gate = envoy.address();
    setting.admits(gate).await;
    let ada = setting.authority.sign_in("ada").await;
    let token = bearer(&ada.access_token);

    let answer = get(gate, "/", "").await;
    assert_eq!(answer.status, 401, "{}", answer.text);
    for part in [
        "www-authenticate: Bearer",
        "cache-control: no-store",
        r#""reason":"missing""#,
    ] {
        assert!(answer.text.contains(part), "{}", answer.text);
    }
    assert_eq!(
        answer.text.matches("content-type:").count(),
        1,
        "{}",
        answer.text
    );

    let claimed =
        "X-Portcullis-User: eve\r\nx-portcullis-roles: admin\r\nX-Portcullis-User: eve\r\n";
    let answer = get(gate, "/", &format!("{token}{claimed}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(
        answer.text.contains(r#"["x-portcullis-user","ada"]"#),
        "{}",
        answer.text
    );
    assert!(
        !answer.text.contains("admin") && !answer.text.contains("eve"),
        "{}",
        answer.text
    );

    let mut events = Live::events(gate, &token).await;
    let mut socket = Live::socket(gate, &token).await;
    let other = setting.authority.sign_in("bob").await;
    let mut others = Live::events(gate, &bearer(&other.access_token)).await;

    setting.revoke(&ada).await;
    let acknowledged = Instant::now();
    events.closed().await;
    socket.closed().await;
    let cut = acknowledged.elapsed();
    eventually("the first refusal", async || {
        let answer = get(gate, "/", &token).await;
        (answer.status == 401 && answer.text.contains("revoked")).then_some(())
    })
    .await;
    let refused = acknowledged.elapsed();
    assert!(
        cut < EFFECT_MAX && refused < EFFECT_MAX,
        "{cut:?} {refused:?}"
    );

    // Nobody else is cut.
    let seen = others.text.len();
    others.text.clear();
    others.until("data: ").await;
    assert!(seen > 0);
    assert_eq!(envoy.stat("portcullis_cut").await, 2);
    assert_eq!(envoy.stat("portcullis_panics").await, 0);
    assert!(envoy.stat("portcullis_admitted").await >= 4);
    assert!(envoy.stat("portcullis_refused_unauthenticated").await >= 2);
}
