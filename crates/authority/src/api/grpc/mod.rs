//! The gRPC edge: requests are parsed once, callers are checked in one layer, errors are made in one place.

mod activity;
mod api_keys;
mod audit;
mod auth;
mod change;
mod change_messages;
mod filters;
pub(crate) mod health;
mod incoming;
mod lists;
mod observe;
mod parse;
mod render;
mod revocation;
mod sessions;
mod signing_keys;
pub(in crate::api) mod status;
mod tenants;
mod users;
pub(crate) mod watch;
mod web;

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

pub(crate) use self::render::{audit::audit_event, timestamp};
use super::access::{Access, REPORT_BYTES_MAX};
use crate::{app::App, config::ServerConfig};

/// The largest request, in bytes.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// All services, behind the layer that authorizes every call.
pub(crate) fn routes(
    app: &Arc<App>,
    access: Arc<Access>,
    health: HealthServer<impl Health>,
    server: &ServerConfig,
) -> Router {
    let mut routes = Routes::new(health)
        .add_service(
            SessionServiceServer::new(sessions::Sessions {
                app: Arc::clone(app),
            })
            .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            UserServiceServer::new(users::Users {
                app: Arc::clone(app),
            })
            .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(TenantServiceServer::new(tenants::Tenants {
            app: Arc::clone(app),
        }))
        .add_service(ApiKeyServiceServer::new(api_keys::ApiKeys {
            app: Arc::clone(app),
        }))
        .add_service(AuditServiceServer::new(audit::Audit {
            app: Arc::clone(app),
        }))
        .add_service(KeyServiceServer::new(signing_keys::SigningKeys {
            app: Arc::clone(app),
        }))
        .add_service(
            RevocationServiceServer::new(revocation::Revocations {
                app: Arc::clone(app),
            })
            .max_decoding_message_size(REPORT_BYTES_MAX),
        );
    if server.reflection {
        routes = with_reflection(routes);
    }
    let observed = (Arc::clone(&app.instruments), Arc::clone(&access));
    let router = routes
        .into_axum_router()
        .layer(middleware::map_response(watch::send_encoded))
        .layer(middleware::from_fn_with_state(access, auth::authorize))
        // Outside of the layer before, so refused calls are measured too.
        .layer(middleware::from_fn_with_state(observed, observe::observe));
    // The last layer is the outermost.
    web::serve_pages(router, &server.web_origins, &app.instruments)
        // Made whole once, and not for every request.
        .with_state(())
}

fn with_reflection(routes: Routes) -> Routes {
    let v1 = reflection().build_v1().expect("our own descriptors");
    let v1alpha = reflection().build_v1alpha().expect("our own descriptors");
    routes.add_service(v1).add_service(v1alpha)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(portcullis_contract::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
