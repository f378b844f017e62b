//! Path patterns, in the syntax of `matchit`: `/orders/{id}`, `/assets/{*rest}`.

use matchit::Router;

/// The paths of a rule.
///
/// A pattern that ends in `{*rest}` also matches the directory itself, with and without its slash. A pattern that is not
/// exact ignores letter case and a slash at the end, as many upstreams do.
pub(crate) struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    exact: bool,
    /// The text before the first parameter, by which most other paths are told apart.
    prefix: String,
    router: Router<()>,
}

/// A part of a pattern between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Static(String),
    /// `{id}` or `v{id}`: the text, and at least one more character.
    Parameter(String),
    /// `{*rest}`: everything below, and nothing.
    Rest,
}

/// A path that was read, and the same in small letters.
pub(crate) struct PathText<'a> {
    exact: &'a str,
    folded: Option<String>,
}

impl<'a> PathText<'a> {
    pub(crate) fn new(path: &'a str) -> Self {
        // Most paths are lower-case ASCII, and are compared without a copy.
        let is_folded = path
            .bytes()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        Self {
            exact: path,
            folded: (!is_folded).then(|| path.to_lowercase()),
        }
    }

    fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(self.exact)
    }
}

impl PathPattern {
    /// Compiles a pattern. Public rules are exact: another spelling of their path could be another resource.
    pub(crate) fn parse(text: &str, exact: bool) -> Result<Self, String> {
        let segments = parse_segments(text)?;
        let text_to_match = fold(text, exact);
        let prefix = static_prefix(&text_to_match);
        Ok(Self {
            router: build_router(&text_to_match, &segments, exact)?,
            text: text.to_owned(),
            segments,
            exact,
            prefix,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    #[inline]
    pub(crate) fn matches(&self, path: &PathText<'_>) -> bool {
        let path = if self.exact {
            path.exact
        } else {
            path.folded()
        };
        // Most rules are told apart here, which costs less than a walk through the router.
        if !path.starts_with(&self.prefix) {
            return false;
        }
        match self.router.at(path) {
            // `matchit` lets a parameter in the middle be empty.
            Ok(found) => found.params.iter().all(|(_, value)| !value.is_empty()),
            Err(_) => false,
        }
    }

    /// Returns whether this pattern matches every path that `other` describes.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        covers(&self.segments, &other.segments, self.exact)
    }
}

fn covers(one: &[Segment], other: &[Segment], exact: bool) -> bool {
    let Some((first, rest)) = one.split_first() else {
        return other.is_empty();
    };
    if *first == Segment::Rest {
        return true;
    }
    let Some((other_first, other_rest)) = other.split_first() else {
        return false;
    };
    covers_segment(first, other_first, exact) && covers(rest, other_rest, exact)
}

/// Returns whether a segment matches every text that the other one describes.
fn covers_segment(one: &Segment, other: &Segment, exact: bool) -> bool {
    match (one, other) {
        (Segment::Rest, _) => true,
        (_, Segment::Rest) | (Segment::Static(_), Segment::Parameter(_)) => false,
        (Segment::Static(one), Segment::Static(other)) => fold(one, exact) == fold(other, exact),
        (Segment::Parameter(prefix), Segment::Static(text)) => {
            // A parameter takes at least one character.
            text.len() > prefix.len() && fold(text, exact).starts_with(&fold(prefix, exact))
        }
        (Segment::Parameter(one), Segment::Parameter(other)) => {
            fold(other, exact).starts_with(&fold(one, exact))
        }
    }
}

/// A text as it is compared: in small letters, unless the pattern is exact.
fn fold(text: &str, exact: bool) -> String {
    if exact {
        text.to_owned()
    } else {
        text.to_lowercase()
    }
}

fn parse_segments(text: &str) -> Result<Vec<Segment>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err("must begin with `/`".to_owned());
    };
    let mut segments = Vec::new();
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        segments.push(parse_segment(part, is_last)?);
    }
    Ok(segments)
}

fn parse_segment(part: &str, is_last: bool) -> Result<Segment, String> {
    if part.is_empty() && !is_last {
        return Err("must not have an empty segment".to_owned());
    }
    if part == "." || part == ".." {
        return Err("must not have a dot segment".to_owned());
    }
    if part.contains(is_never_in_a_path) {
        return Err(
            "must be a path as the upstream reads it: decoded, without a query, `;`, `\\` and `%`"
                .to_owned(),
        );
    }
    match part.split_once('{') {
        Some((prefix, parameter)) => parse_parameter(prefix, parameter, is_last),
        None if part.contains('}') => Err("has a `}` without `{`".to_owned()),
        None => Ok(Segment::Static(part.to_owned())),
    }
}

/// Parses a segment with a parameter, which begins behind its `{`.
fn parse_parameter(prefix: &str, parameter: &str, is_last: bool) -> Result<Segment, String> {
    let Some(name) = parameter.strip_suffix('}') else {
        return Err("must have a parameter as `{name}` or `{*name}` up to the next `/`".to_owned());
    };
    let (is_rest, name) = match name.strip_prefix('*') {
        Some(name) => (true, name),
        None => (false, name),
    };
    if name.is_empty() || !name.bytes().all(is_name_byte) {
        return Err("must name its parameters with letters, digits and `_`".to_owned());
    }
    if !is_rest {
        return Ok(Segment::Parameter(prefix.to_owned()));
    }
    if !is_last || !prefix.is_empty() {
        return Err("must have `{*name}` as its last segment, alone".to_owned());
    }
    Ok(Segment::Rest)
}

fn is_never_in_a_path(character: char) -> bool {
    "?#;\\%".contains(character) || character.is_control()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn static_prefix(text: &str) -> String {
    let prefix = text.split('{').next().unwrap_or_default();
    // A slash at the end is optional for most patterns.
    prefix.strip_suffix('/').unwrap_or(prefix).to_owned()
}

fn build_router(text: &str, segments: &[Segment], exact: bool) -> Result<Router<()>, String> {
    let mut router = Router::new();
    insert(&mut router, text)?;
    if segments.last() == Some(&Segment::Rest) {
        let directory = text.rsplit_once('/').map_or("", |(directory, _)| directory);
        insert(&mut router, directory)?;
        insert(&mut router, &format!("{directory}/"))?;
    } else if !exact {
        match text.strip_suffix('/') {
            Some(without) => insert(&mut router, without)?,
            None => insert(&mut router, &format!("{text}/"))?,
        }
    }
    Ok(router)
}

fn insert(router: &mut Router<()>, route: &str) -> Result<(), String> {
    let route = if route.is_empty() { "/" } else { route };
    match router.insert(route, ()) {
        // `/{*rest}` and its directory may be the same route.
        Ok(()) | Err(matchit::InsertError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, exact: bool, path: &str) -> bool {
        PathPattern::parse(pattern, exact)
            .expect(pattern)
            .matches(&PathText::new(path))
    }

    #[test]
    fn a_pattern_matches_its_paths_and_no_neighbours() {
        // The last two: whether an exact pattern matches, and one that is not.
        for (pattern, path, exact, lax) in [
            ("/", "/", true, true),
            ("/", "/a", false, false),
            ("/admin", "/admin", true, true),
            ("/admin", "/admin/", false, true),
            ("/admin", "/Admin", false, true),
            ("/admin", "/administrator", false, false),
            ("/admin", "/admi", false, false),
            ("/admin", "/admin/x", false, false),
            ("/Admin/", "/Admin/", true, true),
            ("/Admin/", "/Admin", false, true),
            ("/Admin/", "/admin/", false, true),
            ("/orders/{id}", "/orders/7", true, true),
            ("/orders/{id}", "/orders/7/", false, true),
            ("/orders/{id}", "/orders/", false, false),
            ("/orders/{id}", "/orders", false, false),
            ("/orders/{id}", "/orders/7/lines", false, false),
            ("/orders/{id}/lines", "/orders/7/lines", true, true),
            ("/orders/{id}/lines", "/orders//lines", false, false),
            ("/v{n}/x", "/v1/x", true, true),
            ("/v{n}/x", "/v/x", false, false),
            ("/assets/{*rest}", "/assets/a/b.css", true, true),
            ("/assets/{*rest}", "/assets/", true, true),
            ("/assets/{*rest}", "/assets", true, true),
            ("/assets/{*rest}", "/Assets/a", false, true),
            ("/assets/{*rest}", "/assetsx", false, false),
            ("/{*rest}", "/", true, true),
            ("/{*rest}", "/a/b", true, true),
            ("/\u{e4}pfel", "/\u{e4}pfel", true, true),
            ("/\u{e4}pfel", "/\u{c4}PFEL", false, true),
        ] {
            assert_eq!(matches(pattern, true, path), exact, "{pattern} {path}");
            assert_eq!(matches(pattern, false, path), lax, "{pattern} {path}, lax");
        }
    }

    #[test]
    fn a_pattern_that_no_request_could_match_is_refused() {
        for bad in [
            "", "a", "*", "//", "/a//b", "/./a", "/a/..", "/a?b", "/a#b", "/a;b", "/a\\b", "/%61",
            "/a\nb", "/{", "/}", "/{}", "/{*}", "/{a", "/{a}b", "/{a}{b}", "/{*a}/b", "/x{*a}",
            "/{a-b}", "/{{a}}", "/{a}}",
        ] {
            assert!(PathPattern::parse(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_covers_another_when_it_matches_all_its_paths() {
        for (one, other, exact, lax) in [
            ("/a", "/a", true, true),
            ("/a", "/A", false, true),
            ("/a", "/a/", false, false),
            ("/a", "/{x}", false, false),
            ("/{x}", "/a", true, true),
            ("/{x}", "/{y}", true, true),
            ("/{x}", "/", false, false),
            ("/{x}", "/a/b", false, false),
            ("/{x}", "/{*y}", false, false),
            ("/v{x}", "/v1", true, true),
            ("/v{x}", "/v", false, false),
            ("/v{x}", "/V{y}", false, true),
            ("/v{x}", "/{y}", false, false),
            ("/{*x}", "/", true, true),
            ("/{*x}", "/a/{b}/c", true, true),
            ("/{*x}", "/{*y}", true, true),
            ("/a/{*x}", "/a", true, true),
            ("/a/{*x}", "/a/b", true, true),
            ("/a/{*x}", "/a/{*y}", true, true),
            ("/a/{*x}", "/ab", false, false),
            ("/a/{*x}", "/{*y}", false, false),
            ("/{x}/b", "/a/b", true, true),
            ("/{x}/b", "/a/c", false, false),
        ] {
            for (is_exact, expected) in [(true, exact), (false, lax)] {
                let pattern = |text| PathPattern::parse(text, is_exact).expect("a pattern");
                let covered = pattern(one).covers(&pattern(other));
                assert_eq!(covered, expected, "{one} {other} {is_exact}");
            }
        }
    }
}
