//! `CreateApiKey`: the key that the request asks for.

use portcullis_contract::{
    id::{ApiKeyId, TenantId, UserId},
    v1,
};

use crate::{
    api::grpc::{change::SubjectSource, parse::Fields},
    app::TOKEN_TEXT_BYTES_MAX,
    domain::{API_KEY_LIFETIME_MAX, Micros, NewApiKey},
};

/// A key that a request asks for, before its tenant is known.
pub(super) struct AskedKey {
    owner_id: UserId,
    name: String,
    scopes: Vec<String>,
    audiences: Vec<String>,
    expires: Option<Micros>,
}

impl AskedKey {
    pub(super) fn for_tenant(self, tenant_id: TenantId) -> NewApiKey {
        NewApiKey {
            // Chosen here and not by the store, so that a repeated log entry creates no second key.
            id: ApiKeyId::generate(),
            tenant_id,
            owner_id: self.owner_id,
            name: self.name,
            scopes: self.scopes,
            audiences: self.audiences,
            expires: self.expires,
        }
    }
}

/// Returns `None` after it reported a problem.
pub(super) fn parse(
    source: SubjectSource<'_, v1::CreateApiKeyRequest>,
    default_audiences: &[String],
) -> Option<AskedKey> {
    let message = source.message;
    let fields = source.fields;
    let owner_id = fields.user("owner_user_id", &message.owner_user_id);
    let name = fields.required_text::<128>("name", &message.name);
    let scopes = fields.scopes(&message.scopes);
    let mut audiences = fields.audiences(&message.audiences);
    if audiences.is_empty() {
        audiences = default_audiences.to_vec();
    }
    check_token_text(fields, &scopes, &audiences);
    let expires = fields.future(
        "expire_time",
        message.expire_time.as_ref(),
        API_KEY_LIFETIME_MAX,
    );
    Some(AskedKey {
        owner_id: owner_id?,
        name,
        scopes,
        audiences,
        expires,
    })
}

/// Bounds the texts of the secret.
fn check_token_text(fields: &mut Fields, scopes: &[String], audiences: &[String]) {
    // The secret travels in a header of every request, and servers bound their headers.
    let mut bytes = 0;
    for scope in scopes {
        // A space separates two scopes.
        bytes += scope.len() + 1;
    }
    for audience in audiences {
        bytes += audience.len();
    }
    if bytes > TOKEN_TEXT_BYTES_MAX {
        fields.wrong(
            "scopes",
            format!("must be at most {TOKEN_TEXT_BYTES_MAX} bytes together with the audiences"),
        );
    }
}
