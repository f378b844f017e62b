//! NGINX, Caddy, Traefik and HAProxy in front of a real sidecar, each from its file in `deploy/`: what is particular to
//! them, beyond the cases that every door passes.

mod headers;
mod outages;
mod rig;
mod streams;

use libtest_mimic::Trial;

use crate::kind::Kind;

/// Makes a test of each function at every gateway, in every version that we support.
macro_rules! at_every_gateway {
    ($($test:ident),+ $(,)?) => {
        pub fn tests() -> Vec<libtest_mimic::Trial> {
            let mut tests = Vec::new();
            for kind in crate::kind::Kind::ALL {
                $(tests.push(crate::listed::test(
                    super::name(kind, stringify!($test)),
                    move || $test(kind),
                ));)+
            }
            tests
        }
    };
}
pub(crate) use at_every_gateway;

/// All tests.
pub fn tests() -> Vec<Trial> {
    let mut tests = headers::tests();
    tests.extend(outages::tests());
    tests.extend(streams::tests());
    tests
}

fn name(kind: Kind, test: &str) -> String {
    format!("gateways::{}::{test}", kind.name())
}
