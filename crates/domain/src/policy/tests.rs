//! What a policy refuses, what it means, and what is past it.

use std::time::Duration;

use portcullis_contract::id::UserId;

use super::*;
use crate::Micros;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("an id")
}

fn limits(change: impl FnOnce(&mut Limits)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.limits);
    policy
}

/// A tenant with every limit set, and what it says of Ann.
fn overridden(change: impl FnOnce(&mut UserOverride)) -> Policy {
    let mut policy = limits(|limits| {
        limits.access_token_lifetime = Some(HOUR);
        limits.sessions_max = Some(5);
        limits.reauthenticate_within = Some(HOUR);
        limits.required_acr = vec!["two".into(), "three".into()];
    });
    let mut stricter = UserOverride::default();
    change(&mut stricter);
    policy.user_overrides.insert(user("ann"), stricter);
    policy
}

fn fields(policy: &Policy) -> Vec<String> {
    let problems = policy.validate().err().unwrap_or_default();
    problems.into_iter().map(|(field, _)| field).collect()
}

#[test]
fn durations_are_bounded_in_days() {
    let days = |days: u32| Duration::from_secs(86_400) * days;
    assert_eq!(DURATION_MAX, days(3_660));
    assert_eq!(ACCESS_TOKEN_LIFETIME_MAX, days(366));
}

#[test]
fn a_problem_names_the_bound() {
    let problems = limits(|l| l.access_token_lifetime = Some(Duration::MAX)).validate();
    let (_, problem) = problems.expect_err("too long").swap_remove(0);
    assert_eq!(problem, "must be from 1 second to 366 days");
}

#[test]
fn as_many_overrides_and_classes_as_allowed_are_good() {
    let mut policy = limits(|l| l.required_acr = vec!["a".into(); ACRS_MAX]);
    for number in 0..USER_OVERRIDES_MAX {
        let user = user(&number.to_string());
        policy.user_overrides.insert(user, UserOverride::default());
    }
    assert_eq!(fields(&policy), [""; 0]);
    policy
        .user_overrides
        .insert(user("one more"), UserOverride::default());
    assert_eq!(fields(&policy), ["user_overrides"]);
}

#[test]
fn limits_say_how_long_a_token_lives_and_how_many_sessions_there_are() {
    let unset = limits(|_| ()).limits;
    assert_eq!(unset.access_token_lifetime(HOUR), HOUR);
    assert!(unset.session_limit().is_none());

    let set = overridden(|_| ()).limits;
    assert_eq!(set.access_token_lifetime(DAY), HOUR);
    assert_eq!(set.access_token_lifetime(SECOND), SECOND);
    let limit = set.session_limit().expect("a limit");
    assert_eq!((limit.sessions_max, limit.at_limit), (5, set.at_limit));
}

#[test]
fn each_violation_names_its_field_and_says_its_reason() {
    let cases = [
        (PolicyViolation::AcrMissing, "required_acr", "context class"),
        (
            PolicyViolation::RememberMeForbidden,
            "remember_me_allowed",
            "remembered sessions",
        ),
        (
            PolicyViolation::TooOld,
            "session_lifetime_max",
            "maximum lifetime",
        ),
        (
            PolicyViolation::LifetimeShortened,
            "session_lifetime",
            "policy's lifetime",
        ),
        (PolicyViolation::Idle, "idle_timeout", "idle"),
        (
            PolicyViolation::TooMany,
            "sessions_max",
            "number of sessions",
        ),
    ];
    for (violation, rule, words) in cases {
        assert_eq!(violation.rule(), rule);
        assert!(violation.describe().contains(words), "{rule}");
    }
}

#[test]
fn what_types_cannot_say_is_refused_with_its_field() {
    let cases = [
        (Policy::default(), ""),
        (limits(|l| l.idle_timeout = None), ""),
        (
            limits(|l| l.idle_timeout = Some(Duration::ZERO)),
            "idle_timeout",
        ),
        (
            limits(|l| l.idle_timeout = Some(DURATION_MAX + SECOND)),
            "idle_timeout",
        ),
        (
            limits(|l| l.session_lifetime_max = Duration::MAX),
            "session_lifetime_max",
        ),
        (
            limits(|l| l.session_lifetime = Duration::ZERO),
            "session_lifetime",
        ),
        (
            limits(|l| l.session_lifetime = 91 * DAY),
            "session_lifetime",
        ),
        (limits(|l| l.remember_me_lifetime = 90 * DAY), ""),
        (
            limits(|l| l.remember_me_lifetime = 90 * DAY + SECOND),
            "remember_me_lifetime",
        ),
        (
            limits(|l| l.remember_me_lifetime = SECOND / 2),
            "remember_me_lifetime",
        ),
        (
            limits(|l| l.access_token_lifetime = Some(367 * DAY)),
            "access_token_lifetime",
        ),
        (
            limits(|l| l.reauthenticate_within = Some(Duration::ZERO)),
            "reauthenticate_within",
        ),
        (limits(|l| l.sessions_max = Some(0)), "sessions_max"),
        (
            limits(|l| l.sessions_max = Some(SESSIONS_MAX + 1)),
            "sessions_max",
        ),
        (
            limits(|l| l.required_acr = vec![String::new()]),
            "required_acr",
        ),
        (
            limits(|l| l.required_acr = vec!["a\n".into()]),
            "required_acr",
        ),
        (
            limits(|l| l.required_acr = vec!["a".repeat(ACR_BYTES_MAX + 1)]),
            "required_acr",
        ),
        (
            limits(|l| l.required_acr = vec!["a".into(); ACRS_MAX + 1]),
            "required_acr",
        ),
    ];
    for (policy, expected) in cases {
        assert_eq!(fields(&policy).join(" "), expected, "{:?}", policy.limits);
    }
}

#[test]
fn an_override_is_as_strict_as_the_tenant_or_stricter() {
    let cases = [
        (overridden(|_| ()), ""),
        (overridden(|o| o.idle_timeout = Some(7 * DAY)), ""),
        (
            overridden(|o| o.idle_timeout = Some(8 * DAY)),
            "idle_timeout",
        ),
        (
            overridden(|o| o.idle_timeout = Some(Duration::ZERO)),
            "idle_timeout",
        ),
        (
            overridden(|o| o.session_lifetime_max = Some(91 * DAY)),
            "session_lifetime_max",
        ),
        (
            overridden(|o| o.session_lifetime = Some(8 * DAY)),
            "session_lifetime",
        ),
        (
            overridden(|o| {
                (o.session_lifetime_max, o.session_lifetime) = (Some(2 * DAY), Some(3 * DAY));
            }),
            "session_lifetime",
        ),
        (
            overridden(|o| {
                (o.session_lifetime_max, o.remember_me_lifetime) = (Some(2 * DAY), Some(10 * DAY));
            }),
            "remember_me_lifetime",
        ),
        (
            overridden(|o| {
                (o.session_lifetime_max, o.session_lifetime) = (Some(2 * DAY), Some(2 * DAY));
            }),
            "",
        ),
        (overridden(|o| o.forbid_remember_me = true), ""),
        (
            overridden(|o| o.remember_me_lifetime = Some(31 * DAY)),
            "remember_me_lifetime",
        ),
        (
            overridden(|o| o.access_token_lifetime = Some(2 * HOUR)),
            "access_token_lifetime",
        ),
        (
            overridden(|o| o.reauthenticate_within = Some(2 * HOUR)),
            "reauthenticate_within",
        ),
        (overridden(|o| o.sessions_max = Some(1)), ""),
        (overridden(|o| o.sessions_max = Some(6)), "sessions_max"),
        (overridden(|o| o.sessions_max = Some(0)), "sessions_max"),
        (overridden(|o| o.required_acr = vec!["three".into()]), ""),
        (
            overridden(|o| o.required_acr = vec!["three".into(), "one".into()]),
            "required_acr",
        ),
    ];
    for (policy, expected) in cases {
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("user_overrides[ann].{expected}")
        };
        assert_eq!(
            fields(&policy).join(" "),
            expected,
            "{:?}",
            policy.user_overrides
        );
    }
}

#[test]
fn where_the_tenant_sets_no_limit_any_is_stricter() {
    let mut policy = limits(|limits| limits.idle_timeout = None);
    let stricter = UserOverride {
        idle_timeout: Some(DURATION_MAX),
        access_token_lifetime: Some(HOUR),
        sessions_max: Some(SESSIONS_MAX),
        required_acr: vec!["any".into()],
        reauthenticate_within: Some(DAY),
        ..UserOverride::default()
    };
    policy.user_overrides.insert(user("ann"), stricter);
    assert_eq!(policy.validate(), Ok(()));
    let effective = policy.effective(&user("ann"));
    assert_eq!(
        (effective.idle_timeout, effective.sessions_max),
        (Some(DURATION_MAX), Some(SESSIONS_MAX))
    );
}

#[test]
fn overrides_and_problems_are_bounded() {
    let mut policy = Policy::default();
    for index in 0..=USER_OVERRIDES_MAX {
        policy
            .user_overrides
            .insert(user(&format!("u{index}")), UserOverride::default());
    }
    assert_eq!(fields(&policy), ["user_overrides"]);
    for stricter in policy.user_overrides.values_mut() {
        stricter.sessions_max = Some(0);
    }
    assert_eq!(fields(&policy).len(), PROBLEMS_MAX);
}

#[test]
fn the_stricter_of_tenant_and_user_holds() {
    let policy = overridden(|ann| {
        ann.idle_timeout = Some(HOUR);
        ann.session_lifetime_max = Some(2 * DAY);
        ann.forbid_remember_me = true;
        ann.sessions_max = Some(2);
        ann.required_acr = vec!["three".into()];
    });
    let expected = Limits {
        idle_timeout: Some(HOUR),
        session_lifetime_max: 2 * DAY,
        session_lifetime: 2 * DAY,
        remember_me_allowed: false,
        remember_me_lifetime: 2 * DAY,
        sessions_max: Some(2),
        required_acr: vec!["three".into()],
        ..policy.limits.clone()
    };
    assert_eq!(policy.effective(&user("ann")), expected);
    assert_eq!(policy.effective(&user("bob")), policy.limits);
    assert_eq!(expected.lifetime(true), 2 * DAY);
}

#[test]
fn a_session_lives_as_its_kind_does() {
    let tenant = Limits::default();
    let forgetful = Limits {
        remember_me_allowed: false,
        ..tenant.clone()
    };
    let brief = Limits {
        session_lifetime_max: DAY,
        ..tenant.clone()
    };
    let cases = [
        (&tenant, false, 7),
        (&tenant, true, 30),
        (&forgetful, true, 7),
        (&brief, false, 1),
        (&brief, true, 1),
    ];
    for (limits, remember_me, days) in cases {
        assert_eq!(
            limits.lifetime(remember_me),
            days * DAY,
            "{limits:?} {remember_me}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
fn a_session_past_the_policy_is_told_from_one_within() {
    let tenant = Limits::default();
    let forgetful = Limits {
        remember_me_allowed: false,
        ..tenant.clone()
    };
    let brief = Limits {
        session_lifetime_max: 20 * DAY,
        remember_me_lifetime: 10 * DAY,
        ..tenant.clone()
    };
    let never = Limits {
        idle_timeout: None,
        ..tenant.clone()
    };
    let two = Limits {
        required_acr: vec!["two".into()],
        ..tenant.clone()
    };
    let remembered = SessionFacts {
        created: Micros(0),
        remember_me: true,
        acr: "one",
        last_active: Micros(0),
        unheard: Duration::ZERO,
    };
    let plain = SessionFacts {
        remember_me: false,
        ..remembered
    };
    let active = |session: SessionFacts<'static>, after: Duration| SessionFacts {
        last_active: Micros(0).after(after),
        ..session
    };
    let unheard =
        |session: SessionFacts<'static>, unheard: Duration| SessionFacts { unheard, ..session };
    let cases = [
        (&tenant, plain, 6 * DAY, None),
        (&tenant, active(plain, 6 * DAY), 7 * DAY - SECOND, None),
        (
            &tenant,
            active(plain, 6 * DAY),
            7 * DAY,
            Some(PolicyViolation::LifetimeShortened),
        ),
        (&tenant, remembered, 7 * DAY - SECOND, None),
        (&tenant, remembered, 7 * DAY, Some(PolicyViolation::Idle)),
        (&tenant, active(remembered, DAY), 8 * DAY - SECOND, None),
        (
            &tenant,
            active(remembered, DAY),
            8 * DAY,
            Some(PolicyViolation::Idle),
        ),
        // Nobody could have heard of it for two of these days.
        (
            &tenant,
            unheard(remembered, 2 * DAY),
            9 * DAY - SECOND,
            None,
        ),
        (
            &tenant,
            unheard(remembered, 2 * DAY),
            9 * DAY,
            Some(PolicyViolation::Idle),
        ),
        (&tenant, unheard(remembered, Duration::MAX), 29 * DAY, None),
        (&never, remembered, 29 * DAY, None),
        (
            &never,
            remembered,
            30 * DAY,
            Some(PolicyViolation::LifetimeShortened),
        ),
        (
            &forgetful,
            remembered,
            SECOND,
            Some(PolicyViolation::RememberMeForbidden),
        ),
        (&forgetful, plain, SECOND, None),
        (
            &brief,
            active(remembered, 9 * DAY),
            10 * DAY,
            Some(PolicyViolation::LifetimeShortened),
        ),
        (
            &brief,
            active(remembered, 19 * DAY),
            20 * DAY,
            Some(PolicyViolation::TooOld),
        ),
        (&two, plain, SECOND, Some(PolicyViolation::AcrMissing)),
        (
            &two,
            SessionFacts {
                acr: "two",
                ..plain
            },
            SECOND,
            None,
        ),
        // A clock that stepped back makes nothing old.
        (&tenant, active(plain, DAY), Duration::ZERO, None),
    ];
    for (limits, session, after, expected) in cases {
        assert_eq!(
            limits.violation(&session, Micros(0).after(after)),
            expected,
            "{session:?} after {after:?}"
        );
    }
}

#[test]
fn ending_sessions_may_need_a_recent_authentication() {
    let hour = Limits {
        reauthenticate_within: Some(HOUR),
        ..Limits::default()
    };
    // As every other limit: what has lasted as long as the limit has reached it.
    let now = Micros(0).after(HOUR);
    assert!(!hour.needs_reauthentication(Micros(1), now));
    assert!(hour.needs_reauthentication(Micros(0), now));
    assert!(hour.needs_reauthentication(Micros(0), now.after(SECOND)));
    assert!(!Limits::default().needs_reauthentication(Micros(0), Micros(i64::MAX)));
}

#[test]
fn a_stored_policy_comes_back_and_an_unknown_rule_is_refused() {
    let mut policy = overridden(|ann| ann.idle_timeout = Some(Duration::new(1, 1)));
    policy.limits.idle_timeout = None;
    policy.findings_disabled = [FindingCode::NewCity, FindingCode::OldSession].into();
    assert_eq!(Policy::decode(&policy.encode()).expect("a policy"), policy);

    assert_eq!(Policy::decode("{}").expect("a policy"), Policy::default());
    let partial = Policy::decode(r#"{"limits":{"idle_timeout":"1day"}}"#).expect("a policy");
    assert_eq!(partial, limits(|limits| limits.idle_timeout = Some(DAY)));

    let refused = [
        "",
        r#"{"moon_phase":true}"#,
        r#"{"limits":{"moon_phase":true}}"#,
        r#"{"user_overrides":{"ann":{"moon_phase":true}}}"#,
        r#"{"user_overrides":{"":{}}}"#,
        r#"{"findings_disabled":["new_moon"]}"#,
        r#"{"limits":{"idle_timeout":"-1s"}}"#,
        r#"{"limits":{"idle_timeout":"99999999999999999999years"}}"#,
        r#"{"limits":{"session_lifetime":null}}"#,
    ];
    for json in refused {
        assert!(Policy::decode(json).is_err(), "{json}");
    }
}

#[test]
fn presets_are_the_standards_figures_and_cite_them() {
    let minute = Duration::from_secs(60);
    let expected = [
        ("nist_800_63b_aal1", 30 * DAY, None, "4.1.3"),
        ("nist_800_63b_aal2", 12 * HOUR, Some(30 * minute), "4.2.3"),
        ("nist_800_63b_aal3", 12 * HOUR, Some(15 * minute), "4.3.3"),
        ("owasp_asvs_l1", 30 * DAY, None, "3.3.2"),
        ("owasp_asvs_l2", 12 * HOUR, Some(30 * minute), "3.3.2"),
        ("owasp_asvs_l3", 12 * HOUR, Some(15 * minute), "3.3.2"),
    ];
    assert_eq!(expected.len(), PRESETS.len());
    for (name, lifetime_max, idle_timeout, section) in expected {
        let preset = Preset::named(name).expect(name);
        assert!(preset.source.contains(section), "{}", preset.source);
        let limits = preset.apply(Limits {
            idle_timeout: Some(7 * DAY),
            ..Limits::default()
        });
        assert_eq!(limits.session_lifetime_max, lifetime_max, "{name}");
        assert_eq!(
            limits.idle_timeout,
            idle_timeout.or(Some(7 * DAY)),
            "{name}"
        );
        assert_eq!(
            Policy {
                limits,
                ..Policy::default()
            }
            .validate(),
            Ok(()),
            "{name}"
        );
    }
    assert_eq!(Preset::named("none"), None);
}
