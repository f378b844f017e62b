//! User-agent client hints (WICG, "User-Agent Client Hints"): what a Chromium browser says about itself when asked.
//!
//! They are structured fields (RFC 9651). One that does not parse, or is too long, is as good as none: it comes from a
//! browser, by way of a caller who cannot help it.

use sfv::{BareItem, FieldType, Item, List, ListEntry, Parser};

use super::{Device, DeviceKind};

/// The longest hint that is read, in bytes.
pub const HINT_BYTES_MAX: usize = 1024;

/// The header fields as they came. Empty: not sent.
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
    /// What the hints say is believed before the user agent, which browsers froze in favour of them.
    #[must_use]
    pub fn with_hints(mut self, hints: &ClientHints) -> Self {
        if let Some((brand, version)) = hints.brand() {
            self.learn_browser(&brand, &version);
        }
        let platform = string(&hints.platform).unwrap_or_default();
        self.learn_os(&platform, &hints.os_version(&platform));
        self.learn_model(&string(&hints.model).unwrap_or_default());
        if self.kind != DeviceKind::Program {
            self.kind = hints.kind(&platform).unwrap_or(self.kind);
        }
        self
    }
}

impl ClientHints {
    /// The browser: of the brands that mean something the most specific, with its version. Every Chromium browser says
    /// `Chromium` too, and many `Google Chrome`.
    fn brand(&self) -> Option<(String, String)> {
        let known = [&self.full_version_list, &self.brands].map(|list| brands(list));
        let brands = known.into_iter().find(|brands| !brands.is_empty())?;
        let vague = |brand: &str| match brand {
            "Chromium" => 2,
            "Google Chrome" => 1,
            _ => 0,
        };
        let (brand, version) = brands.into_iter().min_by_key(|(brand, _)| vague(brand))?;
        let name = match brand.as_str() {
            "Google Chrome" => "Chrome",
            "Microsoft Edge" => "Edge",
            other => other,
        };
        Some((name.to_owned(), version))
    }

    /// The system's version as people know it. On Windows the hint counts otherwise: 13 and above is Windows 11, below
    /// is Windows 10, and 0.1 to 0.3 are 7 to 8.1 (Microsoft, "Detect Windows 11 using User-Agent Client Hints").
    fn os_version(&self, platform: &str) -> String {
        let version = string(&self.platform_version).unwrap_or_default();
        if platform != "Windows" {
            return version;
        }
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        let windows = match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(0), Some(1)) => "7",
            (Some(0), Some(2)) => "8",
            (Some(0), Some(3)) => "8.1",
            (Some(1..=12), _) => "10",
            (Some(13..), _) => "11",
            _ => "",
        };
        windows.to_owned()
    }

    /// By the form factors; or else by `Sec-CH-UA-Mobile`, which is false on tablets, too.
    fn kind(&self, platform: &str) -> Option<DeviceKind> {
        let factors = strings(&self.form_factors);
        let is = |factor: &str| factors.iter().any(|(named, _)| named == factor);
        if is("Tablet") {
            return Some(DeviceKind::Tablet);
        } else if is("Mobile") {
            return Some(DeviceKind::Phone);
        } else if is("Desktop") {
            return Some(DeviceKind::Desktop);
        }
        match (
            parse::<Item>(&self.mobile)?.bare_item.as_boolean()?,
            platform,
        ) {
            (true, _) => Some(DeviceKind::Phone),
            (false, "Android") => Some(DeviceKind::Tablet),
            (false, "Windows" | "macOS" | "Linux" | "Chrome OS" | "Chromium OS") => {
                Some(DeviceKind::Desktop)
            }
            (false, _) => None,
        }
    }
}

/// The brands of a list with their versions, without those that are there to be ignored (GREASE): `Not A;Brand` with
/// any punctuation between the words.
fn brands(list: &str) -> Vec<(String, String)> {
    let is_grease = |brand: &str| {
        let letters = brand.chars().filter(char::is_ascii_alphabetic);
        letters
            .map(|letter| letter.to_ascii_lowercase())
            .eq("notabrand".chars())
    };
    let mut brands = strings(list);
    brands.retain(|(brand, _)| !is_grease(brand));
    brands
}

/// The strings of a list, each with its parameter `v`.
fn strings(list: &str) -> Vec<(String, String)> {
    let text = |item: &BareItem| item.as_string().map(|text| text.as_str().to_owned());
    let read = |entry: ListEntry| match entry {
        ListEntry::Item(item) => {
            let version = item.params.get("v").and_then(text).unwrap_or_default();
            text(&item.bare_item).map(|value| (value, version))
        }
        ListEntry::InnerList(_) => None,
    };
    parse::<List>(list)
        .into_iter()
        .flatten()
        .filter_map(read)
        .collect()
}

/// The string that a field is.
fn string(field: &str) -> Option<String> {
    let item = parse::<Item>(field)?;
    item.bare_item
        .as_string()
        .map(|text| text.as_str().to_owned())
}

fn parse<T: FieldType>(field: &str) -> Option<T> {
    let fits = !field.is_empty() && field.len() <= HINT_BYTES_MAX;
    fits.then(|| Parser::new(field).parse().ok())?
}
