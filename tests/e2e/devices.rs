//! Sessions as people see them, by rpc: device, place, and what is suspicious.

use portcullis_authority::config::Config;
use portcullis_contract::v1::{self, FieldRepair, FindingCode};
use portcullis_tests::{
    authority::{ADMIN, GATEWAY, LOGIN, TENANT, TestAuthority, session_id, sign_in, violations},
    geography::{BERLIN, SYDNEY, write_cities, write_operators},
    postgres,
    wait::eventually,
};
use tempfile::TempDir;
use tonic::Status;

const FIREFOX: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/17.2 Mobile/15E148 Safari/604.1";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Mobile Safari/537.36";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Safari/537.36";

/// The IPv6 network of a household whose IPv4 network is `8.8.8.0/24`. The database places it in Sydney.
const HOME_V6_NETWORK: &str = "2a02:8109:9a00::/48";
const HOME_V6: &str = "2a02:8109:9a00::7";

/// An authority with a database of places, on each store.
async fn on_both(story: impl AsyncFn(TestAuthority, TempDir)) {
    for store in ["sqlite", "postgres"] {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, operators) = (
            directory.path().join("city.mmdb"),
            directory.path().join("isp.mmdb"),
        );
        let cities = [
            ("8.8.8", BERLIN),
            ("9.9.9", SYDNEY),
            (HOME_V6_NETWORK, SYDNEY),
            ("10.0.0", BERLIN),
            ("203.0.113", SYDNEY),
        ];
        write_cities(&file, &cities);
        write_operators(&operators, &[("8.8.8", "Example Net")]);
        let url = if store == "postgres" {
            Some(postgres::fresh_url().await)
        } else {
            None
        };
        let authority = TestAuthority::with(|config: &mut Config| {
            config.places.city_database_file = Some(file);
            config.places.network_database_file = Some(operators);
            if let Some(url) = url {
                config.store.url = url;
            }
        });
        story(authority.await, directory).await;
    }
}

async fn signed_in(
    authority: &TestAuthority,
    user: &str,
    client: v1::Client,
) -> Result<v1::CreateSessionResponse, Status> {
    let request = v1::CreateSessionRequest {
        client: Some(client),
        ..sign_in(user)
    };
    authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .map(tonic::Response::into_inner)
}

fn client(ip: &str, user_agent: &str, device_id: &str) -> v1::Client {
    v1::Client {
        ip: ip.into(),
        user_agent: user_agent.into(),
        device_id: device_id.into(),
        ..Default::default()
    }
}

fn codes(created: &v1::CreateSessionResponse) -> Vec<FindingCode> {
    created
        .session
        .iter()
        .flat_map(|session| &session.findings)
        .map(v1::Finding::code)
        .collect()
}

async fn get(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    let got = authority
        .sessions(ADMIN)
        .get_session(request)
        .await
        .expect("a session");
    got.into_inner().session.expect("a session")
}

#[tokio::test]
async fn a_session_shows_its_device_and_its_place() {
    on_both(async |authority, _| {
        let created = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in");
        let session = get(&authority, &created).await;
        let device = session.device.clone().expect("a device");
        assert_eq!(device.r#type(), v1::DeviceType::Desktop);
        assert_eq!(
            (
                device.browser.as_str(),
                device.browser_version.as_str(),
                device.os.as_str()
            ),
            ("Firefox", "128", "Windows")
        );
        let place = session.place.clone().expect("a place");
        assert_eq!(
            [
                &place.city,
                &place.country_code,
                &place.country,
                &place.network_operator
            ],
            ["Berlin", "DE", "Germany", "Example Net"]
        );
        assert_eq!(
            (session.device_sign_ins, session.activity()),
            (1, v1::ActivityStatus::ActiveNow)
        );
        assert_eq!(session.last_active_time, session.create_time);
        let idle_expires = session.idle_expire_time.expect("a time").seconds;
        assert_eq!(
            idle_expires - session.create_time.expect("a time").seconds,
            7 * 86_400
        );
        let told = v1::Session {
            idle: session.idle,
            user: session.user.clone(),
            ..created.session.expect("a session")
        };
        assert_eq!(told, session, "the answer to the sign-in shows the same");

        let again = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in");
        assert_eq!(get(&authority, &again).await.device_sign_ins, 2);
        assert!(codes(&again).is_empty(), "{:?}", codes(&again));

        let hints = v1::ClientHints {
            ua: r#""Chromium";v="124", "Microsoft Edge";v="124", "Not-A.Brand";v="99""#.into(),
            platform: r#""Windows""#.into(),
            platform_version: r#""15.0.0""#.into(),
            ..Default::default()
        };
        let hinted = v1::Client {
            hints: Some(hints),
            ..client("", CHROME, "")
        };
        let hinted = get(
            &authority,
            &signed_in(&authority, "bob", hinted)
                .await
                .expect("signed in"),
        )
        .await;
        let device = hinted.device.expect("a device");
        assert_eq!(
            (device.browser.as_str(), device.os_version.as_str()),
            ("Edge", "11")
        );
        assert_eq!(
            (
                hinted.device_sign_ins,
                hinted.place.expect("a place").city.as_str()
            ),
            (0, "")
        );

        let app = v1::Client {
            app_name: "Acme".into(),
            app_version: "3.1".into(),
            os: "iOS".into(),
            os_version: "18.1".into(),
            device_model: "iPhone 14 Pro".into(),
            ..client("", "Acme/3.1 CFNetwork", "")
        };
        let app = get(
            &authority,
            &signed_in(&authority, "bob", app).await.expect("signed in"),
        )
        .await;
        let device = app.device.expect("a device");
        assert_eq!(
            (device.app_name.as_str(), device.model.as_str()),
            ("Acme", "iPhone 14 Pro")
        );
        assert_eq!(device.r#type(), v1::DeviceType::Phone);
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn findings_of_a_sign_in_are_made_unless_the_tenant_disabled_them() {
    on_both(async |authority, _| {
        let first = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in");
        assert!(
            codes(&first).is_empty(),
            "the first sign-in has nothing to be compared with: {:?}",
            codes(&first)
        );
        let far = signed_in(&authority, "ada", client("9.9.9.9", IPHONE, "phone"))
            .await
            .expect("signed in");
        let expected = [
            FindingCode::NewDevice,
            FindingCode::NewCountry,
            FindingCode::NewCity,
            FindingCode::NewNetwork,
            FindingCode::ImpossibleTravel,
        ];
        assert_eq!(codes(&far), expected);
        let stored = get(&authority, &far).await;
        assert_eq!(
            stored.findings,
            far.session.as_ref().expect("a session").findings
        );
        let levels: Vec<_> = stored.findings.iter().map(v1::Finding::level).collect();
        use v1::FindingLevel::{High, Medium};
        assert_eq!(levels, [High, High, High, Medium, High]);
        let travel = stored.findings.last().expect("a finding");
        assert_eq!(
            (travel.level(), travel.facts["from"].as_str()),
            (v1::FindingLevel::High, "Berlin, DE")
        );
        let distance: f64 = travel.facts["distance_km"].parse().expect("a number");
        assert!((15_000.0..17_000.0).contains(&distance), "{distance}");
        assert!(!travel.advice.is_empty());
        let own = authority.audit(&far.access_token);
        let sign_in = async || {
            let action = "session.create".to_owned();
            let request = v1::ListAuditEventsRequest {
                action,
                ..Default::default()
            };
            let events = own
                .clone()
                .list_audit_events(request)
                .await
                .expect("her own")
                .into_inner()
                .events;
            events
                .into_iter()
                .find(|event| event.target == session_id(&far))
        };
        let event = eventually("the sign-in is in the trail", sign_in).await;
        assert_eq!(
            event.details.get("city").map(String::as_str),
            Some("Sydney"),
            "it is about her"
        );
        assert_eq!(
            (event.actor.as_str(), event.actor_ip.as_str()),
            ("", ""),
            "who called for it is not"
        );

        let request = v1::GetPolicyRequest {
            tenant_id: TENANT.into(),
        };
        let policy = authority
            .tenants(ADMIN)
            .get_policy(request)
            .await
            .expect("a policy")
            .into_inner()
            .policy;
        let off = v1::Policy {
            findings_disabled: vec![
                FindingCode::NewDevice.into(),
                FindingCode::ImpossibleTravel.into(),
            ],
            ..policy.expect("a policy")
        };
        let request = v1::UpdatePolicyRequest {
            tenant_id: TENANT.into(),
            policy: Some(off),
            reason: "too many".into(),
            ..Default::default()
        };
        authority
            .tenants(ADMIN)
            .update_policy(request)
            .await
            .expect("updated");
        tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
        let back = signed_in(&authority, "ada", client("8.8.8.8", CHROME, "desktop"))
            .await
            .expect("signed in");
        assert!(codes(&back).is_empty(), "{:?}", codes(&back));
        let shown: Vec<_> = get(&authority, &far)
            .await
            .findings
            .iter()
            .map(v1::Finding::code)
            .collect();
        assert_eq!(
            shown,
            [
                FindingCode::NewCountry,
                FindingCode::NewCity,
                FindingCode::NewNetwork
            ]
        );
    })
    .await;
}

async fn findings_in_the_trail(authority: &TestAuthority, id: &str) -> Vec<(String, String)> {
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        page_size: 100,
        ..Default::default()
    };
    let events = authority
        .audit(ADMIN)
        .list_audit_events(request)
        .await
        .expect("a list")
        .into_inner()
        .events;
    let of = events
        .into_iter()
        .filter(|event| event.target == id && event.action.starts_with("finding."));
    of.map(|event| {
        (
            event.action,
            event.details.get("to").cloned().unwrap_or_default(),
        )
    })
    .collect()
}

#[tokio::test]
async fn a_session_that_moves_to_another_country_is_in_the_trail_once_each_time() {
    on_both(async |authority, _| {
        let created = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in");
        let id = session_id(&created);
        let used = async |ip: &str| {
            let activity = v1::Activity {
                tenant_id: TENANT.into(),
                credential_id: id.clone(),
                requests: 1,
                age: Some(prost_types::Duration::default()),
                ip: ip.into(),
                last_page: String::new(),
            };
            let report = v1::ReportActivityRequest {
                activities: vec![activity],
                ..Default::default()
            };
            authority
                .revocations(GATEWAY)
                .report_activity(report)
                .await
                .expect("reported");
        };
        let moved = ("finding.country_changed".to_owned(), "AU".to_owned());
        for (ip, times) in [
            ("8.8.8.9", 0),
            ("9.9.9.9", 1),
            ("9.9.9.10", 1),
            ("8.8.8.8", 1),
            ("9.9.9.9", 2),
        ] {
            used(ip).await;
            let expected = vec![moved.clone(); times];
            let listed =
                async || (findings_in_the_trail(&authority, &id).await == expected).then_some(());
            eventually(ip, listed).await;
        }
        let shown = get(&authority, &created).await.findings;
        assert_eq!(
            shown.iter().map(v1::Finding::code).collect::<Vec<_>>(),
            [FindingCode::CountryChanged]
        );
    })
    .await;
}

async fn from(authority: &TestAuthority, ip: &str) -> v1::CreateSessionResponse {
    signed_in(authority, "ada", client(ip, FIREFOX, "laptop"))
        .await
        .expect("signed in")
}

/// Reports a request of the session, and returns the session's findings.
async fn used(
    authority: &TestAuthority,
    created: &v1::CreateSessionResponse,
    ip: &str,
) -> v1::Session {
    let activity = v1::Activity {
        tenant_id: TENANT.into(),
        credential_id: session_id(created),
        requests: 1,
        age: Some(prost_types::Duration::default()),
        ip: ip.into(),
        last_page: String::new(),
    };
    let report = v1::ReportActivityRequest {
        activities: vec![activity],
        ..Default::default()
    };
    authority
        .revocations(GATEWAY)
        .report_activity(report)
        .await
        .expect("reported");
    get(authority, created).await
}

fn has(session: &v1::Session, code: FindingCode) -> bool {
    session
        .findings
        .iter()
        .any(|finding| finding.code() == code)
}

#[tokio::test]
async fn a_replaced_database_makes_nobody_travel() {
    on_both(async |authority, directory| {
        let created = from(&authority, "8.8.8.8").await;
        // Everything is somewhere else now.
        let cities = [("8.8.8", SYDNEY), ("9.9.9", SYDNEY)];
        write_cities(&directory.path().join("city.mmdb"), &cities);
        let bob = signed_in(&authority, "bob", client("", FIREFOX, "b")).await;
        let bob = bob.expect("signed in");
        used(&authority, &bob, "8.8.8.8").await;
        // The place of his last address is looked up whenever it is shown.
        let reloaded = async || {
            let place = get(&authority, &bob).await.place?;
            (place.city == "Sydney").then_some(())
        };
        eventually("the database is replaced", reloaded).await;

        // The session did not move, in the same network or in one that is in the same place.
        for ip in ["8.8.8.8", "8.8.8.9", "9.9.9.9"] {
            let session = used(&authority, &created, ip).await;
            assert_eq!(session.findings, [], "{ip}");
        }
        let session = used(&authority, &created, "8.8.8.8").await;
        assert_eq!(session.place.expect("a place").city, "Berlin");

        assert_eq!(codes(&from(&authority, "8.8.8.8").await), []);
        assert_eq!(codes(&from(&authority, "8.8.8.200").await), []);
        assert_eq!(
            codes(&from(&authority, "9.9.9.9").await),
            [FindingCode::NewNetwork]
        );
    })
    .await;
}

#[tokio::test]
async fn travel_is_told_from_the_last_known_place() {
    on_both(async |authority, _| {
        from(&authority, "8.8.8.8").await;
        for unknown in ["", "1.1.1.1", "unknown"] {
            from(&authority, unknown).await;
        }
        let far = from(&authority, "9.9.9.9").await;
        let travel = [
            FindingCode::NewCountry,
            FindingCode::NewCity,
            FindingCode::NewNetwork,
            FindingCode::ImpossibleTravel,
        ];
        assert_eq!(codes(&far), travel);
        let session = get(&authority, &far).await;
        let levels: Vec<_> = session.findings.iter().map(v1::Finding::level).collect();
        use v1::FindingLevel::{High, Low, Medium};
        assert_eq!(levels, [Medium, Low, Medium, High], "a known device");
    })
    .await;
}

#[tokio::test]
async fn two_versions_of_ip_in_one_household_are_not_travel() {
    on_both(async |authority, _| {
        from(&authority, "8.8.8.8").await;
        // The first time nothing shows that it is the same household.
        let first = from(&authority, HOME_V6).await;
        assert!(codes(&first).contains(&FindingCode::ImpossibleTravel));
        let before = used(&authority, &first, "8.8.8.8").await;
        assert!(has(&before, FindingCode::CountryChanged));

        for (ip, other) in [("8.8.8.8", HOME_V6), (HOME_V6, "8.8.8.9")] {
            let again = from(&authority, ip).await;
            assert_eq!(codes(&again), [], "{ip}");
            let session = used(&authority, &again, other).await;
            assert_eq!(session.findings, [], "{ip}");
            // Another place is another place.
            let session = used(&authority, &again, "9.9.9.9").await;
            assert_eq!(has(&session, FindingCode::CountryChanged), ip == "8.8.8.8");
        }
        // Another device of the household.
        let phone = signed_in(&authority, "ada", client("8.8.8.8", IPHONE, "phone")).await;
        let phone = phone.expect("signed in");
        assert_eq!(codes(&phone), [FindingCode::NewDevice]);
    })
    .await;
}

#[tokio::test]
async fn the_operators_own_ranges_have_places() {
    on_both(async |authority, _| {
        for (ip, city) in [
            ("10.0.0.5", "Berlin"),
            ("::ffff:10.0.0.5", "Berlin"),
            ("203.0.113.7", "Sydney"),
            ("10.0.1.5", ""),
            ("127.0.0.1", ""),
        ] {
            let session = get(&authority, &from(&authority, ip).await).await;
            let place = session.place.as_ref().expect("a place");
            assert_eq!(place.city, city, "{ip}");
            assert!(!has(&session, FindingCode::NewNetwork), "{ip}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_ipv4_mapped_address_is_shown_as_ipv4() {
    on_both(async |authority, _| {
        let created = from(&authority, "::ffff:8.8.8.8").await;
        let session = used(&authority, &created, "::FFFF:9.9.9.9").await;
        assert_eq!(
            (kept(&session).ip.as_str(), session.last_ip.as_str()),
            ("8.8.8.8", "9.9.9.9")
        );
        let moved = session.findings.last().expect("a finding");
        assert_eq!(moved.facts["ip"], "9.9.9.9");

        let revoke = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&created),
            acting_user: Some(v1::ActingUser {
                id: "bob".into(),
                ip: "::ffff:8.8.4.4".into(),
            }),
            ..Default::default()
        };
        authority
            .sessions(ADMIN)
            .revoke_session(revoke)
            .await
            .expect("revoked");
        let trail = async || {
            let request = v1::ListAuditEventsRequest {
                tenant_id: TENANT.into(),
                page_size: 100,
                ..Default::default()
            };
            let mut admin = authority.audit(ADMIN);
            let listed = admin.list_audit_events(request).await.expect("a list");
            let events = listed.into_inner().events;
            let is_there = |action: &str| events.iter().any(|event| event.action == action);
            let whole = is_there("session.create") && is_there("session.revoke");
            whole.then_some(events)
        };
        let events = eventually("the trail has both", trail).await;
        let text = format!("{events:?}");
        assert!(
            text.contains("8.8.4.4") && !text.to_lowercase().contains("::ffff:"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_model_that_becomes_known_is_not_a_new_device() {
    on_both(async |authority, _| {
        let android = |model: &str| {
            let model = format!("\"{model}\"");
            v1::Client {
                hints: Some(v1::ClientHints {
                    model,
                    ..Default::default()
                }),
                ..client("8.8.8.8", ANDROID, "")
            }
        };
        for (model, expected) in [
            ("", &[][..]),
            ("Pixel 8", &[]),
            ("", &[]),
            ("Pixel 8", &[]),
            ("Pixel 9", &[FindingCode::NewDevice]),
        ] {
            let created = signed_in(&authority, "ada", android(model)).await;
            assert_eq!(codes(&created.expect("signed in")), expected, "{model}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_television_set_is_a_type_of_its_own() {
    on_both(async |authority, _| {
        let tv = "Mozilla/5.0 (Linux; Android 12; BRAVIA 4K VH2 Build/SVP1) AppleWebKit/537.36 \
             (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36";
        let created = signed_in(&authority, "ada", client("8.8.8.8", tv, "")).await;
        let created = created.expect("signed in");
        let session = get(&authority, &created).await;
        assert_eq!(kept_device(&session).r#type(), v1::DeviceType::Tv);
        from(&authority, "8.8.8.8").await;
        let request = v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            filter: Some(v1::SessionFilter {
                device_type: v1::DeviceType::Tv.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut admin = authority.sessions(ADMIN);
        let listed = admin.list_sessions(request).await.expect("a list");
        let ids: Vec<_> = listed.into_inner().sessions;
        let ids: Vec<_> = ids.into_iter().map(|session| session.id).collect();
        assert_eq!(ids, [session_id(&created)]);
    })
    .await;
}

/// Each field, its value as it was sent and as it is kept, and the repair.
type Decoration = (
    &'static str,
    fn(&mut v1::CreateSessionRequest),
    fn(&v1::Session) -> &str,
    String,
    FieldRepair,
);

fn sent(request: &mut v1::CreateSessionRequest) -> &mut v1::Client {
    request.client.get_or_insert_default()
}

fn person(request: &mut v1::CreateSessionRequest) -> &mut v1::SessionUser {
    request.user.get_or_insert_default()
}

fn kept(session: &v1::Session) -> &v1::Client {
    session.client.as_ref().expect("a client")
}

fn kept_device(session: &v1::Session) -> &v1::Device {
    session.device.as_ref().expect("a device")
}

fn kept_person(session: &v1::Session) -> &v1::SessionUser {
    session.user.as_ref().expect("a user")
}

#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
fn decorations() -> Vec<Decoration> {
    use FieldRepair::{Cleaned, Cut, Ignored};
    vec![
        (
            "client.ip",
            |request| sent(request).ip = "8.8.8.8:4711".into(),
            |session| &kept(session).ip,
            "8.8.8.8".into(),
            Cleaned,
        ),
        (
            "client.ip",
            |request| sent(request).ip = "[2001:db8::1]:443".into(),
            |session| &kept(session).ip,
            "2001:db8::1".into(),
            Cleaned,
        ),
        (
            "client.ip",
            |request| sent(request).ip = "fe80::1%eth0".into(),
            |session| &kept(session).ip,
            "fe80::1".into(),
            Cleaned,
        ),
        (
            "client.ip",
            |request| sent(request).ip = " 8.8.8.8 ".into(),
            |session| &kept(session).ip,
            "8.8.8.8".into(),
            Cleaned,
        ),
        (
            "client.ip",
            |request| sent(request).ip = "unknown".into(),
            |session| &kept(session).ip,
            String::new(),
            Ignored,
        ),
        (
            "client.ip",
            |request| sent(request).ip = "8.8.8.8, 10.0.0.1".into(),
            |session| &kept(session).ip,
            String::new(),
            Ignored,
        ),
        (
            "client.user_agent",
            |request| sent(request).user_agent = "A".repeat(65_536),
            |session| &kept(session).user_agent,
            "A".repeat(1024),
            Cut,
        ),
        (
            "client.user_agent",
            |request| sent(request).user_agent = "Mozilla\t5.0\r\nX: y".into(),
            |session| &kept(session).user_agent,
            "Mozilla 5.0 X: y".into(),
            Cleaned,
        ),
        (
            "client.app_name",
            |request| sent(request).app_name = "A".repeat(129),
            |session| &kept(session).app_name,
            "A".repeat(128),
            Cut,
        ),
        (
            "client.app_version",
            |request| sent(request).app_version = "\0".into(),
            |session| &kept_device(session).app_version,
            String::new(),
            Cleaned,
        ),
        (
            "client.os",
            |request| sent(request).os = "a\u{1b}[31m".into(),
            |session| &kept_device(session).os,
            "a [31m".into(),
            Cleaned,
        ),
        (
            "client.os_version",
            |request| {
                sent(request).os = "iOS".into();
                sent(request).os_version = "9".repeat(65);
            },
            |session| &kept_device(session).os_version,
            "9".repeat(64),
            Cut,
        ),
        (
            "client.device_model",
            |request| sent(request).device_model = "Pixel\t8".into(),
            |session| &kept_device(session).model,
            "Pixel 8".into(),
            Cleaned,
        ),
        (
            "client.hints.model",
            |request| {
                let hints = sent(request).hints.get_or_insert_default();
                hints.model = format!("\"{}\"", "x".repeat(511));
            },
            |session| &kept_device(session).model,
            String::new(),
            Ignored,
        ),
        (
            "client.hints.ua",
            |request| {
                let hints = sent(request).hints.get_or_insert_default();
                hints.ua = "\"Microsoft Edge\";v=\"124\",\t\"Chromium\";v=\"124\"".into();
            },
            |session| &kept_device(session).browser,
            "Edge".into(),
            Cleaned,
        ),
        (
            "user.user_name",
            |request| person(request).user_name = "n".repeat(10_000),
            |session| &kept_person(session).user_name,
            "n".repeat(256),
            Cut,
        ),
        (
            "user.family_name",
            |request| person(request).family_name = "Love\tlace".into(),
            |session| &kept_person(session).family_name,
            "Love lace".into(),
            Cleaned,
        ),
        (
            "user.email",
            |request| person(request).email = "a\tb@example.org".into(),
            |session| &kept_person(session).email,
            String::new(),
            Ignored,
        ),
    ]
}

fn warned(warnings: &[v1::FieldWarning]) -> Vec<(&str, FieldRepair)> {
    warnings
        .iter()
        .map(|warning| (warning.field.as_str(), warning.repair()))
        .collect()
}

#[tokio::test]
async fn decoration_never_refuses_a_sign_in() {
    on_both(async |authority, _| {
        for (number, (field, change, read, expected, repair)) in (0..).zip(decorations()) {
            let mut request = sign_in(&format!("user-{number}"));
            change(&mut request);
            let created = authority
                .sessions(LOGIN)
                .create_session(request)
                .await
                .expect(field)
                .into_inner();
            assert_eq!(warned(&created.warnings), [(field, repair)]);
            let session = get(&authority, &created).await;
            assert_eq!(read(&session), expected, "{field}");
        }

        let mapped = signed_in(&authority, "ada", client("::ffff:8.8.8.8", FIREFOX, "d"));
        let created = mapped.await.expect("signed in");
        assert_eq!(created.warnings, [], "nothing was lost");
        let session = get(&authority, &created).await;
        assert_eq!(kept(&session).ip, "8.8.8.8");
        assert_eq!(session.place.expect("a place").city, "Berlin");

        let odd = v1::Client {
            hints: Some(v1::ClientHints {
                ua: "((((".into(),
                platform: "?1".into(),
                full_version_list: r#""x";v="1"#.into(),
                ..Default::default()
            }),
            ..client("8.8.8.8", "%s%n((((", "")
        };
        signed_in(&authority, "ada", odd)
            .await
            .expect("hints that do not parse are ignored");
    })
    .await;
}

#[tokio::test]
async fn decoration_never_refuses_a_refresh() {
    on_both(async |authority, _| {
        let mut last = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in")
            .refresh_token;
        let long = "A".repeat(1025);
        for (ip, user_agent, expected) in [
            (
                "8.8.8.8:80",
                FIREFOX,
                vec![("client.ip", FieldRepair::Cleaned)],
            ),
            ("::ffff:8.8.8.8", FIREFOX, vec![]),
            (
                "unknown",
                FIREFOX,
                vec![("client.ip", FieldRepair::Ignored)],
            ),
            (
                "",
                "a\tb",
                vec![("client.user_agent", FieldRepair::Cleaned)],
            ),
            ("", &long, vec![("client.user_agent", FieldRepair::Cut)]),
        ] {
            let request = v1::RefreshSessionRequest {
                tenant_id: TENANT.into(),
                refresh_token: last,
                client: Some(client(ip, user_agent, "laptop")),
                ..Default::default()
            };
            let refreshed = authority
                .sessions(LOGIN)
                .refresh_session(request)
                .await
                .expect("refreshed")
                .into_inner();
            assert_eq!(warned(&refreshed.warnings), expected);
            last = refreshed.refresh_token;
        }
        let strict = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: last,
            client: Some(client("", "", "a\tb")),
            ..Default::default()
        };
        let refused = authority
            .sessions(LOGIN)
            .refresh_session(strict)
            .await
            .expect_err("an id is compared");
        assert_eq!(violations(&refused), ["client.device_id"]);
    })
    .await;
}

#[tokio::test]
async fn decoration_never_refuses_a_report_of_use() {
    on_both(async |authority, _| {
        let created = signed_in(&authority, "ada", client("8.8.8.8", FIREFOX, "laptop"))
            .await
            .expect("signed in");
        for (count, ip, shown, expected) in [
            (
                1,
                "9.9.9.9:80",
                "9.9.9.9",
                vec![("ip", FieldRepair::Cleaned)],
            ),
            (2, "::ffff:9.9.9.8", "9.9.9.8", vec![]),
            // An address that is not known says nothing about the last one.
            (3, "unknown", "9.9.9.8", vec![("ip", FieldRepair::Ignored)]),
        ] {
            let activity = v1::Activity {
                tenant_id: TENANT.into(),
                credential_id: session_id(&created),
                requests: 1,
                age: Some(prost_types::Duration::default()),
                ip: ip.into(),
                last_page: String::new(),
            };
            let report = v1::ReportActivityRequest {
                activities: vec![activity],
                ..Default::default()
            };
            let answer = authority
                .revocations(GATEWAY)
                .report_activity(report)
                .await
                .expect("reported")
                .into_inner();
            assert_eq!(answer.refused, 0, "{ip}");
            let warnings: Vec<_> = answer
                .warnings
                .into_iter()
                .filter_map(|warning| warning.warning)
                .collect();
            assert_eq!(warned(&warnings), expected, "{ip}");
            let session = get(&authority, &created).await;
            assert_eq!((session.actions, session.last_ip.as_str()), (count, shown));
        }
    })
    .await;
}
