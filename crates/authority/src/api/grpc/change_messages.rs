//! The requests for a change, and the common fields of each.

use portcullis_contract::v1::{self, Wait};

use super::change::{ChangeFields, ChangeMessage, PreviewableMessage, Reason, TenantChangeMessage};

impl ChangeMessage for v1::RevokeSessionRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Optional(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::BatchRevokeSessionsRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Required(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::RevokeOtherSessionsRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Optional(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::ForceSignOutRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Required(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::DisableUserRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Required(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::EnableUserRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: Wait::Unspecified,
            reason: Reason::Optional(&self.reason),
            user_message: "",
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::UpdatePolicyRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: Wait::Unspecified,
            reason: Reason::Required(&self.reason),
            user_message: "",
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::SignOutTenantRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Required(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::CreateApiKeyRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: Wait::Unspecified,
            reason: Reason::Optional(&self.reason),
            user_message: "",
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::RevokeApiKeyRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Optional(&self.reason),
            user_message: "",
            acting_user: self.acting_user.as_ref(),
        }
    }
}

impl ChangeMessage for v1::RotateSigningKeyRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: Wait::Unspecified,
            reason: Reason::Required(&self.reason),
            user_message: "",
            acting_user: None,
        }
    }
}

impl ChangeMessage for v1::RetireSigningKeyRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: Wait::Unspecified,
            reason: Reason::Required(&self.reason),
            user_message: "",
            acting_user: None,
        }
    }
}

impl ChangeMessage for v1::SignOutEveryoneRequest {
    fn change_fields(&self) -> ChangeFields<'_> {
        ChangeFields {
            wait: self.wait(),
            reason: Reason::Required(&self.reason),
            user_message: &self.user_message,
            acting_user: self.acting_user.as_ref(),
        }
    }
}

/// The requests within one tenant.
macro_rules! tenant_change_messages {
    ($($message:ident),* $(,)?) => {
        $(impl TenantChangeMessage for v1::$message {
            fn tenant_id(&self) -> &str {
                &self.tenant_id
            }
        })*
    };
}

tenant_change_messages!(
    RevokeSessionRequest,
    BatchRevokeSessionsRequest,
    RevokeOtherSessionsRequest,
    ForceSignOutRequest,
    DisableUserRequest,
    EnableUserRequest,
    UpdatePolicyRequest,
    SignOutTenantRequest,
    CreateApiKeyRequest,
    RevokeApiKeyRequest,
);

/// The requests that the caller may preview.
macro_rules! previewable_messages {
    ($($message:ident),* $(,)?) => {
        $(impl PreviewableMessage for v1::$message {
            fn validate_only(&self) -> bool {
                self.validate_only
            }
        })*
    };
}

previewable_messages!(
    BatchRevokeSessionsRequest,
    RevokeOtherSessionsRequest,
    ForceSignOutRequest,
    DisableUserRequest,
    EnableUserRequest,
    SignOutTenantRequest,
);
