//! Rules from text.

use serde::Deserializer;

use super::{error::RulesError, model::Rules};

/// The longest text of rules, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

impl Rules {
    /// Reads rules from TOML.
    ///
    /// # Errors
    /// When the text is not TOML, or a key is unknown or has a value of another type. The error names the key.
    /// [`compile`](Self::compile) checks the values.
    pub fn from_toml(text: &str) -> Result<Self, RulesError> {
        check_size(text)?;
        let document = toml::Deserializer::parse(text).map_err(|error| not_toml(text, &error))?;
        read(document, |error| error.message().to_owned())
    }

    /// Reads rules from JSON.
    ///
    /// # Errors
    /// As for [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self, RulesError> {
        check_size(text)?;
        let mut document = serde_json::Deserializer::from_str(text);
        let rules = read(&mut document, ToString::to_string)?;
        // Text behind the document is a mistake of whoever wrote it. Ignored, it could be rules
        // that were meant to hold.
        match document.end() {
            Ok(()) => Ok(rules),
            Err(error) => Err(RulesError::new("", error.to_string())),
        }
    }
}

fn check_size(text: &str) -> Result<(), RulesError> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!("must be at most {TEXT_BYTES_MAX} bytes");
        return Err(RulesError::new("", problem));
    }
    Ok(())
}

/// Names the line, and leaves out the text of it.
fn not_toml(text: &str, error: &toml::de::Error) -> RulesError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let problem = match before {
        Some(before) => format!(
            "line {}: {}",
            before.matches('\n').count() + 1,
            error.message()
        ),
        None => error.message().to_owned(),
    };
    RulesError::new("", problem)
}

fn read<'de, D: Deserializer<'de>>(
    document: D,
    message: fn(&D::Error) -> String,
) -> Result<Rules, RulesError> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let problem = message(error.inner());
        RulesError::new(key(&error.path().to_string(), &problem), problem)
    })
}

/// Returns the key of an error. An unknown or missing key is not part of the path yet.
fn key(path: &str, problem: &str) -> String {
    // The path of the whole document.
    let path = if path == "." { "" } else { path };
    // Only the message of serde names such a key.
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| problem.strip_prefix(start)?.split('`').next());
    match named {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_are_the_same_rules() {
        let toml = r#"
            cookie = "session"
            acr_order = ["pwd", "mfa"]

            [[rules]]
            host = "api.example.com"
            path = "/orders/{id}"
            methods = ["GET"]
            access = "either"
            scopes = ["orders:read"]
            max_age = "5m"
            mode = "strict"
            upstream_reads = { encoded_slash = "literal", double_slash = "merged" }
        "#;
        let json = r#"{
            "cookie": "session",
            "acr_order": ["pwd", "mfa"],
            "rules": [{
                "host": "api.example.com",
                "path": "/orders/{id}",
                "methods": ["GET"],
                "access": "either",
                "scopes": ["orders:read"],
                "max_age": "5m",
                "mode": "strict",
                "upstream_reads": { "encoded_slash": "literal", "double_slash": "merged" }
            }]
        }"#;
        let toml = Rules::from_toml(toml).expect("TOML");
        assert_eq!(toml, Rules::from_json(json).expect("JSON"));
        assert_eq!(toml.rules[0].max_age.map(|age| age.as_secs()), Some(300));
        assert_eq!(Rules::from_toml(""), Ok(Rules::default()));
        assert_eq!(Rules::from_json("{}"), Ok(Rules::default()));
    }

    #[test]
    fn an_error_names_the_key() {
        let rule = |text: &str| format!("[[rules]]\npath = '/'\naccess = 'session'\n{text}\n");
        for (text, key) in [
            ("cooky = 'x'".to_owned(), "cooky"),
            ("cookie = 5".to_owned(), "cookie"),
            ("[[rules]]\naccess = 'session'".to_owned(), "rules[0].path"),
            ("[[rules]]\npath = '/'".to_owned(), "rules[0].access"),
            (rule("hosts = ['a']"), "rules[0].hosts"),
            (rule("") + &rule("methods = 'GET'"), "rules[1].methods"),
            (rule("methods = ['GET', 5]"), "rules[0].methods[1]"),
            (rule("max_age = '5 parsecs'"), "rules[0].max_age"),
            (rule("mode = 'lax'"), "rules[0].mode"),
            (
                rule("upstream_reads.slash = 'x'"),
                "rules[0].upstream_reads.slash",
            ),
            (
                rule("upstream_reads.backslash = 'x'"),
                "rules[0].upstream_reads.backslash",
            ),
            (
                "[signed_identity]\nkey = 5".to_owned(),
                "signed_identity.key",
            ),
            ("a =".to_owned(), ""),
        ] {
            let error = Rules::from_toml(&text).expect_err(&text);
            assert_eq!(error.key, key, "{text}: {error}");
            assert!(!error.problem.is_empty());
        }
        for (text, key) in [
            (r#"{"cooky": 1}"#, "cooky"),
            (
                r#"{"rules": [{"path": "/", "access": "everybody"}]}"#,
                "rules[0].access",
            ),
            (
                r#"{"rules": [{"path": "/", "path": "/"}]}"#,
                "rules[0].path",
            ),
            (r#"{"rules": {}}"#, "rules"),
            ("{} {}", ""),
            ("[", ""),
        ] {
            let error = Rules::from_json(text).expect_err(text);
            assert_eq!(error.key, key, "{text}: {error}");
        }
        let broken = Rules::from_toml("cookie = 'a'\n\nkey = 'hunter2\n").expect_err("broken");
        assert!(broken.to_string().starts_with("line 3: "), "{broken}");
        assert!(!broken.to_string().contains("hunter2"));
        let long = " ".repeat(TEXT_BYTES_MAX + 1);
        assert!(Rules::from_toml(&long).is_err() && Rules::from_json(&long).is_err());
        let within = Rules::from_toml("cooky = 1")
            .expect_err("unknown")
            .within("gate");
        assert_eq!(within.key, "gate.cooky");
    }
}
