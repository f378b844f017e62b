//! A sign-out from end to end: a session is opened, a gate admits it, it is revoked, the gate refuses it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_validator::{Builder, Validator};

use super::finding::Finding;
use crate::{
    context::{Authority, Context, ContextsFile},
    failure::{Failure, Result},
};

/// The tenant and the user of the session. No product has such a tenant.
const TENANT: &str = "portcullis-check";
const USER: &str = "self-test";

/// Longest wait for the gate of the test to be ready, and then to refuse.
const GATE_TIMEOUT: Duration = Duration::from_secs(10);

/// From here on a clock is wrong, in seconds. Gates of the default settings bear ten times as much.
const CLOCK_SKEW_MAX_SECONDS: f64 = 30.0;

/// From here on a clock should be looked at, in seconds.
const CLOCK_SKEW_SEEN_SECONDS: f64 = 2.0;

/// Runs the test, as far as there are credentials for it.
pub(super) async fn check(
    sign_in: Option<&str>,
    gate: Option<&str>,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) {
    let Some(sign_in) = sign_in else {
        findings.push(Finding::skipped(
            "clock",
            "name a context with the role login: --sign-in-context",
        ));
        findings.push(Finding::skipped(
            "sign-out",
            "name a context with the role login: --sign-in-context",
        ));
        return;
    };
    if let Err(failure) = run(sign_in, gate, config, findings).await {
        let finding = Finding::failed("sign-out", failure.to_string());
        findings.push(match failure.hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
}

async fn run(
    sign_in: &str,
    gate: Option<&str>,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let contexts = ContextsFile::locate()?.read()?;
    let (name, context) = contexts.choose(Some(sign_in))?;
    let authority = Authority::connect(&name, &context).await?;

    let token = &open_and_judge_clock(&authority, findings).await?;
    // Started before the revocation, so that the measured time has no connection and no snapshot in
    // it.
    let door = match gate {
        Some(gate) => Some(start_gate(gate, token, config).await?),
        None => None,
    };
    // Before the call, so that both times contain the durable write.
    let begun = Instant::now();
    // By the token, because the role login may end a session by its token alone.
    revoke(&authority, token).await?;
    let durable = begun.elapsed();
    findings.push(match door {
        Some(door) => judge_door(&door, token, begun, durable).await,
        None => judge_without_door(durable),
    });
    Ok(())
}

/// Opens the session, and returns its access token. Its time tells the clock of the database.
async fn open_and_judge_clock(
    authority: &Authority,
    findings: &mut Vec<Finding>,
) -> Result<String> {
    // The database took its time between these two, so only a difference beyond them is a wrong clock.
    let before = SystemTime::now();
    let opened = open(authority).await?;
    let after = SystemTime::now();
    if let Some(skew) = clock_skew(&opened, before, after) {
        findings.push(judge_clock(skew));
    }
    Ok(opened.access_token)
}

fn judge_without_door(durable: Duration) -> Finding {
    let detail = format!(
        "a session was opened and ended; durable after {}",
        milliseconds(durable)
    );
    Finding::good("sign-out", detail).hint("add --gate-context to time a gate too")
}

/// Waits until the gate refuses the revoked session, and ends the gate.
async fn judge_door(door: &Validator, token: &str, begun: Instant, durable: Duration) -> Finding {
    let refused = wait_for_refusal(door, token, begun).await;
    door.close().await;
    let Some(refused) = refused else {
        let finding = Finding::failed("sign-out", "a gate still admits the revoked session");
        return finding.hint("this must never happen: keep the logs of the authority");
    };
    let detail = format!(
        "durable after {}, refused by a gate after {}",
        milliseconds(durable),
        milliseconds(refused)
    );
    Finding::good("sign-out", detail)
}

fn milliseconds(length: Duration) -> String {
    format!("{:.1} ms", length.as_secs_f64() * 1e3)
}

async fn open(authority: &Authority) -> Result<v1::CreateSessionResponse> {
    let request = v1::CreateSessionRequest {
        tenant_id: TENANT.to_owned(),
        user: Some(v1::SessionUser {
            id: USER.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = authority.sessions().create_session(request).await?;
    Ok(answer.into_inner())
}

async fn revoke(authority: &Authority, token: &str) -> Result<()> {
    let request = v1::RevokeTokenRequest {
        tenant_id: TENANT.to_owned(),
        token: token.to_owned(),
        ..Default::default()
    };
    authority.sessions().revoke_token(request).await?;
    Ok(())
}

/// How far the database's clock is ahead of ours, in seconds. Its time lies somewhere between question and answer.
fn clock_skew(
    opened: &v1::CreateSessionResponse,
    before: SystemTime,
    after: SystemTime,
) -> Option<f64> {
    let theirs = opened.session.as_ref()?.create_time?;
    let theirs = Duration::try_from(prost_types::Duration {
        seconds: theirs.seconds,
        nanos: theirs.nanos,
    });
    let theirs = theirs.ok()?.as_secs_f64();
    let before = seconds(before)?;
    let after = seconds(after)?;
    if theirs < before {
        return Some(theirs - before);
    }
    Some((theirs - after).max(0.0))
}

fn seconds(time: SystemTime) -> Option<f64> {
    let since_1970 = time.duration_since(UNIX_EPOCH).ok()?;
    Some(since_1970.as_secs_f64())
}

fn judge_clock(skew: f64) -> Finding {
    let detail = format!(
        "this machine and the database differ by {:.1} s",
        skew.abs()
    );
    if skew.abs() > CLOCK_SKEW_MAX_SECONDS {
        let finding = Finding::failed("clock", detail);
        return finding.hint("gates refuse with such a clock: run NTP on both machines");
    }
    if skew.abs() > CLOCK_SKEW_SEEN_SECONDS {
        return Finding::warning("clock", detail).hint("run NTP on both machines");
    }
    Finding::good("clock", detail)
}

/// Starts a gate of our own, and waits until it admits the session.
async fn start_gate(name: &str, token: &str, config: Option<&Config>) -> Result<Validator> {
    let contexts = ContextsFile::locate()?.read()?;
    let (name, context) = contexts.choose(Some(name))?;
    let (issuer, audience) = expected_of(token, config)?;
    let builder = gate_builder(&name, &context).await?;
    let gate = builder
        .issuer(issuer)
        .audience(audience)
        .start()
        .map_err(|error| Failure::usage(error.to_string()))?;
    wait_for_admission(&gate, token).await?;
    Ok(gate)
}

async fn wait_for_admission(gate: &Validator, token: &str) -> Result<()> {
    // `start` does not connect. A gate without the right role would wait here for ever.
    let ready = tokio::time::timeout(GATE_TIMEOUT, gate.ready()).await;
    ready.map_err(|_| {
        Failure::failed("a gate of the test's own does not become ready")
            .hint("has the gate's context the role gateway?")
    })?;
    // It is ready, and admits what was opened before: its view is fresh.
    gate.check(token)
        .map(drop)
        .map_err(|rejection| Failure::failed(format!("a gate refuses a new session: {rejection}")))
}

/// The settings of a gate that uses the credential of a context.
async fn gate_builder(name: &str, context: &Context) -> Result<Builder> {
    let mut builder = Validator::builder(&context.address)
        .name("portcullis check")
        // The test is no use of a session, and this gate is gone a moment later.
        .without_activity();
    if let Some(bearer) = context.bearer(name).await? {
        builder = builder.bearer(bearer);
    }
    if let Some(pem) = context.ca_certificate()? {
        builder = builder.ca_certificate(pem);
    }
    if let Some((certificate, key)) = context.client_certificate()? {
        builder = builder.client_certificate(certificate, key);
    }
    if context.insecure {
        builder = builder.insecure();
    }
    Ok(builder)
}

/// The issuer and an audience that the token has. It is our own, just made: reading it is no verification.
fn expected_of(token: &str, config: Option<&Config>) -> Result<(String, String)> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    #[derive(serde::Deserialize)]
    struct Payload {
        iss: String,
        aud: Vec<String>,
    }

    let payload = token.split('.').nth(1).ok_or_else(malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
    let payload: Payload = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    // Gates are told the issuer of the configuration. If another is in the token they refuse it.
    let issuer = config.map_or(payload.iss, |config| config.tokens.issuer.clone());
    let audience = payload.aud.into_iter().next().ok_or_else(malformed)?;
    Ok((issuer, audience))
}

fn malformed() -> Failure {
    Failure::failed("the authority gave a token that is none")
}

/// Waits until the gate refuses for a reason of the session's own. None when it does not in time.
async fn wait_for_refusal(gate: &Validator, token: &str, begun: Instant) -> Option<Duration> {
    // Subscribed before the first look, so that a delta between the two wakes the loop.
    let mut position = gate.position();
    let refusal = async {
        loop {
            match gate.check(token) {
                // A gate that cannot know refuses too, and that would say nothing about the
                // revocation.
                Err(rejection) if !rejection.is_unavailable() => return begun.elapsed(),
                _ => {}
            }
            if position.changed().await.is_err() {
                // The gate has ended. The timeout around this answers for it.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::time::timeout(GATE_TIMEOUT, refusal).await.ok()
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn the_clock_is_judged_by_its_difference() {
        for (skew, verdict) in [
            (0.4, Verdict::Good),
            (-5.0, Verdict::Warning),
            (3_600.0, Verdict::Failed),
        ] {
            assert_eq!(judge_clock(skew).verdict, verdict, "{skew}");
        }
    }
}
