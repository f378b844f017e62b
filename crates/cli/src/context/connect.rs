//! The connection to an authority, with a credential for every call.

use std::time::Duration;

use portcullis_contract::v1::{
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    key_service_client::KeyServiceClient, revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient, tenant_service_client::TenantServiceClient,
    user_service_client::UserServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri},
};

use super::entry::{Context, read};
use crate::failure::{Failure, Result};

/// Longest time for a connection to an authority.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for one call. The authority hears of it, and stops too.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A channel that adds the credential to each call.
pub(crate) type Transport = InterceptedService<Channel, Credential>;

/// A connected authority.
#[derive(Clone)]
pub(crate) struct Authority {
    transport: Transport,
}

impl Authority {
    /// Connects by a context.
    pub(crate) async fn connect(name: &str, context: &Context) -> Result<Self> {
        // Before the credential is read: a helper may ask a person to unlock a safe, for an address
        // that cannot be used.
        let endpoint = endpoint(context)?;
        let bearer = context.bearer(name).await?;
        if bearer.is_none() && context.client_certificate_file.is_none() {
            let failure = Failure::usage(format!("the context {name} has no credential"));
            return Err(failure
                .hint("`portcullis context set` with --credential-file, -env, -helper or -stdin"));
        }
        let credential = Credential::new(bearer.as_deref())?;
        // Connected here and not at the first call: the failure is then about the address, with a
        // hint of its own.
        let channel = endpoint.connect().await.map_err(|error| {
            Failure::unavailable(
                &format!("no authority answers at {}", context.address),
                &error,
            )
            .hint("is it running, and is this its address? `portcullis context show`")
        })?;
        Ok(Self {
            transport: InterceptedService::new(channel, credential),
        })
    }

    /// Calls about sessions.
    pub(crate) fn sessions(&self) -> SessionServiceClient<Transport> {
        SessionServiceClient::new(self.transport.clone())
    }

    /// Calls about users.
    pub(crate) fn users(&self) -> UserServiceClient<Transport> {
        UserServiceClient::new(self.transport.clone())
    }

    /// Calls about tenants.
    pub(crate) fn tenants(&self) -> TenantServiceClient<Transport> {
        TenantServiceClient::new(self.transport.clone())
    }

    /// Calls about API keys.
    pub(crate) fn api_keys(&self) -> ApiKeyServiceClient<Transport> {
        ApiKeyServiceClient::new(self.transport.clone())
    }

    /// Calls about the audit trail.
    pub(crate) fn audit(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::new(self.transport.clone())
    }

    /// Calls about signing keys.
    pub(crate) fn keys(&self) -> KeyServiceClient<Transport> {
        KeyServiceClient::new(self.transport.clone())
    }

    /// Calls about gates.
    pub(crate) fn revocations(&self) -> RevocationServiceClient<Transport> {
        RevocationServiceClient::new(self.transport.clone())
    }
}

impl Context {
    /// Fails if the address or the certificates cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        endpoint(self).map(drop)
    }
}

/// Checks the address of a context, and reads its certificates.
fn endpoint(context: &Context) -> Result<Endpoint> {
    let address = parse_address(context)?;
    let endpoint = Endpoint::from(address.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        // The log of a proxy then tells commands from gates.
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Failure::failed(error.to_string()))?;
    if address.scheme_str() == Some("http") {
        return Ok(endpoint);
    }
    let tls = tls(context)?;
    endpoint.tls_config(tls).map_err(|error| {
        Failure::usage(format!(
            "the context's certificates cannot be used: {error}"
        ))
    })
}

/// Parses the address of a context. An address without TLS must be of this machine, or be allowed.
fn parse_address(context: &Context) -> Result<Uri> {
    let address: Uri = context
        .address
        .parse()
        .map_err(|_| Failure::usage("the context's address is no URL such as https://host:7400"))?;
    match address.scheme_str() {
        Some("https") => Ok(address),
        Some("http") if context.insecure => Ok(address),
        Some("http") if is_loopback(address.host().unwrap_or_default()) => Ok(address),
        Some("http") => {
            // The credential would cross the network in clear.
            let failure =
                Failure::usage("the context's address is http and not a loopback address");
            Err(failure
                .hint("use https, or allow it with `portcullis context set NAME --insecure`"))
        }
        _ => Err(Failure::usage(
            "the context's address must begin with https:// or http://",
        )),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn tls(context: &Context) -> Result<ClientTlsConfig> {
    // No list of public authorities is built in: without a file no certificate would be trusted.
    let Some(ca_file) = &context.ca_file else {
        let failure = Failure::usage("an address with https needs ca_file");
        return Err(failure.hint(
            "name the certificates that sign the authority's, your own or /etc/ssl/certs/ca-certificates.crt",
        ));
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca_file)?));
    if let Some((certificate, key)) = context.client_certificate()? {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

/// Adds the bearer string and a deadline to every call.
#[derive(Clone)]
pub(crate) struct Credential(Option<MetadataValue<Ascii>>);

impl Credential {
    fn new(bearer: Option<&str>) -> Result<Self> {
        let Some(bearer) = bearer else {
            return Ok(Self(None));
        };
        let value = format!("Bearer {bearer}").parse::<MetadataValue<Ascii>>();
        let mut value = value
            .map_err(|_| Failure::usage("the credential has characters that no header may have"))?;
        // So that no log of a client library shows it.
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        // A call that waits longer on purpose has set its own.
        if request.metadata().get("grpc-timeout").is_none() {
            request.set_timeout(CALL_TIMEOUT);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(address: &str) -> Context {
        Context {
            address: address.into(),
            ..Context::default()
        }
    }

    #[test]
    fn a_credential_crosses_no_network_in_clear() {
        for good in [
            "http://127.0.0.1:7400",
            "http://[::1]:7400",
            "http://localhost:7400",
        ] {
            assert!(endpoint(&context(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1:7400",
            "http://localhost.evil:7400",
            "ftp://127.0.0.1",
            "",
            "https://a",
        ] {
            assert!(endpoint(&context(bad)).is_err(), "{bad}");
        }
        let allowed = Context {
            insecure: true,
            ..context("http://10.0.0.1:7400")
        };
        assert!(endpoint(&allowed).is_ok());
    }
}
