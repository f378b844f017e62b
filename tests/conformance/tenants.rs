//! The list of tenants.

use portcullis_authority::store::Store;
use portcullis_contract::id::TenantSerial;
use portcullis_tests::{calls::open, given::sign_in};

use crate::Engine;

/// All tenants, by pages of this size.
async fn pages(store: &dyn Store, size: u32) -> Vec<String> {
    let (mut tenants, mut after) = (Vec::new(), TenantSerial(0));
    loop {
        let page = store.list_tenants(after, size).await.expect("a page");
        assert!(page.len() <= size as usize, "{size}");
        let Some((last, _)) = page.last() else {
            return tenants;
        };
        after = *last;
        tenants.extend(page.into_iter().map(|(_, tenant)| tenant.to_string()));
    }
}

async fn tenants_are_listed_in_the_order_of_their_first_sign_in(engine: Engine) {
    let store = engine.place().await.store().await;
    assert!(pages(&*store, 10).await.is_empty());
    let order = ["zeta", "Alpha", "alpha", "\u{e9}t\u{e9}", "beta"];
    for tenant in order {
        open(&*store, &sign_in(tenant, "ada")).await;
    }
    // A second sign-in makes no second tenant.
    open(&*store, &sign_in("zeta", "bob")).await;
    for size in [1, 2, 5, 10] {
        assert_eq!(pages(&*store, size).await, order, "pages of {size}");
    }
}

crate::on_every_engine! {
    tenants_are_listed_in_the_order_of_their_first_sign_in,
}
