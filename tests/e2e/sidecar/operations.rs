//! Readiness, metrics, and the end of a sidecar.

use http::StatusCode;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{SUPPORT, TENANT, TestAuthority, session_id},
    gateways::program::root,
    sidecar::{Ask, SidecarConfig, TestSidecar},
    wait::{eventually, within},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::settled;

#[tokio::test]
async fn it_is_ready_when_it_can_decide_and_alive_before() {
    let mut authority = TestAuthority::sqlite().await;
    let mut config = SidecarConfig::new(&authority.endpoint());
    config.authority.push_str("max_staleness = \"1s\"\n");
    let sidecar = TestSidecar::ready_with(&config).await;
    let status = async |path: &str| sidecar.operation(path).await.expect("an answer").status;
    assert_eq!(status("/livez").await, StatusCode::OK);
    assert_eq!(status("/").await, StatusCode::NOT_FOUND);

    authority.stop().await;
    let stale = eventually("the sidecar to be stale", async || {
        let answer = sidecar.operation("/readyz").await?;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert!(stale.body.starts_with("stale"), "{stale:?}");
    // An outage of the authority is no reason to restart the sidecar.
    assert_eq!(status("/livez").await, StatusCode::OK);
    authority.start().await;
    sidecar.wait_until_ready().await;

    let lonely = TestSidecar::start(&SidecarConfig::new("http://127.0.0.1:1")).await;
    let unready = lonely.operation("/readyz").await.expect("an answer");
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(unready.body.starts_with("unready"), "{unready:?}");
}

#[tokio::test]
async fn checks_are_counted_by_door_and_verdict() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let check = Ask::verify("GET", "/").header("Authorization", &bearer);
    assert_eq!(settled(&sidecar, &check).await.status, StatusCode::OK);
    let missing = settled(&sidecar, &Ask::verify("GET", "/")).await;
    assert_eq!(missing.reason(), "missing");
    settled(&sidecar, &Ask::new("/verify")).await;

    let metrics = sidecar.operation("/metrics").await.expect("an answer").body;
    let count = |labels: &[&str]| -> f64 {
        let lines = metrics
            .lines()
            .filter(|line| labels.iter().all(|label| line.contains(label)));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    };
    let checks = "portcullis_sidecar_checks_total{";
    let door = "portcullis_door=\"forward_auth\"";
    assert!(count(&[checks, door, "\"allowed\""]) >= 1.0, "{metrics}");
    assert_eq!(count(&[checks, door, "\"missing\""]), 1.0, "{metrics}");
    assert_eq!(count(&[checks, door, "\"unreadable\""]), 1.0, "{metrics}");
    let durations = "portcullis_sidecar_check_duration_seconds_count{";
    assert!(count(&[durations, door]) >= 3.0, "{metrics}");
    // The validator's own.
    assert!(count(&["portcullis_validator_verdicts_total{", "\"accepted\""]) >= 1.0);
    assert!(metrics.contains("portcullis_validator_freshness_seconds"));

    // The page names each of ours.
    let page = root().join("docs/gateways/sidecar.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let families = metrics.lines().filter_map(|line| {
        let family = line.strip_prefix("# TYPE ")?.split(' ').next()?;
        family.starts_with("portcullis_sidecar_").then_some(family)
    });
    let families: Vec<&str> = families.collect();
    assert_eq!(families.len(), 3, "{families:?}");
    for family in families {
        assert!(page.contains(&format!("`{family}`")), "{family}");
    }

    let log = sidecar.log();
    for secret in [ada.access_token.as_str(), "gateway-bearer", "203.0.113.9"] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{log}");
    }
}

/// The last report goes out at the end: without it a session would look idle that was just used.
#[tokio::test]
async fn it_finishes_what_runs_and_reports_the_last_use() {
    let authority = TestAuthority::sqlite().await;
    let mut config = SidecarConfig::new(&authority.endpoint());
    // No report before the end.
    config.authority = "activity_interval = \"1h\"\n".to_owned();
    let mut sidecar = TestSidecar::ready_with(&config).await;
    let ada = authority.sign_in("ada").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let check = Ask::verify("GET", "/orders")
        .header("Authorization", &bearer)
        .header("X-Forwarded-For", "192.0.2.9");
    assert_eq!(settled(&sidecar, &check).await.status, StatusCode::OK);

    // A connection in the middle of its check.
    let half = format!(
        "GET /verify HTTP/1.1\r\nHost: s\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /\r\nX-Forwarded-Host: h\r\nAuthorization: {bearer}\r\n"
    );
    let mut stream = TcpStream::connect(&sidecar.forward_auth)
        .await
        .expect("connects");
    stream.write_all(half.as_bytes()).await.expect("sent");
    eventually("the sidecar to have the connection", async || {
        let metrics = sidecar.operation("/metrics").await?.body;
        let open = "portcullis_sidecar_connections{portcullis_listener=\"forward_auth\"} 1";
        metrics.contains(open).then_some(())
    })
    .await;

    sidecar.signal(Signal::TERM);
    eventually("the door to close", async || {
        TcpStream::connect(&sidecar.forward_auth).await.err()
    })
    .await;
    stream.write_all(b"\r\n").await.expect("sent");
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let ended = sidecar.ended().await;
    assert!(ended.success(), "{ended:?}: {}", sidecar.log());
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&ada),
    };
    let mut sessions = authority.sessions(SUPPORT);
    let session = sessions
        .get_session(request)
        .await
        .expect("there")
        .into_inner();
    let session = session.session.expect("a session");
    assert_eq!(session.actions, 2, "{session:?}");
    // The address that the gateway saw.
    assert_eq!(session.last_ip, "192.0.2.9");
}
