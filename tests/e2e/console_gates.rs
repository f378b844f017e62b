//! The console's page Gates: for the operators' own staff, and what everybody else sees there.

use portcullis_contract::v1::UserRole as Role;
use portcullis_tests::{
    authority::{TENANT, TestAuthority, ready},
    console::{TestConsole, person},
    wait::eventually,
};

#[tokio::test]
async fn operators_see_every_gate_and_how_close_it_follows() {
    let authority = TestAuthority::with(|config| {
        config.server.operators_tenant = Some(TENANT.into());
    });
    let authority = authority.await;
    let console = TestConsole::start(&authority).await;
    let gate = ready(authority.gate().name("shop <front>")).await;
    let token = person(&authority, "ada", &[Role::Admin]).await.token;
    let browser = console.browser_of(&token);
    let page = eventually("both gates", async || {
        let page = browser.clone().get("/gates").await;
        let text = page.text();
        (text.contains("shop <front>") && text.contains("console")).then_some(page)
    })
    .await;
    page.expect_status(200)
        .expect("Strict")
        .expect("5,000 ms")
        .expect("Fresh")
        .expect("Head of the log: revision")
        .expect("From revoked to enforced");
    assert!(!page.body.contains("<front>"), "the name is text");
    drop(gate);

    let mut support = console.browser_of(&person(&authority, "sam", &[Role::Support]).await.token);
    support.get("/gates").await.expect_status(403);
}

#[tokio::test]
async fn everybody_else_learns_who_may_see_the_gates_and_how_many_there_are() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let gate = ready(authority.gate().name("shop-front")).await;
    for (id, roles) in [("ada", &[Role::Admin][..]), ("eve", &[])] {
        let token = person(&authority, id, roles).await.token;
        let browser = console.browser_of(&token);
        let page = eventually("the count of gates", async || {
            let page = browser.clone().get("/gates").await;
            page.text().contains("of 2 gates").then_some(page)
        })
        .await;
        page.expect_status(403)
            .expect("Only the operators of the installation see the gates.")
            .expect_none("shop-front");
    }
    drop(gate);
}
