//! A rule that was checked, in the form in which it decides.

use std::fmt;

use http::Method;
use portcullis_contract::id::TenantId;

use super::{
    model::{Access, RuleMode},
    sign_in::SignIn,
};
use crate::{
    host::HostPattern,
    pattern::{PathPattern, PathText},
    reads::UpstreamReads,
};

/// A rule that was checked.
pub(crate) struct Ruling {
    /// Its place in the list. `None` for the rule that decides when no other one does.
    pub(crate) index: Option<usize>,
    pub(crate) host: HostPattern,
    /// Empty for every method.
    pub(crate) methods: Vec<Method>,
    pub(crate) path: PathPattern,
    pub(crate) reads: UpstreamReads,
    pub(crate) demands: Demands,
    pub(crate) mode: Option<RuleMode>,
    pub(crate) background: bool,
    pub(crate) pass_preflights: bool,
    pub(crate) forward_credential: bool,
    pub(crate) forward_overrides: bool,
    /// `None` when navigations are refused like other requests.
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) identity_audience: Option<String>,
}

/// The demands of a rule on a credential.
pub(crate) struct Demands {
    pub(crate) access: Access,
    /// Empty for every tenant.
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) scopes: Vec<String>,
    /// The values of `acr` that are enough, the weakest first. Empty for every value.
    pub(crate) acr: Vec<String>,
    pub(crate) amr: Vec<String>,
    pub(crate) max_age_seconds: Option<u64>,
}

impl Ruling {
    /// Returns whether the rule is about a request with this method to this host and path.
    #[inline]
    pub(crate) fn matches(&self, host: &str, method: &Method, path: &PathText<'_>) -> bool {
        // The host last: most rules name none, and match every host.
        self.has_method(method) && self.path.matches(path) && self.host.matches(host)
    }

    pub(crate) fn has_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Returns whether a request is refused without a proof of freshness in any mode.
    pub(crate) fn is_strict(&self) -> bool {
        self.mode == Some(RuleMode::Strict)
    }
}

impl fmt::Display for Ruling {
    /// Writes the place of the rule, its methods, its host and its path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(index) = self.index else {
            return f.write_str("no rule");
        };
        write!(f, "rules[{index}] (")?;
        for (position, method) in self.methods.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            write!(f, "{separator}{method}")?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        write!(f, "{}{})", self.host, self.path.text())
    }
}
