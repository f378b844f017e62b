//! I5: a check of a known token allocates nothing. The only test here, so that nobody else allocates meanwhile.

use std::alloc::System;

use portcullis_tests::authority::TestAuthority;
use portcullis_validator::RequestInfo;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// On one thread nothing else runs while the checks do, so that every allocation counted is theirs.
#[tokio::test]
async fn a_check_of_a_known_token_allocates_nothing() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let known = authority.sign_in("ada").await.access_token;
    assert!(gate.check(&known).is_ok());
    let pages = ["/orders", "/orders/17", "/"].map(|page| RequestInfo {
        ip: Some([10, 0, 0, 1].into()),
        page: Some(page),
        ..RequestInfo::default()
    });
    let mut rounds = Vec::new();
    for _ in 0..20 {
        let region = Region::new(HEAP);
        for request in pages.iter().cycle().take(1_000) {
            assert!(gate.check(&known).is_ok());
            assert!(gate.check_request(&known, request).is_ok());
        }
        rounds.push(region.change().allocations);
    }
    // Threads of the blocking pool may still be putting things away in a round or two.
    assert_eq!(rounds.iter().min(), Some(&0), "{rounds:?}");
    let first_sight = authority.sign_in("ada").await.access_token;
    let region = Region::new(HEAP);
    assert!(gate.check(&first_sight).is_ok());
    assert!(
        region.change().allocations > 0,
        "the counter does not count"
    );
}
