//! Sessions in words for people: the device, the place, the way in, the end, the findings.

use portcullis_contract::v1::{
    Advice, Device, DeviceType, Finding, FindingCode, FindingLevel, Place, Session,
    SessionEndCause, SessionState,
};

use crate::words::{Value, Words};

/// A device: "Firefox 145 on Windows 11", or the application on its device.
pub(crate) fn device_name(words: Words, session: &Session) -> String {
    let device = session.device.clone().unwrap_or_default();
    let program = program(&device);
    let machine = machine(&device);
    match (program.is_empty(), machine.is_empty()) {
        (true, true) => words.text("mine-device-unknown"),
        (false, true) => program,
        (true, false) => machine,
        (false, false) => words.with(
            "mine-device-on",
            [("program", program), ("machine", machine)],
        ),
    }
}

fn program(device: &Device) -> String {
    if device.app_name.is_empty() {
        return joined(&device.browser, major(&device.browser_version));
    }
    joined(&device.app_name, &device.app_version)
}

/// The model and the system: `iPhone (iOS 17.2)`, `Windows 11`.
fn machine(device: &Device) -> String {
    let system = joined(&device.os, &device.os_version);
    match (device.model.is_empty(), system.is_empty()) {
        (true, _) => system,
        (false, true) => device.model.clone(),
        (false, false) => format!("{} ({system})", device.model),
    }
}

fn joined(name: &str, version: &str) -> String {
    format!("{name} {version}").trim().to_owned()
}

/// The first number of a browser's version. The others say nothing to people.
fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// The kind of a device, as the heading of a group.
pub(crate) fn device_type_word(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::Desktop => "mine-type-desktop",
        DeviceType::Phone => "mine-type-phone",
        DeviceType::Tablet => "mine-type-tablet",
        DeviceType::Tv => "mine-type-tv",
        DeviceType::Program => "mine-type-program",
        DeviceType::Unspecified => "mine-type-unknown",
    }
}

/// The shape of a device, as the path of an icon of 24 by 24.
pub(crate) fn device_icon(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::Desktop => "M3 5h18v11H3zM8 20h8M12 16v4",
        DeviceType::Phone => "M7 2.500h10v19H7zM11 18.500h2",
        DeviceType::Tablet => "M5 3h14v18H5zM11 18h2",
        DeviceType::Tv => "M3 6h18v12H3zM8 21h8M8 3l4 3 4-3",
        DeviceType::Program => "M3 5h18v14H3zM7 10l3 2.500-3 2.500M12 15h5",
        DeviceType::Unspecified => {
            "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9.500 9.500a2.500 2.500 0 1 1 2.500 3v1.500M12 17v.1"
        }
    }
}

/// The place of the last use: "Berlin, Germany". None: unknown.
pub(crate) fn place(session: &Session) -> Option<String> {
    place_text(session.place.as_ref()?)
}

fn place_text(place: &Place) -> Option<String> {
    let country = if place.country.is_empty() {
        &place.country_code
    } else {
        &place.country
    };
    match (place.city.is_empty(), country.is_empty()) {
        (true, true) => None,
        (true, false) => Some(country.clone()),
        (false, true) => Some(place.city.clone()),
        (false, false) => Some(format!("{}, {country}", place.city)),
    }
}

/// The operator of the network. None: unknown.
pub(crate) fn network_operator(session: &Session) -> Option<String> {
    let operator = &session.place.as_ref()?.network_operator;
    (!operator.is_empty()).then(|| operator.clone())
}

/// The address of the last use. None: unknown.
pub(crate) fn address(session: &Session) -> Option<String> {
    let at_sign_in = session.client.as_ref().map(|client| client.ip.as_str());
    // The contract leaves `last_ip` empty for as long as it is the address of the sign-in.
    let last = Some(session.last_ip.as_str()).filter(|ip| !ip.is_empty());
    last.or(at_sign_in)
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned)
}

/// How the user signed in, in words.
pub(crate) fn method_names(words: Words, session: &Session) -> String {
    let methods: Vec<_> = session
        .amr
        .iter()
        .map(|method| method_name(words, method))
        .collect();
    methods.join(", ")
}

// RFC 8176. Others are shown as the application gave them.
fn method_name(words: Words, method: &str) -> String {
    let word = match method {
        "pwd" => "mine-method-pwd",
        "otp" => "mine-method-otp",
        "sms" => "mine-method-sms",
        "hwk" | "swk" | "pop" => "mine-method-key",
        "face" | "fpt" | "iris" | "retina" | "vbm" => "mine-method-biometric",
        "pin" => "mine-method-pin",
        "mfa" | "mca" => "mine-method-mfa",
        "sc" => "mine-method-card",
        other => return other.to_owned(),
    };
    words.text(word)
}

/// Why a session ended. For one that reached its end by itself there is no cause.
pub(crate) fn end_text(words: Words, session: &Session) -> String {
    let Some(end) = &session.end else {
        let word = match session.state() {
            SessionState::Expired => "mine-end-expired",
            _ => "mine-end-unknown",
        };
        return words.text(word);
    };
    words.text(cause_word(end.cause()))
}

/// Why a session ended, and by whom in general terms.
pub(crate) fn cause_word(cause: SessionEndCause) -> &'static str {
    match cause {
        SessionEndCause::User => "mine-end-user",
        SessionEndCause::AnotherDevice => "mine-end-another-device",
        SessionEndCause::Administrator => "mine-end-administrator",
        SessionEndCause::UserDisabled => "mine-end-user-disabled",
        SessionEndCause::RefreshTokenReused => "mine-end-refresh-token-reused",
        SessionEndCause::Replaced => "mine-end-replaced",
        SessionEndCause::Recovery => "mine-end-recovery",
        SessionEndCause::Policy => "mine-end-policy",
        SessionEndCause::Idle => "mine-end-idle",
        SessionEndCause::PasswordChanged => "mine-end-password-changed",
        SessionEndCause::SecondFactorChanged => "mine-end-second-factor-changed",
        SessionEndCause::SessionLimit => "mine-end-session-limit",
        SessionEndCause::IdentityProvider => "mine-end-identity-provider",
        SessionEndCause::Unspecified => "mine-end-unknown",
    }
}

/// A finding in words.
pub(crate) struct FindingText {
    pub(crate) sentence: String,
    /// The class of its mark: `danger`, `warning`, or none.
    pub(crate) mark: &'static str,
    pub(crate) level: String,
}

/// The findings of a session, gravest first.
pub(crate) fn findings(words: Words, session: &Session) -> Vec<FindingText> {
    let mut findings: Vec<_> = session.findings.iter().collect();
    // Stable, so findings of one level stay in the authority's order.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
        .into_iter()
        .map(|finding| finding_text(words, finding))
        .collect()
}

fn finding_text(words: Words, finding: &Finding) -> FindingText {
    let (mark, level) = match finding.level() {
        FindingLevel::High => ("danger", "mine-level-high"),
        FindingLevel::Medium => ("warning", "mine-level-medium"),
        FindingLevel::Low | FindingLevel::Unspecified => ("", "mine-level-low"),
    };
    FindingText {
        sentence: finding_sentence(words, finding),
        mark,
        level: words.text(level),
    }
}

/// Returns whether a session has a finding that its user should look at: more than every traveller causes.
pub(crate) fn is_suspicious(session: &Session) -> bool {
    session
        .findings
        .iter()
        .any(|finding| finding.level() >= FindingLevel::Medium)
}

fn finding_sentence(words: Words, finding: &Finding) -> String {
    match finding.code() {
        FindingCode::NewDevice => words.text("mine-finding-new-device"),
        FindingCode::NewCountry => new_country_sentence(words, finding),
        FindingCode::NewCity => new_city_sentence(words, finding),
        FindingCode::NewNetwork => words.text("mine-finding-new-network"),
        FindingCode::ImpossibleTravel => travel_sentence(words, finding),
        FindingCode::OldSession => old_session_sentence(words, finding),
        FindingCode::CountryChanged => country_change_sentence(words, finding),
        FindingCode::RefreshTokenReused => words.text("mine-finding-refresh-token-reused"),
        FindingCode::RefreshTokenShared => words.text("mine-finding-refresh-token-shared"),
        FindingCode::Unspecified => words.text("mine-finding-other"),
    }
}

fn new_country_sentence(words: Words, finding: &Finding) -> String {
    // The operator's database of places may have the code of a country and no name.
    let country = match known_fact(finding, "country_name") {
        Some(name) => name.to_owned(),
        None => fact_text(words, finding, "country"),
    };
    words.with("mine-finding-new-country", [("country", country)])
}

fn new_city_sentence(words: Words, finding: &Finding) -> String {
    let city = fact_text(words, finding, "city");
    words.with("mine-finding-new-city", [("city", city)])
}

fn old_session_sentence(words: Words, finding: &Finding) -> String {
    let days = fact_number(finding, "age_days");
    words.with("mine-finding-old-session", [("days", days)])
}

fn country_change_sentence(words: Words, finding: &Finding) -> String {
    let from = fact_text(words, finding, "from");
    let to = fact_text(words, finding, "to");
    words.with("mine-finding-country-changed", [("from", from), ("to", to)])
}

fn travel_sentence(words: Words, finding: &Finding) -> String {
    let facts = [
        ("from", Value::from(fact_text(words, finding, "from"))),
        ("to", Value::from(fact_text(words, finding, "to"))),
        ("distance", Value::from(fact_number(finding, "distance_km"))),
    ];
    words.with("mine-finding-impossible-travel", facts)
}

/// A fact of a finding, for people.
fn fact_text(words: Words, finding: &Finding, name: &str) -> String {
    // Facts travel by name, so an authority of another version may lack one, and a place may have
    // no city. The sentence says so instead of having a gap.
    match known_fact(finding, name) {
        Some(text) => text.to_owned(),
        None => words.text("mine-finding-unknown"),
    }
}

/// A fact as a number and not as a text, because the words choose a plural form by it.
fn fact_number(finding: &Finding, name: &str) -> i64 {
    let number = known_fact(finding, name).and_then(|text| text.parse().ok());
    number.unwrap_or_default()
}

/// A fact of a finding. None: it is not known.
fn known_fact<'a>(finding: &'a Finding, name: &str) -> Option<&'a str> {
    let text = finding.facts.get(name).map(String::as_str);
    text.filter(|text| !text.is_empty())
}

/// The advice of all findings, each once, most useful first.
pub(crate) fn advice(session: &Session) -> Vec<Advice> {
    let mut all: Vec<Advice> = Vec::new();
    let mut findings: Vec<_> = session.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for advice in findings.into_iter().flat_map(|finding| finding.advice()) {
        // Several findings may recommend the same step. The first one has the highest level.
        if advice != Advice::Unspecified && !all.contains(&advice) {
            all.push(advice);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locale::Locale;

    fn named(device: Device) -> String {
        let session = Session {
            device: Some(device),
            ..Session::default()
        };
        device_name(Words::of(Locale::English), &session)
    }

    #[test]
    fn a_device_has_the_name_that_its_owner_knows() {
        let browser = Device {
            browser: "Chrome".into(),
            browser_version: "143.0.7499.40".into(),
            os: "Windows".into(),
            os_version: "11".into(),
            ..Device::default()
        };
        assert_eq!(named(browser.clone()), "Chrome 143 on Windows 11");
        let app = Device {
            app_name: "Portal".into(),
            app_version: "2.1".into(),
            model: "iPhone".into(),
            os: "iOS".into(),
            os_version: "17.2".into(),
            ..browser
        };
        assert_eq!(named(app), "Portal 2.1 on iPhone (iOS 17.2)");
        assert_eq!(named(Device::default()), "Unknown device");
    }

    #[test]
    fn every_cause_and_every_finding_has_words_of_its_own() {
        let words = Words::of(Locale::English);
        let mut causes: Vec<_> = (0..=12)
            .map(|number| SessionEndCause::try_from(number).expect("a cause"))
            .map(|cause| words.text(cause_word(cause)))
            .collect();
        causes.sort();
        causes.dedup();
        assert_eq!(causes.len(), 13);
        for number in 0..=9 {
            let finding = Finding {
                code: number,
                ..Finding::default()
            };
            assert!(!finding_sentence(words, &finding).contains("mine-"));
        }
    }
}
