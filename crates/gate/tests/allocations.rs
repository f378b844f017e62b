//! What a decision allocates. The only test here, so that nobody else allocates meanwhile.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "gate/world.rs"]
mod world;

use std::alloc::System;

use portcullis_gate::{Decision, Gate, Rules};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::world::{Request, World, get};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The rules of the test, behind many that do not match.
fn rules() -> Rules {
    let mut text = "cookie = 'session'\nrules = [".to_owned();
    for number in 0..100 {
        text.push_str(&format!(
            "{{ path = '/other{number}/{{*rest}}', access = 'public' }},"
        ));
    }
    text.push_str("{ path = '/assets/{*rest}', access = 'public' },");
    text.push_str("{ path = '/orders/{id}', access = 'session' },");
    text.push_str("{ path = '/either', access = 'either', forward_credential = true }]");
    Rules::from_toml(&text).expect("rules")
}

/// The fewest allocations of one decision, over some of them.
fn allocations(gate: &Gate, request: &Request) -> usize {
    assert!(
        matches!(request.decide(gate), Decision::Allow(_)),
        "{request:?}"
    );
    let mut fewest = usize::MAX;
    for _ in 0..20 {
        let region = Region::new(HEAP);
        let decision = request.decide(gate);
        fewest = fewest.min(region.change().allocations);
        drop(decision);
    }
    fewest
}

#[test]
fn a_public_request_allocates_nothing_and_a_known_session_little() {
    let world = World::new();
    let gate = world.gate(&rules());
    let token = world.token(|_| {});
    let usual = |target| {
        get(target)
            .header("host", world::HOST)
            .header("user-agent", "curl/8")
            .header("accept", "*/*")
            .header("x-request-id", "7")
    };
    for (request, most) in [
        (usual("/assets/logo.svg?v=2"), 0),
        // The values, their names, and the lists of headers to remove and to set.
        (usual("/orders/7").bearer(&token), 5),
        (usual("/either").bearer(&token), 6),
        (
            usual("/orders/7").header("cookie", &format!("a=1; session={token}")),
            7,
        ),
    ] {
        let found = allocations(&gate, &request);
        assert!(found <= most, "{found} for {}", request.target);
    }
}
