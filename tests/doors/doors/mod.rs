//! The doors under test, one list.

mod asking;
mod envoy_module;
mod ext_authz;
mod rust;

use portcullis_tests::door::Door;

use crate::kind::Kind;

/// The reason of a door that asks nobody.
const OWN_PROCESS: &str = "decides in its own process";

/// The reason of Envoy.
const NORMALIZES: &str = "Envoy normalizes or refuses the path before";

/// Every door, in the order of the table.
pub fn all() -> Vec<Box<dyn Door>> {
    let mut doors: Vec<Box<dyn Door>> = vec![
        Box::new(rust::LAYER),
        Box::new(rust::EXAMPLE_GATEWAY),
        Box::new(envoy_module::EnvoyModule),
        Box::new(ext_authz::ExtAuthz),
    ];
    for kind in Kind::ALL {
        doors.push(Box::new(asking::Asking(kind)));
    }
    doors
}
