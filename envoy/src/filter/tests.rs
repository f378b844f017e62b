use serde_json::json;

use super::*;
use crate::{
    route::RouteConfig,
    testing::{FakeHost, FakeStream, PanicAt},
};

/// A configuration whose authority never answers: all but public routes are refused with 503.
fn config() -> Arc<FilterConfig> {
    let settings = json!({
        "authority": {
            "endpoints": ["http://127.0.0.1:1"],
            "bearer": "secret",
            "issuer": "https://issuer.test",
            "audience": "gateway",
        },
        "start_wait": "0s",
        "rules": {
            "cookie": "session",
            "rules": [{ "path": "/public/{*rest}", "access": "public" }],
        },
    });
    let json = settings.to_string();
    let config = FilterConfig::new(json.as_bytes(), &mut FakeHost::default());
    Arc::new(config.expect("good settings"))
}

/// Runs the hook of a request's head as `ffi` does.
fn request(filter: &Filter, stream: &mut FakeStream) -> Flow {
    filter.guard(stream, super::Filter::request_headers)
}

#[test]
fn a_panic_anywhere_in_a_request_is_503() {
    let config = config();
    for place in [
        PanicAt::ReadingHeaders,
        PanicAt::SettingHeaders,
        PanicAt::ClientAddress,
    ] {
        let filter = Filter::new(Arc::clone(&config));
        let mut stream = FakeStream::get("/public/a").with("x-portcullis-user", "eve");
        stream.panic_at = Some(place);
        assert_eq!(request(&filter, &mut stream), Flow::Stop, "{place:?}");
        let [(status, body)] = &stream.answers[..] else {
            panic!("{place:?}: {:?}", stream.answers);
        };
        assert_eq!(*status, 503, "{place:?}");
        assert!(body.contains("gate_failed"), "{place:?}: {body}");
        assert_eq!(stream.counted(config.meters().panics), 1, "{place:?}");
        assert_eq!(stream.counted(config.meters().admitted), 0, "{place:?}");
        // What still arrives of the request goes nowhere.
        assert_eq!(filter.request_body(), Flow::Stop, "{place:?}");
    }
}

#[test]
fn a_panic_after_the_answer_began_resets_the_stream() {
    let filter = Filter::new(config());
    let mut stream = FakeStream::get("/public/a");
    assert_eq!(request(&filter, &mut stream), Flow::Continue);
    filter.response_headers();
    stream.panic_at = Some(PanicAt::ReadingHeaders);
    let flow = filter.guard(&mut stream, |filter, stream| {
        filter.request_trailers(stream)
    });
    assert_eq!(flow, Flow::Stop);
    assert_eq!(stream.resets, ["portcullis_panic"]);
    assert!(stream.answers.is_empty());
}

#[test]
fn a_panic_while_the_request_is_answered_resets_the_stream() {
    let filter = Filter::new(config());
    let mut stream = FakeStream::get("/orders");
    stream.panic_at = Some(PanicAt::Answering);
    assert_eq!(request(&filter, &mut stream), Flow::Stop);
    assert!(stream.answers.is_empty());
    assert_eq!(stream.resets, ["portcullis_panic"]);
}

#[test]
fn a_head_that_cannot_be_read_is_400() {
    let config = config();
    let no_method = FakeStream::default().with(":path", "/public/a");
    let bad_path = FakeStream::default()
        .with(":method", "GET")
        .with(":authority", "app.test")
        .with(":path", b"/public/\xff");
    for (name, stream) in [
        ("no method", no_method),
        ("a path that is not UTF-8", bad_path),
        (
            "a header with a line break",
            FakeStream::get("/public/a").with("x-a", "a\nb"),
        ),
        (
            "a header without a name",
            FakeStream::get("/public/a").with("", "a"),
        ),
        (
            "an absolute target",
            FakeStream::get("http://app.test/public/a"),
        ),
        (
            "64 kB of headers",
            FakeStream::get("/public/a").with("x-a", "a".repeat(64 << 10)),
        ),
    ] {
        let mut stream = stream;
        let filter = Filter::new(Arc::clone(&config));
        assert_eq!(request(&filter, &mut stream), Flow::Stop, "{name}");
        let (status, body) = stream.answers.last().expect("an answer");
        assert!([400, 431].contains(status), "{name}: {status} {body}");
        assert!(body.contains("invalid_request"), "{name}: {body}");
    }
}

#[test]
fn without_a_view_a_session_is_refused_with_503() {
    let config = config();
    let filter = Filter::new(Arc::clone(&config));
    let mut stream = FakeStream::get("/orders").with("authorization", "Bearer a.b.c");
    assert_eq!(request(&filter, &mut stream), Flow::Stop);
    assert_eq!(stream.answers[0].0, 503);
    let retry = ("retry-after".to_owned(), "1".to_owned());
    assert!(stream.answered_headers.contains(&retry));
    assert_eq!(
        stream.counted(
            config
                .meters()
                .of_answer(http::StatusCode::SERVICE_UNAVAILABLE)
        ),
        1
    );
}

#[test]
fn nothing_that_a_client_says_about_its_identity_goes_on() {
    let filter = Filter::new(config());
    let mut stream = FakeStream::get("/public/a")
        .with("X-Portcullis-User", "eve")
        .with("x-portcullis-user", "eve")
        .with("x_portcullis_roles", "admin")
        .with("x-portcullis_scopes", "all")
        .with("x-other", "kept");
    assert_eq!(request(&filter, &mut stream), Flow::Continue);
    for name in [
        "x-portcullis-user",
        "x_portcullis_roles",
        "x-portcullis_scopes",
    ] {
        assert!(stream.values(name).is_empty(), "{name}");
    }
    assert_eq!(stream.values("x-other"), ["kept"]);
    assert_eq!(
        stream.routes_cleared, 1,
        "the route was chosen by what the client invented"
    );

    for (name, stays) in [
        ("x-portcullis-user", false),
        ("X_Portcullis_User", false),
        ("authorization", false),
        ("Cookie", false),
        ("grpc-status", true),
    ] {
        stream.trailers = vec![(name.into(), b"eve".to_vec())];
        assert_eq!(filter.request_trailers(&mut stream), Flow::Continue);
        assert_eq!(!stream.trailers.is_empty(), stays, "{name}");
    }
}

#[test]
fn a_request_without_a_claim_keeps_its_route() {
    let filter = Filter::new(config());
    let mut stream = FakeStream::get("/public/a");
    assert_eq!(request(&filter, &mut stream), Flow::Continue);
    assert_eq!(stream.routes_cleared, 0);
}

#[test]
fn the_rules_of_a_route_replace_those_of_the_filter() {
    let config = config();
    let route = |rules: &str| RouteConfig::new(rules.as_bytes()).expect("good rules");
    for (path, rules, flow) in [
        ("/public/a", r#"{"rules":{}}"#, Flow::Stop),
        ("/orders", r#"{"rules":{}}"#, Flow::Stop),
        (
            "/open",
            r#"{"rules":{"rules":[{"path":"/open","access":"public"}]}}"#,
            Flow::Continue,
        ),
        // A rule that asks for best effort does not fit a strict gate: it refuses, and does not open.
        (
            "/open",
            r#"{"rules":{"rules":[{"path":"/open","access":"session","mode":"best_effort"}]}}"#,
            Flow::Stop,
        ),
    ] {
        let filter = Filter::new(Arc::clone(&config));
        let mut stream = FakeStream::get(path);
        stream.route = Some(route(rules));
        assert_eq!(request(&filter, &mut stream), flow, "{path} {rules}");
    }
}

#[test]
fn a_call_in_grpc_is_refused_with_a_status_of_grpc() {
    let config = config();
    for (content_type, status) in [
        ("application/grpc", Some("14")),
        ("application/grpc+proto", Some("14")),
        ("application/grpc;charset=utf-8", Some("14")),
        ("application/grpc-web", None),
        ("application/json", None),
    ] {
        let filter = Filter::new(Arc::clone(&config));
        let mut stream = FakeStream::get("/pkg.Service/Call").with("content-type", content_type);
        stream
            .headers
            .push(("authorization".into(), b"Bearer a.b.c".to_vec()));
        assert_eq!(request(&filter, &mut stream), Flow::Stop);
        let mut statuses = stream.answered_headers.iter();
        let told = statuses.find(|(name, _)| name == "grpc-status");
        assert_eq!(
            told.map(|(_, value)| value.as_str()),
            status,
            "{content_type}"
        );
    }
}
