//! Readiness for others: gRPC health of every service, and the write that tells whether the disk has room.

use std::{sync::Arc, time::Duration};

use portcullis_contract::v1::{
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    key_service_server::KeyServiceServer, revocation_service_server::RevocationServiceServer,
    session_service_server::SessionServiceServer, tenant_service_server::TenantServiceServer,
    user_service_server::UserServiceServer,
};
use tokio::time::MissedTickBehavior;
use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    health::{Pulse, Readiness},
    store::Store,
};

/// The services that health knows, beside the whole server (an empty name). Others are NOT_FOUND.
pub(crate) const SERVICES: [&str; 8] = [
    "",
    ApiKeyServiceServer::<()>::NAME,
    AuditServiceServer::<()>::NAME,
    KeyServiceServer::<()>::NAME,
    RevocationServiceServer::<()>::NAME,
    SessionServiceServer::<()>::NAME,
    TenantServiceServer::<()>::NAME,
    UserServiceServer::<()>::NAME,
];

/// Keeps gRPC health as readiness has it, until it is dropped.
pub(crate) async fn report(readiness: Arc<Readiness>, reporter: HealthReporter) {
    let mut problems = readiness.problems();
    loop {
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

/// Writes a little each `interval`, until it is dropped.
pub(crate) async fn check_writes(
    store: Arc<dyn Store>,
    interval: Duration,
    readiness: Arc<Readiness>,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.check_writes().await {
            Ok(()) => readiness.succeed(Pulse::Writes),
            Err(error) => readiness.fail(Pulse::Writes, &error),
        }
    }
}
