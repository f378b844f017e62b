//! The gRPC edge: requests are parsed once, callers are checked in one layer, errors are made in one place.

mod access;
mod activity;
mod api_keys;
mod audit;
mod authorize;
mod caller;
mod convert;
mod core;
mod keys;
mod lists;
mod load;
mod message;
mod observe;
mod parse;
mod policy;
mod revocation;
mod sessions;
mod shown;
mod sight;
mod status;
mod tenants;
mod users;
mod watch;

use std::sync::Arc;

use axum::{Router, middleware};
use portcullis_contract::v1::{
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    key_service_server::KeyServiceServer, revocation_service_server::RevocationServiceServer,
    session_service_server::SessionServiceServer, tenant_service_server::TenantServiceServer,
    user_service_server::UserServiceServer,
};
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

pub(crate) use self::{authorize::Access, core::Core};

/// The largest request, in bytes.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// The largest report of a gate, in bytes.
const REPORT_BYTES_MAX: usize = 4 << 20;

/// All services behind the one layer that decides who may call.
pub(crate) fn routes(
    core: &Arc<Core>,
    access: Access,
    health: HealthServer<impl Health>,
    reflection: bool,
) -> Router {
    let mut routes = Routes::new(health)
        .add_service(
            SessionServiceServer::new(sessions::Sessions(Arc::clone(core)))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            UserServiceServer::new(users::Users(Arc::clone(core)))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(TenantServiceServer::new(tenants::Tenants(Arc::clone(core))))
        .add_service(ApiKeyServiceServer::new(api_keys::ApiKeys(Arc::clone(
            core,
        ))))
        .add_service(AuditServiceServer::new(audit::Audit(Arc::clone(core))))
        .add_service(KeyServiceServer::new(keys::Keys(Arc::clone(core))))
        .add_service(
            RevocationServiceServer::new(revocation::Revocations(Arc::clone(core)))
                .max_decoding_message_size(REPORT_BYTES_MAX),
        );
    if reflection {
        routes = with_reflection(routes);
    }
    let access = Arc::new(access);
    let observed = (Arc::clone(&core.instruments), Arc::clone(&access));
    routes
        .into_axum_router()
        .layer(middleware::from_fn_with_state(access, authorize::authorize))
        .layer(middleware::from_fn_with_state(observed, observe::observe))
        // Made whole once, and not for every request.
        .with_state(())
}

fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(portcullis_contract::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("our own descriptors");
    let v1alpha = builder().build_v1alpha().expect("our own descriptors");
    routes.add_service(v1).add_service(v1alpha)
}
