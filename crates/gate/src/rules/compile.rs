//! The check of rules, and their form in which they decide.

use std::str::FromStr;

use http::Method;
use portcullis_contract::{id::TenantId, token::is_scope};

use super::{
    error::RulesError,
    identity_signer::IdentitySigner,
    model::{Access, Rule, RuleMode, Rules},
    overlap,
    ruling::{Demands, Ruling},
    sign_in::SignIn,
};
use crate::{
    host::HostPattern, pattern::PathPattern, proxies::TrustedProxies, reads::UpstreamReads,
};

/// The most rules of a gate.
pub const RULES_MAX: usize = 512;
/// The most entries of any list of a rule.
const ENTRIES_MAX: usize = 64;
/// The most values of `acr_order`.
const ACR_ORDER_MAX: usize = 32;
/// The longest pattern of a path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;
/// The longest name of a cookie or a parameter, and the longest `acr`, `amr` or audience, in bytes.
const NAME_BYTES_MAX: usize = 256;
const RETURN_PARAMETER: &str = "return_to";

/// Rules that were checked, in the form in which they decide.
pub struct CompiledRules {
    pub(crate) cookie: Option<String>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) signer: Option<IdentitySigner>,
    pub(crate) rules: Vec<Ruling>,
    /// Decides when no rule matches: a session is required.
    pub(crate) otherwise: Ruling,
}

impl Rules {
    /// Checks the rules, and makes the form in which they decide.
    ///
    /// # Errors
    /// The first key with a bad value, or the first rule that contradicts another one or never decides.
    pub fn compile(&self) -> Result<CompiledRules, RulesError> {
        if let Some(cookie) = &self.cookie {
            require(is_cookie_name(cookie), "cookie", "must be a cookie's name")?;
        }
        check_acr_order(&self.acr_order)?;
        let signer = match &self.signed_identity {
            Some(settings) => Some(IdentitySigner::new(settings)?),
            None => None,
        };
        let common = Common::new(self, signer.is_some())?;
        let rules = common.compile_all(&self.rules)?;
        // A rule that never decides is a mistake of order, and the rule before it may be more open.
        overlap::check(&rules)?;
        Ok(CompiledRules {
            cookie: self.cookie.clone(),
            proxies: parse_proxies(&self.trusted_proxies)?,
            signer,
            rules,
            otherwise: common.otherwise(),
        })
    }
}

/// The settings that all rules share.
struct Common<'a> {
    acr_order: &'a [String],
    sign_in: Option<SignIn>,
    return_parameter: &'a str,
    signs: bool,
}

impl<'a> Common<'a> {
    fn new(rules: &'a Rules, signs: bool) -> Result<Self, RulesError> {
        let return_parameter = rules.return_parameter.as_deref();
        let common = Self {
            acr_order: &rules.acr_order,
            sign_in: None,
            return_parameter: return_parameter.unwrap_or(RETURN_PARAMETER),
            signs,
        };
        require(
            is_parameter_name(common.return_parameter),
            "return_parameter",
            "must be letters, digits, `-`, `_` and `.`",
        )?;
        let sign_in = common.parse_sign_in(rules.sign_in.as_deref())?;
        Ok(Self { sign_in, ..common })
    }

    fn parse_sign_in(&self, address: Option<&str>) -> Result<Option<SignIn>, RulesError> {
        let Some(address) = address else {
            return Ok(None);
        };
        match SignIn::parse(address, self.return_parameter) {
            Ok(sign_in) => Ok(Some(sign_in)),
            Err(problem) => Err(RulesError::new("sign_in", problem)),
        }
    }

    /// The rule for requests that no other rule matches.
    fn otherwise(&self) -> Ruling {
        let everything = PathPattern::parse("/{*rest}", false);
        Ruling {
            index: None,
            host: HostPattern::Any,
            methods: Vec::new(),
            path: everything.expect("a pattern"),
            reads: UpstreamReads::default(),
            demands: Demands {
                access: Access::Session,
                tenants: Vec::new(),
                scopes: Vec::new(),
                acr: Vec::new(),
                amr: Vec::new(),
                max_age_seconds: None,
            },
            mode: None,
            background: false,
            pass_preflights: false,
            forward_credential: false,
            forward_overrides: false,
            sign_in: self.sign_in.clone(),
            identity_audience: None,
        }
    }

    fn compile_all(&self, rules: &[Rule]) -> Result<Vec<Ruling>, RulesError> {
        let too_many = format!("must be at most {RULES_MAX}");
        require(rules.len() <= RULES_MAX, "rules", &too_many)?;
        let mut compiled = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let ruling = self
                .compile(index, rule)
                .map_err(|error| error.within(&format!("rules[{index}]")))?;
            compiled.push(ruling);
        }
        Ok(compiled)
    }

    /// Checks a rule. Keys of errors begin at the rule.
    fn compile(&self, index: usize, rule: &Rule) -> Result<Ruling, RulesError> {
        let host = HostPattern::parse(rule.host.as_deref())
            .map_err(|problem| RulesError::new("host", problem))?;
        let path = parse_path(rule)?;
        self.check_meaning(rule)?;
        let sign_in = self.choose_sign_in(rule)?;
        Ok(Ruling {
            index: Some(index),
            host,
            methods: parse_methods(&rule.methods)?,
            path,
            reads: rule.upstream_reads,
            demands: self.compile_demands(rule)?,
            mode: rule.mode,
            background: rule.background,
            pass_preflights: rule.pass_preflights,
            forward_credential: rule.forward_credential,
            forward_overrides: rule.forward_overrides,
            sign_in,
            identity_audience: rule.identity_audience.clone(),
        })
    }

    /// Returns the sign-in address for a rule's requests, if navigations are redirected.
    fn choose_sign_in(&self, rule: &Rule) -> Result<Option<SignIn>, RulesError> {
        let own = self.parse_sign_in(rule.sign_in.as_deref())?;
        // A public rule refuses nobody, and the holder of an API key is a program that cannot sign
        // in.
        let takes_sessions = matches!(rule.access, Access::Session | Access::Either);
        if !takes_sessions || !rule.redirect {
            return Ok(None);
        }
        Ok(own.or_else(|| self.sign_in.clone()))
    }

    /// Checks that each demand of a rule is about a credential that the rule admits.
    fn check_meaning(&self, rule: &Rule) -> Result<(), RulesError> {
        let takes_sessions = matches!(rule.access, Access::Session | Access::Either);
        let takes_keys = matches!(rule.access, Access::ApiKey | Access::Either);
        let is_public = rule.access == Access::Public;
        let of_sessions = "must not be set by a rule that admits no session";
        let of_keys = "must not be set by a rule that admits no API key";
        let of_credentials = "must not be set by a public rule";
        // A demand on a credential that the rule never sees protects nothing, though its author
        // believes that it does. So it is an error, not a word to ignore.
        for (key, is_set, holds, problem) in [
            ("scopes", !rule.scopes.is_empty(), takes_keys, of_keys),
            ("acr", rule.acr.is_some(), takes_sessions, of_sessions),
            ("amr", !rule.amr.is_empty(), takes_sessions, of_sessions),
            (
                "max_age",
                rule.max_age.is_some(),
                takes_sessions,
                of_sessions,
            ),
            (
                "sign_in",
                rule.sign_in.is_some(),
                takes_sessions,
                of_sessions,
            ),
            (
                "tenants",
                !rule.tenants.is_empty(),
                !is_public,
                of_credentials,
            ),
            ("mode", rule.mode.is_some(), !is_public, of_credentials),
            ("background", rule.background, !is_public, of_credentials),
            (
                "identity_audience",
                rule.identity_audience.is_some(),
                !is_public,
                of_credentials,
            ),
            (
                "identity_audience",
                rule.identity_audience.is_some(),
                self.signs,
                "needs `signed_identity`",
            ),
            (
                "redirect",
                !rule.redirect,
                rule.sign_in.is_none(),
                "must not be false beside `sign_in`",
            ),
        ] {
            require(!is_set || holds, key, problem)?;
        }
        Ok(())
    }

    fn compile_demands(&self, rule: &Rule) -> Result<Demands, RulesError> {
        let tenants = parse_entries("tenants", &rule.tenants, parse_tenant)?;
        let scopes = parse_entries("scopes", &rule.scopes, parse_scope)?;
        let amr = parse_entries("amr", &rule.amr, parse_challenge_word)?;
        check_audience(rule)?;
        let max_age_seconds = read_max_age(rule)?;
        Ok(Demands {
            access: rule.access,
            tenants,
            scopes,
            acr: self.accepted_acr(rule.acr.as_deref())?,
            amr,
            max_age_seconds,
        })
    }

    /// Returns the values of `acr` that are at least the demanded one.
    fn accepted_acr(&self, least: Option<&str>) -> Result<Vec<String>, RulesError> {
        let Some(least) = least else {
            return Ok(Vec::new());
        };
        require(is_challenge_word(least), "acr", CHALLENGE_WORD)?;
        // Without an order no value is above another.
        if self.acr_order.is_empty() {
            return Ok(vec![least.to_owned()]);
        }
        match self.acr_order.iter().position(|acr| acr == least) {
            Some(position) => Ok(self.acr_order[position..].to_vec()),
            None => Err(RulesError::new("acr", "must be one of `acr_order`")),
        }
    }
}

impl CompiledRules {
    /// Checks that no rule asks for more than a gate in this mode can do.
    pub(crate) fn check_mode(&self, is_strict_gate: bool) -> Result<(), RulesError> {
        for rule in &self.rules {
            if let Some(index) = rule.index
                && is_strict_gate
                && rule.mode == Some(RuleMode::BestEffort)
            {
                return Err(RulesError::new(
                    format!("rules[{index}].mode"),
                    "needs a gate in best-effort mode: a rule can only tighten",
                ));
            }
        }
        Ok(())
    }
}

const CHALLENGE_WORD: &str = "must be 1 to 256 visible ASCII characters without `\"` and `\\`";

/// Returns whether a word can stand in a quoted string of a challenge, separated from others by spaces.
fn is_challenge_word(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn is_cookie_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    // RFC 9110, section 5.6.2.
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_parameter_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn parse_path(rule: &Rule) -> Result<PathPattern, RulesError> {
    let too_long = format!("must be at most {PATH_BYTES_MAX} bytes");
    require(rule.path.len() <= PATH_BYTES_MAX, "path", &too_long)?;
    PathPattern::parse(&rule.path, rule.access == Access::Public)
        .map_err(|problem| RulesError::new("path", problem))
}

fn check_audience(rule: &Rule) -> Result<(), RulesError> {
    let Some(audience) = &rule.identity_audience else {
        return Ok(());
    };
    require(
        (1..=NAME_BYTES_MAX).contains(&audience.len()),
        "identity_audience",
        "must be 1 to 256 bytes",
    )
}

fn read_max_age(rule: &Rule) -> Result<Option<u64>, RulesError> {
    // Whole seconds, as `auth_time` has them.
    let seconds = rule.max_age.map(|age| age.as_secs());
    require(seconds != Some(0), "max_age", "must be at least 1 s")?;
    Ok(seconds)
}

fn check_acr_order(order: &[String]) -> Result<(), RulesError> {
    let too_many = format!("must be at most {ACR_ORDER_MAX} values");
    require(order.len() <= ACR_ORDER_MAX, "acr_order", &too_many)?;
    for (position, acr) in order.iter().enumerate() {
        let key = format!("acr_order[{position}]");
        require(is_challenge_word(acr), &key, CHALLENGE_WORD)?;
        require(
            !order[..position].contains(acr),
            &key,
            "must not stand twice",
        )?;
    }
    Ok(())
}

fn parse_proxies(entries: &[String]) -> Result<TrustedProxies, RulesError> {
    // One by one, so that the error names the entry. Together afterwards, which bounds their
    // number.
    for (position, entry) in entries.iter().enumerate() {
        if let Err(error) = TrustedProxies::from_str(entry) {
            let key = format!("trusted_proxies[{position}]");
            return Err(RulesError::new(key, error.problem));
        }
    }
    TrustedProxies::from_str(&entries.join(","))
        .map_err(|error| RulesError::new("trusted_proxies", error.problem))
}

fn parse_methods(texts: &[String]) -> Result<Vec<Method>, RulesError> {
    // No request with a small letter in its method gets as far as the rules, so such a rule would
    // never decide.
    let mut methods = parse_entries("methods", texts, |text| {
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err("must be in capitals".to_owned());
        }
        Method::from_bytes(text.as_bytes()).map_err(|_| "must be a method".to_owned())
    })?;
    // Servers answer HEAD as they answer GET, so a rule that left it out would not protect the resource.
    if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
        methods.push(Method::HEAD);
    }
    Ok(methods)
}

/// Reads the entries of a list, none of which may stand twice.
fn parse_entries<T>(
    key: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, RulesError> {
    let too_many = format!("must be at most {ENTRIES_MAX} entries");
    require(texts.len() <= ENTRIES_MAX, key, &too_many)?;
    let mut entries = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        let key = format!("{key}[{position}]");
        let entry = parse(text).map_err(|problem| RulesError::new(&key, problem))?;
        require(
            !texts[..position].contains(text),
            &key,
            "must not stand twice",
        )?;
        entries.push(entry);
    }
    Ok(entries)
}

fn parse_tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|error| error.to_string())
}

fn parse_scope(text: &str) -> Result<String, String> {
    if is_scope(text) {
        Ok(text.to_owned())
    } else {
        Err("must be visible ASCII without `\"` and `\\`".to_owned())
    }
}

fn parse_challenge_word(text: &str) -> Result<String, String> {
    if is_challenge_word(text) {
        Ok(text.to_owned())
    } else {
        Err(CHALLENGE_WORD.to_owned())
    }
}

fn require(holds: bool, key: &str, problem: &str) -> Result<(), RulesError> {
    if holds {
        return Ok(());
    }
    Err(RulesError::new(key, problem))
}
