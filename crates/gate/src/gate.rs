//! The gate: rules and an engine.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderValue, header};
use portcullis_contract::{key::CredentialKind, token::claimed_kind};
use portcullis_validator_core::{
    Engine, Mark, Mode, RequestInfo,
    http::{cookies_without, find_token, has_bearer},
};

use crate::{
    answer::step_up_parameters,
    decision::{Allow, Decision, Deny, HeaderChanges, Subject},
    demands::{check_api_key, check_session},
    explain::{ExplainError, Explanation},
    host::{Host, find_host},
    identity_headers::{SIGNED, check_connection, remove_foreign, set_identity},
    lookup,
    navigation::{is_navigation, preflight_method},
    refused::{Refused, UnmetDemand},
    request::{RequestHead, check_method, check_size, path_of},
    rules::{Access, CompiledRules, IdentitySigner, Rules, RulesError, Ruling},
};

/// The rules of a gate, over the engine that knows the revocations. Share one between all threads.
pub struct Gate {
    engine: Arc<Engine>,
    rules: CompiledRules,
}

impl Gate {
    /// Makes a gate.
    ///
    /// # Errors
    /// When the rules cannot be used, as for [`Rules::compile`], or a rule needs an engine in best-effort mode. The error
    /// names the key.
    pub fn new(engine: Arc<Engine>, rules: &Rules) -> Result<Self, RulesError> {
        Self::with_compiled(engine, rules.compile()?)
    }

    /// Makes a gate of rules that were compiled before.
    ///
    /// # Errors
    /// When a rule needs an engine in best-effort mode.
    pub fn with_compiled(engine: Arc<Engine>, rules: CompiledRules) -> Result<Self, RulesError> {
        rules.check_mode(engine.mode() == Mode::Strict)?;
        Ok(Self { engine, rules })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &CompiledRules {
        &self.rules
    }

    /// The public key of the signed identity as a JWK Set (RFC 7517), for upstreams. `None` when no identity is signed.
    #[must_use]
    pub fn identity_keys(&self) -> Option<String> {
        self.rules.signer.as_ref().map(IdentitySigner::key_set)
    }

    /// Decides about a request. Does no I/O, and never waits.
    #[must_use]
    pub fn decide(&self, head: &RequestHead<'_>) -> Decision {
        self.decide_by_clock(head, Mark::now)
    }

    /// Decides as [`decide`](Self::decide) does, by a clock that the host reads itself.
    ///
    /// It has to be the clock by which the host sends its probes. [`Engine::check_by_clock`] says when it is read.
    #[must_use]
    pub fn decide_by_clock(&self, head: &RequestHead<'_>, clock: impl Fn() -> Mark) -> Decision {
        let (host, rule, preflight) = match self.find_rule(head) {
            Ok(found) => found,
            Err(refused) => return Decision::Deny(Deny::new(&refused)),
        };
        let subject = if preflight {
            Ok(Subject::Anyone)
        } else {
            self.admit(head, rule, &clock)
        };
        // Also for a public rule: the client's own identity headers must go there too.
        let allowed = subject.and_then(|subject| self.allow(head, rule, subject, &clock));
        match allowed {
            Ok(allow) => Decision::Allow(allow),
            Err(refused) => Decision::Deny(deny(head, host, rule, &refused)),
        }
    }

    /// Explains which rule decides about a request with this method to this address, and its demands.
    ///
    /// # Errors
    /// When the address is not `https://host/path`, or `host/path`.
    pub fn explain(&self, method: &str, url: &str) -> Result<Explanation, ExplainError> {
        self.rules.explain(method, url)
    }

    /// Finds the rule that decides. True: the request is a preflight that the rule lets pass.
    fn find_rule<'h>(&self, head: &RequestHead<'h>) -> Result<(Host<'h>, &Ruling, bool), Refused> {
        // The size first: everything after it reads the whole head.
        check_size(head)?;
        check_method(head.method)?;
        check_connection(head.headers)?;
        let host = find_host(head.authority, head.headers)?;
        let path = path_of(head.target)?;
        // A preflight asks for the request that follows it, so the rule of that one decides.
        if let Some(requested) = preflight_method(head.method, head.headers) {
            let rule = lookup::find(&self.rules, host.name, &requested, path)?;
            if rule.pass_preflights {
                return Ok((host, rule, true));
            }
        }
        // A preflight that its rule does not pass is a request like any other, and the rule for
        // OPTIONS decides.
        let rule = lookup::find(&self.rules, host.name, head.method, path)?;
        Ok((host, rule, false))
    }

    fn admit(
        &self,
        head: &RequestHead<'_>,
        rule: &Ruling,
        clock: &impl Fn() -> Mark,
    ) -> Result<Subject, Refused> {
        let demands = &rule.demands;
        if demands.access == Access::Public {
            return Ok(Subject::Anyone);
        }
        let token = self.find_credential(head)?;
        let info = self.request_info(head, rule);
        // The engine's verdict first: a demand says nothing about a token that does not count.
        if takes_api_key(demands.access, token) {
            let identity = self.engine.check_api_key_by_clock(token, &info, clock)?;
            check_api_key(demands, &identity)?;
            Ok(Subject::ApiKey(identity))
        } else {
            let identity = self.engine.check_by_clock(token, &info, clock)?;
            // The clock is read again only for a rule with `max_age`.
            check_session(demands, &identity, || self.engine.unix_seconds_at(&clock()))?;
            Ok(Subject::Session(identity))
        }
    }

    fn find_credential<'h>(&self, head: &RequestHead<'h>) -> Result<&'h str, Refused> {
        match find_token(head.headers, self.rules.cookie.as_deref()) {
            Ok(token) => Ok(token),
            Err(rejection) => {
                // The engine counts every verdict, also one without a token.
                self.engine.record_refused(&rejection);
                Err(rejection.into())
            }
        }
    }

    fn request_info<'h>(&self, head: &RequestHead<'h>, rule: &Ruling) -> RequestInfo<'h> {
        RequestInfo {
            ip: self.client_address(head),
            page: Some(head.target),
            background: rule.background,
            strict: rule.is_strict(),
            ..RequestInfo::default()
        }
    }

    fn client_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        self.rules.proxies.client_address(head.peer?, head.headers)
    }

    fn allow(
        &self,
        head: &RequestHead<'_>,
        rule: &Ruling,
        subject: Subject,
        clock: &impl Fn() -> Mark,
    ) -> Result<Allow, Refused> {
        let mut headers = HeaderChanges::default();
        remove_foreign(head.headers, rule.forward_overrides, &mut headers);
        set_identity(&subject, &mut headers);
        if let Some(signed) = self.signed_identity(rule, &subject, clock)? {
            headers.set.push((SIGNED, signed));
        }
        // An upstream that never sees the credential can neither leak nor replay it.
        if !rule.forward_credential {
            self.remove_credential(head, &mut headers);
        }
        Ok(Allow {
            headers,
            subject,
            strict: rule.is_strict(),
        })
    }

    fn signed_identity(
        &self,
        rule: &Ruling,
        subject: &Subject,
        clock: &impl Fn() -> Mark,
    ) -> Result<Option<HeaderValue>, Refused> {
        let Some(signer) = &self.rules.signer else {
            return Ok(None);
        };
        if matches!(subject, Subject::Anyone) {
            return Ok(None);
        }
        // Without the signature the upstream would not know the caller: better no request at all.
        let now = self.engine.unix_seconds_at(&clock());
        let now = now.ok_or(Refused::Failed)?;
        let audience = rule.identity_audience.as_deref();
        let signed = signer.sign(subject, audience, now).ok_or(Refused::Failed)?;
        Ok(Some(signed))
    }

    fn remove_credential(&self, head: &RequestHead<'_>, changes: &mut HeaderChanges) {
        // Another scheme is no credential of this gate. It goes on, because the upstream may use
        // it.
        if has_bearer(head.headers) {
            changes.remove.push(header::AUTHORIZATION);
        }
        let Some(cookie) = &self.rules.cookie else {
            return;
        };
        let Some(rest) = cookies_without(head.headers, cookie) else {
            return;
        };
        // Removed first, because cookies may stand in several headers. The others go on in one.
        changes.remove.push(header::COOKIE);
        if !rest.is_empty() {
            changes.set.push((header::COOKIE, rest));
        }
    }
}

/// Returns whether a token is to be checked as an API key.
fn takes_api_key(access: Access, token: &str) -> bool {
    match access {
        Access::Public | Access::Session => false,
        Access::ApiKey => true,
        // What the token claims only chooses the check, which then verifies the claim.
        Access::Either => claimed_kind(token) == Some(CredentialKind::ApiKey),
    }
}

/// Makes the answer to a request that its rule refuses.
fn deny(head: &RequestHead<'_>, host: Host<'_>, rule: &Ruling, refused: &Refused) -> Deny {
    redirect(head, host, rule, refused).unwrap_or_else(|| match refused {
        Refused::Demand(demand) => Deny::unmet(*demand, &rule.demands),
        _ => Deny::new(refused),
    })
}

/// Makes the redirect to the page where a person signs in, if that is of use.
fn redirect(
    head: &RequestHead<'_>,
    host: Host<'_>,
    rule: &Ruling,
    refused: &Refused,
) -> Option<Deny> {
    let sign_in = rule.sign_in.as_ref()?;
    let parameters = match refused {
        // A gate that cannot know refuses good sessions as well, and a sign-in would not help.
        Refused::Credential(rejection) if !rejection.is_unavailable() => Vec::new(),
        Refused::Demand(UnmetDemand::Acr | UnmetDemand::Amr | UnmetDemand::Age) => {
            step_up_parameters(&rule.demands)
        }
        _ => return None,
    };
    // A script or a program cannot sign in. It needs the status.
    if !is_navigation(head.method, head.headers) {
        return None;
    }
    let location = sign_in.location(host, head.target, &parameters)?;
    Deny::redirect(&location, refused)
}
