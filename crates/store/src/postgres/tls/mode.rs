//! The values of `sslmode`.

/// How much of `sslmode` a connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Mode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it. Nobody is verified.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS, with a certificate of a known authority.
    VerifyCa,
    /// TLS, with a certificate of a known authority for the host of the URL.
    VerifyFull,
}

impl Mode {
    pub(in crate::postgres) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    pub(in crate::postgres) fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}
