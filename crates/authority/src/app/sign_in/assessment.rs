//! The assessment of a sign-in before its session is opened: device, place and findings.

use super::SignInRequest;
use crate::{
    app::{App, AppError},
    client_info::user_agents,
    domain::{
        Policy, Sight, SignIn,
        device::Device,
        findings::{Footprint, FootprintKind, SignInObservation},
    },
};

/// The device of a sign-in. The application's own words are believed before client hints, and those before the user agent.
pub(super) fn device(request: &SignInRequest) -> Device {
    user_agents::parse(&request.client.user_agent)
        .with_hints(&request.client_hints)
        .with_app(&request.app_words)
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
        let footprints = sign_in.footprints();
        let known = self
            .store
            .sign_in_history(&new.tenant_id, &new.user_id, &footprints)
            .await?;
        // The findings compare this time with times of the store, so this machine's clock must not take part.
        sign_in.at = known.now;
        let findings = sign_in.findings(&known.history, &policy.findings_disabled);

        // Footprints that are known need no second row. Those of device ids are written again, because they are counted.
        let is_counted = |footprint: &Footprint| footprint.kind == FootprintKind::DeviceId;
        new.footprints = footprints;
        new.footprints.retain(|footprint| {
            is_counted(footprint) || !known.history.footprints.contains(footprint)
        });

        // Without an id devices cannot be told apart, so that their sign-ins are not counted.
        let device_sign_ins = if sign_in.device_id.is_empty() {
            0
        } else {
            // The history does not contain the sign-in that is under way.
            known.device_sign_ins.saturating_add(1)
        };
        new.sight = Sight {
            device: sign_in.device,
            place: sign_in.place,
            device_sign_ins,
            findings,
        };
        Ok(())
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
