//! A session that ends is refused at its next request, and others live on.

use portcullis_contract::v1;
use portcullis_tests::{authority::ADMIN, visitor::Visit};

use crate::scene::{Scene, Session};

pub async fn revoked(scene: Scene) {
    let (ada, again) = (scene.sign_in("ada").await, scene.sign_in("ada").await);
    scene.admitted(&visit(&ada)).await;
    scene.revoke(&ada).await;
    scene.refused_soon(&visit(&ada), 401, "revoked").await;
    scene.admitted(&visit(&again)).await;
}

pub async fn forced_sign_out(scene: Scene) {
    let ada = [scene.sign_in("ada").await, scene.sign_in("ada").await];
    let bob = scene.sign_in("bob").await;
    scene.admitted(&visit(&ada[0])).await;
    force_sign_out(&scene, "ada").await;
    for session in &ada {
        scene.refused_soon(&visit(session), 401, "signed_out").await;
    }
    scene.admitted(&visit(&bob)).await;
    scene.admitted(&visit(&scene.sign_in("ada").await)).await;
}

pub async fn tenant_sign_out(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    let elsewhere = scene.sign_in_elsewhere("ada").await;
    scene.admitted(&visit(&ada)).await;
    sign_out_tenant(&scene).await;
    for session in [&ada, &bob] {
        scene.refused_soon(&visit(session), 401, "signed_out").await;
    }
    scene.admitted(&visit(&elsewhere)).await;
}

pub async fn disabled_user(scene: Scene) {
    let (ada, bob) = (scene.sign_in("ada").await, scene.sign_in("bob").await);
    scene.admitted(&visit(&ada)).await;
    disable(&scene, "ada").await;
    scene.refused_soon(&visit(&ada), 401, "signed_out").await;
    scene.admitted(&visit(&bob)).await;

    // The old session does not come back with its user.
    let request = v1::EnableUserRequest {
        tenant_id: scene.tenant.clone(),
        user_id: "ada".into(),
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = scene.authority().users(ADMIN);
    users.enable_user(request).await.expect("enabled");
    let again = scene.sign_in("ada").await;
    scene.admitted(&visit(&again)).await;
    scene.refused(&visit(&ada), 401, "signed_out").await;
}

pub async fn force_sign_out(scene: &Scene, user: &str) {
    let request = v1::ForceSignOutRequest {
        tenant_id: scene.tenant.clone(),
        user_ids: vec![user.into()],
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = scene.authority().users(ADMIN);
    users.force_sign_out(request).await.expect("signed out");
}

pub async fn sign_out_tenant(scene: &Scene) {
    let request = v1::SignOutTenantRequest {
        tenant_id: scene.tenant.clone(),
        force: true,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut tenants = scene.authority().tenants(ADMIN);
    tenants.sign_out_tenant(request).await.expect("signed out");
}

pub async fn disable(scene: &Scene, user: &str) {
    let request = v1::DisableUserRequest {
        tenant_id: scene.tenant.clone(),
        user_id: user.into(),
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = scene.authority().users(ADMIN);
    users.disable_user(request).await.expect("disabled");
}

pub fn visit(session: &Session) -> Visit {
    Visit::get("/").bearer(&session.token)
}
