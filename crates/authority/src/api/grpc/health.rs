//! The gRPC health service. It reports the same state as readiness.

use std::sync::Arc;

use portcullis_contract::v1::{
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    key_service_server::KeyServiceServer, revocation_service_server::RevocationServiceServer,
    session_service_server::SessionServiceServer, tenant_service_server::TenantServiceServer,
    user_service_server::UserServiceServer,
};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

use crate::health::{Readiness, Supervisor};

/// The services whose health is known, beside the whole server (the empty name). Others are NOT_FOUND.
const SERVICES: [&str; 8] = [
    "",
    ApiKeyServiceServer::<()>::NAME,
    AuditServiceServer::<()>::NAME,
    KeyServiceServer::<()>::NAME,
    RevocationServiceServer::<()>::NAME,
    SessionServiceServer::<()>::NAME,
    TenantServiceServer::<()>::NAME,
    UserServiceServer::<()>::NAME,
];

/// Makes the health service. A task keeps its answers as readiness has them, until `stop`.
pub(crate) fn start(tasks: &Supervisor, stop: &CancellationToken) -> HealthServer<impl Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    let readiness = Arc::clone(tasks.readiness());
    tasks.spawn_until(stop, "health", report(readiness, reporter));
    service
}

async fn report(readiness: Arc<Readiness>, reporter: HealthReporter) {
    let mut problems = readiness.problems();
    loop {
        // Marked as seen before the statuses are set, so that a change in between is not missed.
        let status = if problems.borrow_and_update().is_empty() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
        if problems.changed().await.is_err() {
            return;
        }
    }
}
