//! The choice of the authority that a stream goes to.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::connection::Connector;

/// An address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The number of the endpoint.
    pub(crate) endpoint: usize,
    pub(crate) address: SocketAddr,
}

/// The targets that the streams of a validator use now.
pub(crate) struct Targets {
    in_use: Mutex<[Option<Target>; 2]>,
}

/// The tries of one stream so far.
#[derive(Default)]
pub(crate) struct Tries {
    /// The endpoint whose turn it is.
    next: usize,
    /// For each endpoint, how often it was chosen.
    chosen: Vec<usize>,
}

/// The reason for which there is no target.
#[derive(Debug)]
pub(crate) enum NoTarget {
    /// The other stream has the only one.
    OnlyOne,
    /// No endpoint has an address that is free, and the one of this number has none at all.
    Unresolved(usize, io::Error),
}

impl Targets {
    pub(crate) fn new() -> Self {
        Self {
            in_use: Mutex::new([None; 2]),
        }
    }

    /// Chooses an endpoint for the stream of this number: the endpoints in turn, the addresses of each in turn, and not
    /// the address that the other stream uses. Returns the addresses of the endpoint in the order in which to try them, and holds
    /// the first.
    ///
    /// In turn, and not by a preference: an authority that failed may be half dead for long.
    pub(crate) async fn choose(
        &self,
        stream: usize,
        tries: &mut Tries,
        connector: &Connector,
    ) -> Result<Vec<Target>, NoTarget> {
        let count = connector.endpoints();
        tries.chosen.resize(count, 0);
        let mut known = Vec::new();
        let mut unresolved = None;
        for step in 0..count {
            let endpoint = (tries.next + step) % count;
            let addresses = match connector.resolve(endpoint).await {
                Ok(addresses) => addresses,
                // One name that does not resolve must not keep the stream from the others.
                Err(error) => {
                    unresolved.get_or_insert((endpoint, error));
                    continue;
                }
            };
            let targets = rotate(endpoint, &addresses, tries.chosen[endpoint]);
            // At once: the names behind it need not be looked up, which may take long.
            if let Some(usable) = self.take(stream, &targets, is_elsewhere, tries) {
                return Ok(usable);
            }
            known.push(targets);
        }

        // Another machine is better than another name of the same one, so this is tried last.
        for targets in &known {
            if let Some(usable) = self.take(stream, targets, is_another, tries) {
                return Ok(usable);
            }
        }
        match unresolved {
            Some((endpoint, error)) => Err(NoTarget::Unresolved(endpoint, error)),
            None => Err(NoTarget::OnlyOne),
        }
    }

    fn take(
        &self,
        stream: usize,
        targets: &[Target],
        may_join: fn(&Target, &Target) -> bool,
        tries: &mut Tries,
    ) -> Option<Vec<Target>> {
        let usable = self.hold_first(stream, targets, may_join);
        tries.record(usable.first()?.endpoint);
        Some(usable)
    }

    /// Holds a target for the stream of this number, in place of the one that it had. False: the other stream has it.
    pub(crate) fn hold(&self, stream: usize, target: Target) -> bool {
        let mut in_use = self.lock();
        if in_use[1 - stream] == Some(target) {
            return false;
        }
        in_use[stream] = Some(target);
        true
    }

    /// Gives up the target of the stream of this number.
    pub(crate) fn release(&self, stream: usize) {
        self.lock()[stream] = None;
    }

    fn hold_first(
        &self,
        stream: usize,
        targets: &[Target],
        may_join: fn(&Target, &Target) -> bool,
    ) -> Vec<Target> {
        // Choice and hold are under one lock. Otherwise both streams could find the same machine
        // free.
        let mut in_use = self.lock();
        let mut usable = targets.to_vec();
        if let Some(other) = in_use[1 - stream] {
            usable.retain(|target| may_join(target, &other));
        }
        if let Some(first) = usable.first() {
            in_use[stream] = Some(*first);
        }
        usable
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Target>; 2]> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tries {
    /// Begins with the endpoint of this number.
    pub(crate) fn beginning_with(endpoint: usize) -> Self {
        Self {
            next: endpoint,
            chosen: Vec::new(),
        }
    }

    fn record(&mut self, endpoint: usize) {
        self.chosen[endpoint] = self.chosen[endpoint].wrapping_add(1);
        self.next = endpoint + 1;
    }
}

/// Whether a target is another machine than the one that the other stream uses, as far as addresses tell.
fn is_elsewhere(target: &Target, other: &Target) -> bool {
    target.address != other.address && is_another(target, other)
}

/// Whether a target is another one. The IPv4 and the IPv6 addresses of one name are taken for one machine's.
fn is_another(target: &Target, other: &Target) -> bool {
    let is_same_family = target.address.is_ipv4() == other.address.is_ipv4();
    target.endpoint != other.endpoint || (is_same_family && target.address != other.address)
}

fn rotate(endpoint: usize, addresses: &[SocketAddr], rotation: usize) -> Vec<Target> {
    let mut targets = Vec::with_capacity(addresses.len());
    for step in 0..addresses.len() {
        let address = addresses[(rotation + step) % addresses.len()];
        targets.push(Target { endpoint, address });
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::{Pems, Tls};

    fn connector(ports: &[u16]) -> Connector {
        let mut endpoints = Vec::new();
        for port in ports {
            endpoints.push(format!("http://127.0.0.1:{port}"));
        }
        connector_to(&endpoints)
    }

    fn connector_to(endpoints: &[String]) -> Connector {
        let tls = Tls::given(&Pems::default()).expect("no certificates");
        Connector::new(endpoints, tls, true, Duration::from_secs(5)).expect("endpoints")
    }

    async fn endpoint_of(
        targets: &Targets,
        stream: usize,
        tries: &mut Tries,
        connector: &Connector,
    ) -> Option<usize> {
        match targets.choose(stream, tries, connector).await {
            Ok(chosen) => Some(chosen[0].endpoint),
            Err(NoTarget::OnlyOne) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    #[tokio::test]
    async fn one_stream_goes_round_and_two_never_meet() {
        let connector = connector(&[1, 2, 3]);
        let targets = Targets::new();
        let (mut first, mut second) = (Tries::default(), Tries::beginning_with(1));
        let mut went = Vec::new();
        for _ in 0..4 {
            went.extend(endpoint_of(&targets, 0, &mut first, &connector).await);
        }
        assert_eq!(went, [0, 1, 2, 0], "alone, one after the other");

        let other = endpoint_of(&targets, 1, &mut second, &connector).await;
        assert_eq!(other, Some(1));
        let mut went = Vec::new();
        for _ in 0..3 {
            went.extend(endpoint_of(&targets, 0, &mut first, &connector).await);
        }
        assert_eq!(went, [2, 0, 2], "the second stream is at 1");
        targets.release(1);
        assert_eq!(
            endpoint_of(&targets, 0, &mut first, &connector).await,
            Some(0)
        );
        assert_eq!(
            endpoint_of(&targets, 0, &mut first, &connector).await,
            Some(1)
        );
    }

    #[tokio::test]
    async fn the_only_authority_has_one_stream_and_one_address_of_two_names_has_two() {
        let targets = Targets::new();
        let one = connector(&[1]);
        let mut tries = Tries::default();
        assert_eq!(endpoint_of(&targets, 0, &mut tries, &one).await, Some(0));
        let mut second = Tries::default();
        assert_eq!(endpoint_of(&targets, 1, &mut second, &one).await, None);

        // Two names of one address may be a balancer before several authorities.
        let twice = connector(&[1, 1]);
        let mut second = Tries::default();
        assert_eq!(endpoint_of(&targets, 1, &mut second, &twice).await, Some(1));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_keeps_no_stream_from_the_others() {
        // No part of a name may have more than 63 letters, so no resolver is asked.
        let unknown = format!("http://{}.invalid:1", "x".repeat(64));
        let good = "http://127.0.0.1:2".to_owned();
        let endpoints = [unknown.clone(), good, unknown.clone()];
        let connector = connector_to(&endpoints);
        let targets = Targets::new();
        for begin in 0..3 {
            let mut tries = Tries::beginning_with(begin);
            for _ in 0..3 {
                let chosen = endpoint_of(&targets, 0, &mut tries, &connector).await;
                assert_eq!(chosen, Some(1), "beginning with {begin}");
            }
        }

        // The other stream has the good one.
        let refused = targets.choose(1, &mut Tries::default(), &connector).await;
        assert!(matches!(refused, Err(NoTarget::Unresolved(0, _))));
    }

    #[test]
    fn the_addresses_of_a_name_take_turns() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = [1, 2, 3].map(address);
        let mut firsts = Vec::new();
        for rotation in 0..4 {
            firsts.push(rotate(7, &addresses, rotation)[0].address.port());
        }
        assert_eq!(firsts, [1, 2, 3, 1]);
        assert!(rotate(0, &[], 3).is_empty());
    }

    #[test]
    fn the_two_families_of_one_name_are_one_machine() {
        let target = |endpoint: usize, address: &str| Target {
            endpoint,
            address: address.parse().expect("an address"),
        };
        let used = target(0, "192.0.2.1:7400");
        for (candidate, another, elsewhere) in [
            (target(0, "192.0.2.1:7400"), false, false),
            (target(0, "192.0.2.2:7400"), true, true),
            (target(0, "[2001:db8::1]:7400"), false, false),
            (target(1, "192.0.2.1:7400"), true, false),
            (target(1, "[2001:db8::1]:7400"), true, true),
        ] {
            assert_eq!(is_another(&candidate, &used), another, "{candidate:?}");
            assert_eq!(is_elsewhere(&candidate, &used), elsewhere, "{candidate:?}");
        }
    }

    #[test]
    fn a_target_is_held_by_one_stream() {
        let targets = Targets::new();
        let target = Target {
            endpoint: 0,
            address: ([127, 0, 0, 1], 1).into(),
        };
        assert!(targets.hold(0, target));
        assert!(targets.hold(0, target));
        assert!(!targets.hold(1, target));
        targets.release(0);
        assert!(targets.hold(1, target));
    }
}
