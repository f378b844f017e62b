//! User-agent client hints (WICG, "User-Agent Client Hints"): a Chromium browser's description of itself.
//!
//! The hints are structured fields (RFC 9651). A malformed or too long hint is ignored: it comes from a browser, through a
//! caller that cannot correct it.

use sfv::{BareItem, FieldType, Item, List, ListEntry, Parser};

use super::{Device, DeviceKind};

/// The longest hint that is read, in bytes.
pub const HINT_BYTES_MAX: usize = 1024;

/// The header fields as the browser sent them. An empty field was not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHints {
    /// `Sec-CH-UA`.
    pub brands: String,
    /// `Sec-CH-UA-Full-Version-List`.
    pub full_version_list: String,
    /// `Sec-CH-UA-Platform`.
    pub platform: String,
    /// `Sec-CH-UA-Platform-Version`.
    pub platform_version: String,
    /// `Sec-CH-UA-Model`.
    pub model: String,
    /// `Sec-CH-UA-Mobile`.
    pub mobile: String,
    /// `Sec-CH-UA-Form-Factors`.
    pub form_factors: String,
}

impl Device {
    /// Adds the hints. They override the user agent, which browsers froze in favour of them.
    #[must_use]
    pub fn with_hints(mut self, hints: &ClientHints) -> Self {
        if let Some((brand, version)) = hints.brand() {
            self.learn_browser(&brand, &version);
        }
        let platform = parse_string(&hints.platform).unwrap_or_default();
        self.learn_os(&platform, &hints.os_version(&platform));
        self.learn_model(&parse_string(&hints.model).unwrap_or_default());

        // A crawler may send a browser's hints and is still a program. No hint names a television set: it is not mobile and
        // has Android, and so would be a tablet.
        let is_settled = matches!(self.kind, DeviceKind::Program | DeviceKind::Tv);
        if !is_settled && let Some(kind) = hints.kind(&platform) {
            self.kind = kind;
        }
        self
    }
}

impl ClientHints {
    /// The most specific brand with its version. Every Chromium browser also names `Chromium`, and many `Google Chrome`.
    fn brand(&self) -> Option<(String, String)> {
        // Only the full list has more than major versions.
        let mut brands = parse_brands(&self.full_version_list);
        if brands.is_empty() {
            brands = parse_brands(&self.brands);
        }
        // The sort is stable: of two brands of one rank the first in the browser's list counts.
        brands.sort_by_key(|(brand, _)| vagueness(brand));
        let (brand, version) = brands.into_iter().next()?;
        let name = match brand.as_str() {
            "Google Chrome" => "Chrome",
            "Microsoft Edge" => "Edge",
            other => other,
        };
        Some((name.to_owned(), version))
    }

    /// The system's version as people know it.
    fn os_version(&self, platform: &str) -> String {
        let version = parse_string(&self.platform_version).unwrap_or_default();
        if platform == "Windows" {
            windows_version(&version).to_owned()
        } else {
            version
        }
    }

    /// The kind of device, by the form factors or else by `Sec-CH-UA-Mobile`.
    fn kind(&self, platform: &str) -> Option<DeviceKind> {
        let factors = parse_strings(&self.form_factors);
        for (factor, kind) in [
            ("Tablet", DeviceKind::Tablet),
            ("Mobile", DeviceKind::Phone),
            ("Desktop", DeviceKind::Desktop),
        ] {
            if factors.iter().any(|(named, _)| named == factor) {
                return Some(kind);
            }
        }

        let is_mobile = parse::<Item>(&self.mobile)?.bare_item.as_boolean()?;
        match (is_mobile, platform) {
            (true, _) => Some(DeviceKind::Phone),
            // Android sends false on tablets.
            (false, "Android") => Some(DeviceKind::Tablet),
            (false, "Windows" | "macOS" | "Linux" | "Chrome OS" | "Chromium OS") => {
                Some(DeviceKind::Desktop)
            }
            (false, _) => None,
        }
    }
}

fn vagueness(brand: &str) -> u8 {
    match brand {
        "Chromium" => 2,
        "Google Chrome" => 1,
        _ => 0,
    }
}

/// The name of a Windows version. The hint counts differently: 13 and above is Windows 11, below is Windows 10, and 0.1 to
/// 0.3 are 7 to 8.1 (Microsoft, "Detect Windows 11 using User-Agent Client Hints").
fn windows_version(hint: &str) -> &'static str {
    let mut numbers = hint.split('.').map(|number| number.parse::<u32>().ok());
    let major = numbers.next().flatten();
    let minor = numbers.next().flatten();
    match (major, minor) {
        (Some(0), Some(1)) => "7",
        (Some(0), Some(2)) => "8",
        (Some(0), Some(3)) => "8.1",
        (Some(1..=12), _) => "10",
        (Some(13..), _) => "11",
        _ => "",
    }
}

/// The brands of a list with their versions, without the invented ones.
fn parse_brands(list: &str) -> Vec<(String, String)> {
    let mut brands = parse_strings(list);
    brands.retain(|(brand, _)| !is_grease(brand));
    brands
}

/// Whether a brand is invented (GREASE), so that servers tolerate unknown brands: `Not A;Brand` with any punctuation.
fn is_grease(brand: &str) -> bool {
    let mut letters = String::new();
    for letter in brand.chars() {
        if letter.is_ascii_alphabetic() {
            letters.push(letter.to_ascii_lowercase());
        }
    }
    // Browsers vary the punctuation, so only the letters count.
    letters == "notabrand"
}

/// The strings of a list, each with its parameter `v`.
fn parse_strings(list: &str) -> Vec<(String, String)> {
    let mut strings = Vec::new();
    for entry in parse::<List>(list).into_iter().flatten() {
        let ListEntry::Item(item) = entry else {
            continue;
        };
        if let Some(value) = text_of(&item.bare_item) {
            let version = item.params.get("v").and_then(text_of).unwrap_or_default();
            strings.push((value, version));
        }
    }
    strings
}

fn parse_string(field: &str) -> Option<String> {
    text_of(&parse::<Item>(field)?.bare_item)
}

fn text_of(item: &BareItem) -> Option<String> {
    let text = item.as_string()?;
    Some(text.as_str().to_owned())
}

fn parse<T: FieldType>(field: &str) -> Option<T> {
    // Bounded before parsing: the text comes from a browser.
    if field.is_empty() || field.len() > HINT_BYTES_MAX {
        return None;
    }
    Parser::new(field).parse().ok()
}
