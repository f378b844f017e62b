//! The languages of the pages, and the choice between them.

use http::{HeaderMap, header::ACCEPT_LANGUAGE};

use crate::cookies;

/// The most languages of a header that are looked at.
const LANGUAGES_MAX: usize = 32;

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Locale {
    English,
    Spanish,
    Estonian,
    Arabic,
}

impl Locale {
    /// All of them, in the order of the chooser.
    pub(crate) const ALL: [Self; 4] = [Self::English, Self::Spanish, Self::Estonian, Self::Arabic];

    /// The tag of BCP 47, which is also the name of the directory of its words.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Estonian => "et",
            Self::Arabic => "ar",
        }
    }

    /// Its name in itself.
    pub(crate) fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Spanish => "Español",
            Self::Estonian => "Eesti",
            Self::Arabic => "العربية",
        }
    }

    /// The direction of its text, in the words of HTML.
    pub(crate) fn direction(self) -> &'static str {
        match self {
            Self::Arabic => "rtl",
            Self::English | Self::Spanish | Self::Estonian => "ltr",
        }
    }

    /// The language with this tag. Regions and scripts do not matter: `es-MX` is Spanish.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?;
        let mut all = Self::ALL.into_iter();
        all.find(|locale| locale.tag().eq_ignore_ascii_case(primary))
    }

    /// The reader's own choice, otherwise the first language of the browser that there is, otherwise English.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        if let Some(chosen) = cookies::cookie(headers, cookies::LANGUAGE).and_then(Self::parse) {
            return chosen;
        }
        let accepted = headers.get(ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        accepted
            .and_then(Self::of_accepted)
            .unwrap_or(Self::English)
    }

    fn of_accepted(header: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        // A browser lists a few languages. The bound is for everybody else who sends a header.
        for item in header.split(',').take(LANGUAGES_MAX) {
            let Some((weight, locale)) = read_accepted(item) else {
                continue;
            };
            // Of two with the same weight the first one counts.
            if best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, locale));
            }
        }
        best.map(|(_, locale)| locale)
    }
}

/// A language of the header that there is, and its weight. None: it does not count.
fn read_accepted(item: &str) -> Option<(f32, Locale)> {
    let mut parts = item.split(';');
    let tag = parts.next().unwrap_or_default().trim();
    let locale = Locale::parse(tag)?;
    Some((read_weight(parts)?, locale))
}

/// The weight of a language. None: the browser refuses it, or the weight is no number.
fn read_weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<f32> {
    let text = parameters.find_map(|part| part.trim().strip_prefix("q="));
    // RFC 9110: without a weight it is 1, and 0 refuses the language.
    let weight = match text {
        Some(text) => text.trim().parse().ok()?,
        None => 1.0,
    };
    Some(weight).filter(|weight| *weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_language_that_there_is_counts() {
        for (header, expected) in [
            ("es-MX,es;q=0.9,en;q=0.8", Some(Locale::Spanish)),
            ("de, et;q=0.5, en;q=0.4", Some(Locale::Estonian)),
            ("en;q=0.1, ar;q=0.2", Some(Locale::Arabic)),
            ("AR-eg", Some(Locale::Arabic)),
            ("en;q=0", None),
            ("en;q=nonsense", None),
            ("de, fr", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Locale::of_accepted(header), expected, "{header}");
        }
    }

    #[test]
    fn the_choice_of_the_reader_comes_first() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, "es".parse().expect("a value"));
        assert_eq!(Locale::of_request(&headers), Locale::Spanish);
        let cookie = format!("{}=et", cookies::LANGUAGE);
        headers.insert(http::header::COOKIE, cookie.parse().expect("a value"));
        assert_eq!(Locale::of_request(&headers), Locale::Estonian);
    }
}
