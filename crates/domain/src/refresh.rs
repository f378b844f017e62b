//! Refresh tokens that come again after they were exchanged.

use std::time::Duration;

use super::{ClientInfo, Finding, FindingCode, Micros, Session, SessionState};

/// The settings of a tenant and its installation for refresh tokens that come again.
#[derive(Clone, Copy, Debug)]
pub struct RefreshRules {
    /// The time after a refresh in which the token before the newest returns the newest, whatever was seen since.
    pub grace: Duration,
    /// The lifetime of the session's access tokens.
    pub access_token_lifetime: Duration,
    /// Whether a token that two clients present ends the session.
    pub end_on_shared_token: bool,
}

/// The verdict on a refresh token that is not the newest one of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshVerdict {
    /// Return the same successor again: another tab was first, or the answer was lost.
    Repeat,
    /// Two clients presented the token.
    Shared {
        /// The finding that names the differences.
        finding: Finding,
        /// Whether the session ends. Otherwise the successor is returned again.
        end: bool,
    },
    /// The token was copied. End the session.
    Theft,
    /// The session has ended.
    Ended,
    /// The generation is ahead of the session: the token was never issued, or the store lost history. That is no theft.
    Ahead,
}

/// Judges a token of `generation` that `client` presented and that did not advance the session.
///
/// - **The token before the newest** may come again because its answer was lost. A session must not end for that, however
///   long the authority was away. It is theft only when the access token of the successor was used: then the answer did
///   arrive, and somebody else has a copy.
/// - **An older token** is always theft, because its successor was presented.
///
/// Gates report use with a delay (at most `sessions.activity_delay_max`). Until then a copy gets the successor, but no
/// more than its owner has: only one of them advances the session with it, and the next older token is theft. A thief and
/// an owner that repeat after each other in turn are found by their clients ([`RefreshVerdict::Shared`]).
#[must_use]
pub fn judge_refresh(
    session: &Session,
    generation: u64,
    client: &ClientInfo,
    rules: &RefreshRules,
    now: Micros,
) -> RefreshVerdict {
    // First, because nothing is left to end: an old token of such a session must not be reported as a theft.
    if session.state(now) != SessionState::Active {
        return RefreshVerdict::Ended;
    }
    // The newest token advances the session. One that did not was never issued for this row.
    if generation >= session.generation {
        return RefreshVerdict::Ahead;
    }
    let Some(rotated) = session.rotated else {
        // Not reachable for rows of this version: an earlier generation means that the session was refreshed.
        return RefreshVerdict::Theft;
    };

    // Cannot overflow: the row has a greater generation than the token.
    let is_older = generation + 1 < session.generation;
    let in_grace = now.since(rotated) <= rules.grace;
    // Within the grace, two tabs that refresh at the same time look like a theft, because both use their answers.
    if is_older || (!in_grace && is_successor_used(session, rotated, rules)) {
        return RefreshVerdict::Theft;
    }

    match compare_clients(&session.rotated_by, client) {
        Some(finding) => RefreshVerdict::Shared {
            finding,
            end: rules.end_on_shared_token,
        },
        None => RefreshVerdict::Repeat,
    }
}

/// Whether a gate saw the access token that came with the newest refresh token.
fn is_successor_used(session: &Session, rotated: Micros, rules: &RefreshRules) -> bool {
    // Activity after the refresh may still come from an earlier access token, until all of those have expired. The grace
    // is the margin for clocks, and for the tokens that a repetition within the grace issued.
    let issued_before = session.rotated_before.unwrap_or(rotated);
    let expired = issued_before.after(rules.access_token_lifetime);
    session.activity.last > rotated.max(expired).after(rules.grace)
}

/// A finding when the two clients differ in a field that both have.
fn compare_clients(first: &ClientInfo, second: &ClientInfo) -> Option<Finding> {
    let fields = [
        ("ip", &first.ip, &second.ip),
        ("user_agent", &first.user_agent, &second.user_agent),
        ("device_id", &first.device_id, &second.device_id),
    ];
    let mut differs = Vec::new();
    for (name, first, second) in fields {
        // A caller that sends no client must not be taken for another client.
        if !first.is_empty() && !second.is_empty() && first != second {
            differs.push(name);
        }
    }
    if differs.is_empty() {
        return None;
    }

    let facts = [
        ("differs", differs.join(", ")),
        ("ip", second.ip.clone()),
        ("first_ip", first.ip.clone()),
    ];
    Some(Finding::new(FindingCode::RefreshTokenShared, facts))
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
        position::Revision,
        view::Subject,
    };

    use super::*;
    use crate::{Activity, Cause, SessionEnd, Sight, SignInFacts};

    const SECOND: i64 = 1_000_000;
    const RULES: RefreshRules = RefreshRules {
        grace: Duration::from_secs(30),
        access_token_lifetime: Duration::from_secs(300),
        end_on_shared_token: false,
    };

    /// A session of generation 3, opened at 0, that rotated at 200 s and 400 s.
    fn session() -> Session {
        let subject = Subject {
            serial: Serial(1),
            user: UserSerial(1),
            tenant: TenantSerial(1),
            opened: Revision(0),
        };
        Session {
            id: SessionId::generate(),
            tenant_id: TenantId::parse("t").expect("an id"),
            user_id: UserId::parse("u").expect("an id"),
            subject,
            created: Micros(0),
            expires: Micros(100_000 * SECOND),
            rotated: Some(Micros(400 * SECOND)),
            rotated_before: Some(Micros(200 * SECOND)),
            rotated_by: ClientInfo::default(),
            shared_generation: None,
            remember_me: false,
            facts: SignInFacts::default(),
            acr: String::new(),
            auth_time: Micros(0),
            client: ClientInfo::default(),
            generation: 3,
            salt: [0; 16],
            end: None,
            sight: Sight::default(),
            activity: Activity::default(),
            replaces: None,
        }
    }

    fn used_at(seconds: i64) -> Session {
        let mut session = session();
        session.activity.last = Micros(seconds * SECOND);
        session
    }

    #[test]
    fn a_refresh_token_is_judged_by_its_generation_the_grace_and_use() {
        let mut ended = session();
        ended.end = Some(SessionEnd {
            at: Micros(1),
            cause: Cause::User,
            actor: String::new(),
            reason: String::new(),
            user_message: String::new(),
            revision: Revision(1),
        });
        let mut of_an_older_version = used_at(729);
        of_an_older_version.rotated_before = None;
        let cases = [
            (session(), 2, 430, RefreshVerdict::Repeat),
            // Its answer was lost, and the authority was away for a day.
            (session(), 2, 90_000, RefreshVerdict::Repeat),
            // Use within the grace tells of another tab.
            (used_at(429), 2, 430, RefreshVerdict::Repeat),
            // An access token of the rotation before lives until 500 s.
            (used_at(530), 2, 600, RefreshVerdict::Repeat),
            (used_at(531), 2, 600, RefreshVerdict::Theft),
            (used_at(531), 2, 430, RefreshVerdict::Repeat),
            (of_an_older_version, 2, 900, RefreshVerdict::Repeat),
            (session(), 1, 401, RefreshVerdict::Theft),
            (session(), 0, 90_000, RefreshVerdict::Theft),
            (session(), 4, 401, RefreshVerdict::Ahead),
            // The newest, which lost a race that is over by now: tried again, never theft.
            (session(), 3, 401, RefreshVerdict::Ahead),
            (session(), 2, 100_000, RefreshVerdict::Ended),
            (ended, 0, 401, RefreshVerdict::Ended),
        ];
        for (session, generation, now, expected) in cases {
            let now = Micros(now * SECOND);
            let client = ClientInfo::default();
            let decided = judge_refresh(&session, generation, &client, &RULES, now);
            assert_eq!(decided, expected, "generation {generation} at {now:?}");
        }
    }

    #[test]
    fn two_clients_with_one_token_differ_in_what_both_say() {
        let client = |ip: &str, user_agent: &str, device_id: &str| ClientInfo {
            ip: ip.into(),
            user_agent: user_agent.into(),
            device_id: device_id.into(),
            app_name: String::new(),
        };
        let first = client("192.0.2.1", "Firefox", "d1");
        let cases = [
            (client("192.0.2.1", "Firefox", "d1"), ""),
            (client("", "", ""), ""),
            (client("", "Firefox", ""), ""),
            (client("192.0.2.9", "Firefox", "d1"), "ip"),
            (client("192.0.2.1", "curl", ""), "user_agent"),
            (client("192.0.2.1", "Firefox", "d2"), "device_id"),
            (
                client("192.0.2.9", "curl", "d2"),
                "ip, user_agent, device_id",
            ),
        ];
        for (second, expected) in cases {
            for end in [false, true] {
                let rules = RefreshRules {
                    end_on_shared_token: end,
                    ..RULES
                };
                let mut session = session();
                session.rotated_by = first.clone();
                for now in [401, 90_000] {
                    let now = Micros(now * SECOND);
                    let (differs, ends) = match judge_refresh(&session, 2, &second, &rules, now) {
                        RefreshVerdict::Shared { finding, end } => {
                            (finding.facts[0].1.clone(), end)
                        }
                        other => {
                            assert_eq!(other, RefreshVerdict::Repeat);
                            (String::new(), end)
                        }
                    };
                    assert_eq!((differs.as_str(), ends), (expected, end));
                }
                // The first is unknown: nothing to compare with.
                session.rotated_by = ClientInfo::default();
                let now = Micros(401 * SECOND);
                let decided = judge_refresh(&session, 2, &second, &rules, now);
                assert_eq!(decided, RefreshVerdict::Repeat);
            }
        }
    }
}
