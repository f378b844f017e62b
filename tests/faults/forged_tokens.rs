//! Forged tokens cost a gate little, and cost callers from other addresses nothing.

use std::net::IpAddr;

use portcullis_tests::{
    authority::{TestAuthority, ready},
    wait::eventually,
};
use portcullis_validator::{Rejection, RequestInfo};

/// A genuine token with another signature.
fn forged(token: &str, number: usize) -> String {
    let (message, _) = token.rsplit_once('.').expect("a token");
    format!("{message}.{number:085x}A")
}

fn client(last: u8) -> RequestInfo<'static> {
    RequestInfo {
        ip: Some(IpAddr::from([192, 0, 2, last])),
        ..RequestInfo::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_one_source_cost_other_sources_nothing() {
    let authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().forged_tokens_max(1, 1_000)).await;
    let known = authority.sign_in("ada").await.access_token;
    let new = authority.sign_in("bob").await.access_token;
    let another = authority.sign_in("cid").await.access_token;
    let attacker = client(1);
    assert!(gate.check_request(&known, &attacker).is_ok());

    for number in 0..1_000 {
        let refused = gate.check_request(&forged(&known, number), &attacker);
        let refused = refused.expect_err("a forged token");
        let expected = [Rejection::BadSignature, Rejection::Busy];
        assert!(expected.contains(&refused), "{refused}");
    }
    let verdicts = gate.statistics().verdicts;
    let checked = verdicts.rejected(&Rejection::BadSignature);
    // A burst of five, and one for each second that the loop took.
    assert!((5..100).contains(&checked), "{checked} were checked");

    assert!(gate.check_request(&known, &attacker).is_ok());
    assert!(gate.check_request(&new, &client(2)).is_ok());
    // A moment after the attacker has used up their share, their neighbour has none.
    let used_up = |number| {
        let refused = gate.check_request(&forged(&known, number), &attacker);
        refused.err() == Some(Rejection::Busy)
    };
    assert!((1_000..1_010).any(used_up), "the share has no end");
    let busy = gate.check_request(&another, &attacker).map(drop);
    assert_eq!(busy, Err(Rejection::Busy));
    eventually("the attacker's neighbour to be let in", async || {
        gate.check_request(&another, &attacker).ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_forged_token_is_refused_without_a_check() {
    let authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().forged_tokens_max(1, 1_000)).await;
    let forged = forged(&authority.sign_in("ada").await.access_token, 1);
    for _ in 0..1_000 {
        let refused = gate.check_request(&forged, &client(1)).map(drop);
        assert_eq!(refused, Err(Rejection::BadSignature));
    }
}
