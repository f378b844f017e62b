//! The requests for a change, and the common fields of each.

use portcullis_contract::v1;

use super::change::{ChangeFields, ChangeMessage, PreviewableMessage, Reason, TenantChangeMessage};

/// Each request: whether its reason is required, and its other common fields.
macro_rules! change_messages {
    ($($message:ident: $reason:ident [$($field:ident),*];)*) => {
        $(impl ChangeMessage for v1::$message {
            fn change_fields(&self) -> ChangeFields<'_> {
                ChangeFields {
                    $($field: change_messages!(@$field self),)*
                    ..ChangeFields::with(Reason::$reason(&self.reason))
                }
            }
        })*
    };
    (@wait $message:tt) => { $message.wait() };
    (@user_message $message:tt) => { &$message.user_message };
    (@acting_user $message:tt) => { $message.acting_user.as_ref() };
}

change_messages!(
    RevokeSessionRequest: Optional [wait, user_message, acting_user];
    BatchRevokeSessionsRequest: Required [wait, user_message, acting_user];
    RevokeMatchingSessionsRequest: Required [wait, user_message, acting_user];
    RevokeOtherSessionsRequest: Optional [wait, user_message, acting_user];
    ForceSignOutRequest: Required [wait, user_message, acting_user];
    DisableUserRequest: Required [wait, user_message, acting_user];
    EnableUserRequest: Required [acting_user];
    SetUserRolesRequest: Required [acting_user];
    EraseUserRequest: Required [wait, acting_user];
    UpdatePolicyRequest: Required [acting_user];
    SignOutTenantRequest: Required [wait, user_message, acting_user];
    DeleteTenantRequest: Required [wait, acting_user];
    CreateApiKeyRequest: Optional [acting_user];
    RevokeApiKeyRequest: Optional [wait, acting_user];
    RotateSigningKeyRequest: Required [];
    RetireSigningKeyRequest: Required [];
    RotateSecretRequest: Required [];
    RetireSecretRequest: Required [];
    ResealSecretsRequest: Required [];
    RetryDeadLettersRequest: Required [];
    DropDeadLettersRequest: Required [];
    SignOutEveryoneRequest: Required [wait, user_message, acting_user];
);

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
    RevokeMatchingSessionsRequest,
    RevokeOtherSessionsRequest,
    ForceSignOutRequest,
    DisableUserRequest,
    EnableUserRequest,
    SetUserRolesRequest,
    EraseUserRequest,
    UpdatePolicyRequest,
    SignOutTenantRequest,
    DeleteTenantRequest,
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
    RevokeMatchingSessionsRequest,
    RevokeOtherSessionsRequest,
    ForceSignOutRequest,
    DisableUserRequest,
    EnableUserRequest,
    EraseUserRequest,
    UpdatePolicyRequest,
    SignOutTenantRequest,
    DeleteTenantRequest,
);
