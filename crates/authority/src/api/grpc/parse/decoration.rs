//! Reads decoration: fields that describe a client or a person, and that no decision trusts.
//!
//! The caller has most of them from a browser, a proxy or a directory, and cannot correct them. So a bad one is cut,
//! cleaned or ignored, the answer says so, and the call goes on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::{Fields, PROBLEMS_MAX};

/// The longest address that is read, in bytes: the longest IPv6 address has 45, and a zone or a port comes on top.
const ADDRESS_BYTES_MAX: usize = 128;

/// A field that did not count as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldWarning {
    pub(crate) field: String,
    pub(crate) repair: Repair,
    /// For the operators of the caller. It never repeats the value, which may be private.
    pub(crate) description: String,
}

/// The way in which a field was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// The end of a text that is too long was dropped.
    Cut,
    /// Parts that do not belong there were removed.
    Cleaned,
    /// The field counts as empty.
    Ignored,
}

impl Fields {
    /// The warnings so far. A message that is refused has none: its problems are reported instead.
    pub(crate) fn take_warnings(&mut self) -> Vec<FieldWarning> {
        std::mem::take(&mut self.warnings)
    }

    fn warn(&mut self, field: &str, repair: Repair, description: impl Into<String>) {
        if self.warnings.len() < PROBLEMS_MAX {
            self.warnings.push(FieldWarning {
                field: field.to_owned(),
                repair,
                description: description.into(),
            });
        }
    }

    /// A text for people of at most `MAX` bytes. A longer one is cut, and each run of control characters becomes a space.
    pub(crate) fn decoration<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        // The length comes first, so that a huge text is not searched for control characters.
        let cut = &text[..text.floor_char_boundary(MAX)];
        if cut.len() < text.len() {
            let description = format!("longer than {MAX} bytes: the rest was cut off");
            self.warn(field, Repair::Cut, description);
        }
        self.clean(field, cut)
    }

    /// A text of at most `MAX` bytes that says nothing once its end is missing. A longer one is ignored.
    pub(crate) fn whole_decoration<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        if text.len() > MAX {
            let description = format!("longer than {MAX} bytes: ignored");
            self.warn(field, Repair::Ignored, description);
            return String::new();
        }
        self.clean(field, text)
    }

    /// An email address. One that would be another address after a repair is ignored.
    pub(crate) fn email_decoration<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        let address = text.trim();
        if address.chars().any(char::is_control) {
            let description = "contains control characters: ignored";
            self.warn(field, Repair::Ignored, description);
            return String::new();
        }
        self.whole_decoration::<MAX>(field, address)
    }

    fn clean(&mut self, field: &str, text: &str) -> String {
        if !text.chars().any(char::is_control) {
            return text.to_owned();
        }
        let description = "contains control characters: each became a space";
        self.warn(field, Repair::Cleaned, description);
        replace_control_characters(text)
    }

    /// An address in its canonical form, because addresses are compared as texts. Empty when it is unknown.
    pub(crate) fn ip(&mut self, field: &str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let Some(read) = read_address(text) else {
            let description = if text.contains(',') {
                // The first address of a list is the client's own claim, and the last one a proxy's. Only the caller
                // knows which of them it can trust.
                "a list of addresses: ignored; send one"
            } else {
                "not an IPv4 or IPv6 address: ignored"
            };
            self.warn(field, Repair::Ignored, description);
            return String::new();
        };
        if read.has_extras {
            let description = "only the address was kept: not its port, brackets, zone or spaces";
            self.warn(field, Repair::Cleaned, description);
        }
        read.address.to_string()
    }

    /// The address of a person for whom a service calls. It is evidence in the audit trail, so garbage is refused.
    pub(super) fn acting_ip(&mut self, field: &str, text: &str) -> String {
        if text.is_empty() || names_nobody(text) {
            return String::new();
        }
        match read_address(text) {
            Some(read) => read.address.to_string(),
            None => {
                self.wrong(field, "must be an IPv4 or IPv6 address");
                String::new()
            }
        }
    }
}

/// Replaces each run of control characters by one space. The text does not get longer.
fn replace_control_characters(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut was_control = false;
    for character in text.chars() {
        let is_control = character.is_control();
        if !is_control {
            clean.push(character);
        } else if !was_control {
            clean.push(' ');
        }
        was_control = is_control;
    }
    clean.trim().to_owned()
}

/// An address in its canonical form, or an empty text. For calls whose answer has no warnings.
pub(crate) fn address_or_empty(text: &str) -> String {
    match read_address(text) {
        Some(read) => read.address.to_string(),
        None => String::new(),
    }
}

/// An address as it was sent.
struct ReadAddress {
    address: IpAddr,
    /// Whether the text had more than the address.
    has_extras: bool,
}

/// Reads an address as proxies and runtimes write it (RFC 7239, RFC 4007): with a port, in brackets, with a zone, in
/// quotes, between spaces.
fn read_address(text: &str) -> Option<ReadAddress> {
    if text.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let (address, has_extras) = match text.parse::<IpAddr>() {
        Ok(address) => (address, false),
        Err(_) => (read_decorated(text)?, true),
    };
    Some(ReadAddress {
        // A client over IPv4 has one address, however the caller's socket writes it.
        address: address.to_canonical(),
        has_extras,
    })
}

fn read_decorated(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"').trim();
    if let Ok(with_port) = text.parse::<SocketAddrV4>() {
        return Some((*with_port.ip()).into());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.into());
    }
    let address: Ipv6Addr = ipv6_host(text)?.parse().ok()?;
    Some(address.into())
}

/// The IPv6 address of a text, without brackets, a port and a zone.
fn ipv6_host(text: &str) -> Option<&str> {
    // A port counts behind brackets only: in a bare IPv6 address it looks like one more group.
    let host = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']')?;
            let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
            if !is_port {
                return None;
            }
            host
        }
        None => text,
    };
    // A zone is the name of an interface of the machine that saw the address. It means nothing elsewhere.
    match host.split_once('%') {
        Some((host, zone)) if !zone.is_empty() => Some(host),
        _ => Some(host),
    }
}

/// Whether a text is a proxy's word for a client that it does not name (RFC 7239, 6.2 and 6.3).
fn names_nobody(text: &str) -> bool {
    let text = text.trim().trim_matches('"');
    text.eq_ignore_ascii_case("unknown") || text.starts_with('_')
}

#[cfg(test)]
mod tests;
