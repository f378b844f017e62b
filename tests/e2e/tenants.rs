//! The list of tenants, for callers of the whole installation.

use portcullis_contract::v1::{self, UserRole};
use portcullis_tests::authority::{
    ADMIN, GATEWAY, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TestAuthority, reason, sign_in,
    violations,
};
use tonic::{Code, Status};

const TENANTS: [&str; 5] = ["zeta", "alpha", "other", "Beta", "über"];

async fn authority() -> TestAuthority {
    let authority = TestAuthority::sqlite().await;
    for tenant in TENANTS {
        let request = v1::CreateSessionRequest {
            tenant_id: tenant.into(),
            ..sign_in("ada")
        };
        let mut sessions = authority.sessions(LOGIN);
        sessions.create_session(request).await.expect("a sign-in");
    }
    authority
}

async fn list(
    authority: &TestAuthority,
    bearer: &str,
    page_size: i32,
    page_token: &str,
) -> Result<v1::ListTenantsResponse, Status> {
    let request = v1::ListTenantsRequest {
        page_size,
        page_token: page_token.into(),
    };
    let listed = authority.tenants(bearer).list_tenants(request).await?;
    Ok(listed.into_inner())
}

fn ids(page: &v1::ListTenantsResponse) -> Vec<&str> {
    page.tenants
        .iter()
        .map(|tenant| tenant.id.as_str())
        .collect()
}

#[tokio::test]
async fn tenants_are_listed_page_by_page_in_the_order_of_their_first_sign_in() {
    let authority = authority().await;
    for bearer in [SUPPORT, ADMIN, OPERATOR] {
        let whole = list(&authority, bearer, 0, "").await.expect("a list");
        assert_eq!(ids(&whole), TENANTS, "{bearer}");
        assert_eq!(whole.next_page_token, "");
    }

    let first = list(&authority, ADMIN, 2, "").await.expect("a page");
    assert_eq!(ids(&first), TENANTS[..2]);
    let token = &first.next_page_token;
    let second = list(&authority, ADMIN, 2, token).await.expect("a page");
    assert_eq!(ids(&second), TENANTS[2..4]);
    let token = &second.next_page_token;
    let last = list(&authority, ADMIN, 2, token).await.expect("a page");
    assert_eq!(ids(&last), TENANTS[4..]);
    assert_eq!(last.next_page_token, "");

    let refused = list(&authority, SUPPORT, 2, token).await;
    let refused = refused.expect_err("another caller's token");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    let refused = list(&authority, ADMIN, -1, "").await;
    assert_eq!(violations(&refused.expect_err("negative")), ["page_size"]);
}

#[tokio::test]
async fn nobody_of_one_tenant_learns_of_the_others() {
    let authority = authority().await;
    let mut person = v1::CreateSessionRequest {
        tenant_id: "zeta".into(),
        ..sign_in("root")
    };
    person.user = person.user.map(|user| v1::SessionUser {
        roles: Some(v1::UserRoles {
            roles: vec![UserRole::Admin.into()],
        }),
        ..user
    });
    let created = authority.sessions(LOGIN).create_session(person).await;
    let token = created.expect("a sign-in").into_inner().access_token;
    for bearer in [OTHER_ADMIN, LOGIN, GATEWAY, token.as_str()] {
        let refused = list(&authority, bearer, 0, "").await;
        assert_eq!(refused.expect_err("denied").code(), Code::PermissionDenied);
    }
}
