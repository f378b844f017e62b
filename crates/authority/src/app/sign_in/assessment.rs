//! The assessment of a sign-in before its session is opened: device, place and findings.

use super::SignInRequest;
use crate::{
    app::{App, AppError},
    client_info::user_agents,
    domain::{
        Policy, Sight, SignIn,
        device::Device,
        findings::{
            DeviceNetworks, Footprint, FootprintKind, History, LastPlace, SignInObservation,
        },
    },
};

/// The device of a sign-in. The application's own words are believed before client hints, and those before the user agent.
pub(super) fn device(request: &SignInRequest) -> Device {
    user_agents::parse(&request.client.user_agent)
        .with_hints(&request.client_hints)
        .with_app(&request.app_words)
}

/// The network beside that of the sign-in, and the networks that its device was seen in from now on.
fn networks(sign_in: &SignInObservation, known: DeviceNetworks) -> (String, DeviceNetworks) {
    let Some(ip) = sign_in.ip else {
        return (String::new(), known);
    };
    // Only what was seen before this sign-in: a stolen password must not bring its own household.
    let beside = known.counterpart(ip, sign_in.at).to_owned();
    (beside, known.with(ip, sign_in.at))
}

/// The footprints of a sign-in that are written.
fn written_footprints(sign_in: &SignInObservation, known: &History) -> Vec<Footprint> {
    // Footprints that are known need no second row. That of the device is written again, because sign-ins on it are
    // counted, and because it has the device's networks.
    let device_kind = if sign_in.device_id.is_empty() {
        FootprintKind::DeviceLook
    } else {
        FootprintKind::DeviceId
    };
    let mut written = sign_in.footprints();
    written
        .retain(|footprint| footprint.kind == device_kind || !known.footprints.contains(footprint));
    written
}

/// The sign-ins on the device, with this one.
fn count_sign_ins(sign_in: &SignInObservation, known: u32) -> u32 {
    // Without an id devices cannot be told apart, so that their sign-ins are not counted.
    if sign_in.device_id.is_empty() {
        return 0;
    }
    // The history does not contain the sign-in that is under way.
    known.saturating_add(1)
}

impl App {
    /// Fills in the place, the device, the findings and the footprints of a new session, by the user's history.
    pub(super) async fn assess_sign_in(
        &self,
        new: &mut SignIn,
        device: Device,
        policy: &Policy,
    ) -> Result<(), AppError> {
        // The history is read before the session is opened. Two sign-ins at the same time may both count as the first on a
        // device, which is true for both.
        let mut sign_in = self.describe_sign_in(new, device);
        let mut known = self
            .store
            .sign_in_history(&new.tenant_id, &new.user_id, &sign_in.questions())
            .await?;
        // The findings compare this time with times of the store, so this machine's clock must not take part.
        sign_in.at = known.now;
        if let Some(last) = &mut known.history.last {
            self.place_again(last);
        }
        let findings = sign_in.findings(&known.history, &policy.findings_disabled);

        new.footprints = written_footprints(&sign_in, &known.history);
        let (network_beside, device_networks) = networks(&sign_in, known.history.device_networks);
        new.device_networks = device_networks;
        new.sight = Sight {
            device_sign_ins: count_sign_ins(&sign_in, known.device_sign_ins),
            device: sign_in.device,
            place: sign_in.place,
            network_beside,
            findings,
        };
        Ok(())
    }

    /// Looks up the place of the last sign-in again, so that both ends of a journey are from one database. If the file was
    /// replaced in between, its places may differ although nobody moved.
    fn place_again(&self, last: &mut LastPlace) {
        if let Some(ip) = last.ip {
            let place = self.places.lookup(ip);
            if place.coordinates.is_some() {
                last.place = place;
            }
        }
    }

    /// The sign-in, without its time: the store tells that.
    fn describe_sign_in(&self, new: &SignIn, device: Device) -> SignInObservation {
        // A sign-in without an address has no place, and no findings about places.
        let ip = new.client.ip.parse().ok();
        let place = ip.map(|ip| self.places.lookup(ip)).unwrap_or_default();
        SignInObservation {
            at: Default::default(),
            ip,
            place,
            device_id: new.client.device_id.clone(),
            device,
        }
    }
}
