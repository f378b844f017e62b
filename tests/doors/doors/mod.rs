//! The doors under test, one list.

mod asking;
mod envoy_module;
mod ext_authz;
mod gateway;
mod layer;

use portcullis_tests::door::Door;

/// Every door, in the order of the table.
pub fn all() -> Vec<Box<dyn Door>> {
    let mut doors: Vec<Box<dyn Door>> = vec![
        Box::new(layer::Layer),
        Box::new(gateway::ExampleGateway),
        Box::new(envoy_module::EnvoyModule),
        Box::new(ext_authz::ExtAuthz),
    ];
    for door in asking::Asking::all() {
        doors.push(Box::new(door));
    }
    doors
}
