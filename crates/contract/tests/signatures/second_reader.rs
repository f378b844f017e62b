//! A second reader of our tokens: another JOSE library over other cryptographic code, and the rules for claims, written
//! down again. It has to agree with ours about every token, good or bad.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_compact::{
    AlgorithmSignature, UntrustedToken,
    alg::{Ed25519, Es256, Rsa, RsaPublicKey, VerifyingKey},
    jwk::JsonWebKey,
};
use portcullis_contract::key::PublicNumbers;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};
use std::{fmt, sync::LazyLock};

use portcullis_contract::{
    delta::{self, Change},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision},
    token::{Claims, Expected, Identity, TokenClaims, verify},
    view::{Frame, Subject, View},
};

const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "gate";
const KEY: &str = "k1";
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A key of each algorithm, and a view that trusts it.
struct Fixture {
    algorithm: Algorithm,
    private: PrivateKey,
    public: Public,
    view: View,
}

/// A public key, as the second reader has it.
enum Public {
    Ed25519(<Ed25519 as jwt_compact::Algorithm>::VerifyingKey),
    Es256(<Es256 as jwt_compact::Algorithm>::VerifyingKey),
    Rs256(RsaPublicKey),
}

static FIXTURES: LazyLock<[Fixture; 3]> = LazyLock::new(|| Algorithm::ALL.map(fixture));

fn fixture(algorithm: Algorithm) -> Fixture {
    let private = PrivateKey::generate(algorithm);
    let id = KeyId::parse(KEY).unwrap();
    let bytes = private.public_bytes();
    let key = VerificationKey::new(id, algorithm, bytes, CredentialKind::Session).unwrap();
    let public = Public::of(&key);
    let frame = Frame {
        revision: Revision(1),
        delta: delta::encode(&[Change::Trust(key)], Vec::new()),
        audit_digest: [0; 32],
    };
    Fixture {
        algorithm,
        private,
        public,
        view: View::empty(Incarnation([1; 16])).apply(&frame).unwrap(),
    }
}

impl Public {
    /// Reads the numbers that stand in the JWKS document.
    fn of(key: &VerificationKey) -> Self {
        match key.public_numbers() {
            PublicNumbers::Okp { x } => Self::Ed25519(VerifyingKey::from_slice(&x).unwrap()),
            PublicNumbers::Ec { x, y } => {
                let point = [&[4], &x[..], &y[..]].concat();
                Self::Es256(VerifyingKey::<Es256>::from_slice(&point).unwrap())
            }
            PublicNumbers::Rsa { n, e } => {
                let jwk = JsonWebKey::Rsa {
                    modulus: n.into(),
                    public_exponent: e.into(),
                    private_parts: None,
                };
                Self::Rs256((&jwk).try_into().unwrap())
            }
        }
    }

    fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Ed25519(_) => &["EdDSA", "Ed25519"],
            Self::Es256(_) => &["ES256"],
            Self::Rs256(_) => &["RS256"],
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => verify_as(&Ed25519, key, message, signature),
            Self::Es256(key) => verify_as(&Es256, key, message, signature),
            Self::Rs256(key) => verify_as(&Rsa::rs256(), key, message, signature),
        }
    }
}

fn verify_as<A: jwt_compact::Algorithm>(
    algorithm: &A,
    key: &A::VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    // Some of them expect that the length was checked before.
    if let Some(length) = A::Signature::LENGTH
        && signature.len() != length.get()
    {
        return false;
    }
    let signature = A::Signature::try_from_slice(signature);
    signature.is_ok_and(|signature| algorithm.verify_signature(&signature, key, message))
}

/// The members of a JSON object, in order. A name may stand twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

impl Members {
    /// Reads a part of a token. None: it is no object, or a member stands twice.
    fn read(part: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        let members: Self = serde_json::from_slice(&json).ok()?;
        let mut names: Vec<&str> = members.0.iter().map(|(name, _)| &**name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        (names.len() == count).then_some(members)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    fn texts(&self, name: &str) -> Option<Vec<&str>> {
        self.get(name)?
            .as_array()?
            .iter()
            .map(Value::as_str)
            .collect()
    }

    /// Whether a member is missing, or is a text.
    fn has_optional_text(&self, name: &str) -> bool {
        self.get(name).is_none_or(Value::is_string)
    }
}

impl Fixture {
    /// Reads a token as the rules say. None: it is refused.
    fn read(&self, token: &str) -> Option<Members> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, _] = parts[..] else {
            return None;
        };
        self.read_header(header)?;

        let parsed = UntrustedToken::new(token).ok()?;
        let (message, _) = token.rsplit_once('.')?;
        let is_signed = self
            .public
            .verify(message.as_bytes(), parsed.signature_bytes());
        if !is_signed || !self.public.names().contains(&parsed.algorithm()) {
            return None;
        }
        let claims = Members::read(claims)?;
        is_for_us(&claims)?;
        Some(claims)
    }

    /// The header has three members and no other. Each is a text without an escape.
    fn read_header(&self, header: &str) -> Option<()> {
        let json = URL_SAFE_NO_PAD.decode(header).ok()?;
        let members = Members::read(header)?;
        let is_known = members.0.len() == 3
            && !json.contains(&b'\\')
            && members.text("typ") == Some("at+jwt")
            && members.text("kid") == Some(KEY)
            && self.public.names().contains(&members.text("alg")?);
        is_known.then_some(())
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let header = header.replace("ALG", self.algorithm.jose_name());
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.private.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The rules for claims.
fn is_for_us(claims: &Members) -> Option<()> {
    let is_id = |name| {
        claims
            .text(name)
            .is_some_and(|id| (1..=128).contains(&id.len()) && !id.chars().any(char::is_control))
    };
    let is_right = claims.text("iss")? == ISSUER
        && claims.texts("aud")?.contains(&AUDIENCE)
        && is_id("sub")
        && is_id("tenant")
        && is_session_id(claims.text("sid")?)
        && claims.number("exp")? > claims.number("iat")?
        && claims.number("serial")? > 0;
    claims.text("jti")?;
    for name in [
        "auth_time",
        "user_serial",
        "tenant_serial",
        "opened_revision",
    ] {
        claims.number(name)?;
    }
    let is_optional_right = claims.has_optional_text("acr")
        && claims.has_optional_text("client_id")
        && (claims.get("amr").is_none() || claims.texts("amr").is_some());
    (is_right && is_optional_right).then_some(())
}

/// `ses_` and a UUID in 26 letters of Crockford's alphabet, the first of which has only 3 bits.
fn is_session_id(text: &str) -> bool {
    let Some(letters) = text.strip_prefix("ses_") else {
        return false;
    };
    letters.len() == 26
        && matches!(letters.as_bytes()[0], b'0'..=b'7')
        && letters
            .bytes()
            .all(|letter| b"0123456789abcdefghjkmnpqrstvwxyz".contains(&letter))
}

const HEADER: &str = r#"{"typ":"at+jwt","alg":"ALG","kid":"k1"}"#;

/// Headers that are signed, and good or bad.
const HEADERS: &[&str] = &[
    HEADER,
    r#"{"kid":"k1","alg":"ALG","typ":"at+jwt"}"#,
    r#" { "typ" : "at+jwt", "alg":"ALG" , "kid":"k1" } "#,
    r#"{"typ":"at+jwt","alg":"Ed25519","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"ES256","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"RS256","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"PS256","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"none","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"HS256","kid":"k1"}"#,
    r#"{"typ":"AT+JWT","alg":"ALG","kid":"k1"}"#,
    r#"{"typ":"JWT","alg":"ALG","kid":"k1"}"#,
    r#"{"typ":"ak+jwt","alg":"ALG","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k2"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":""}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":1}"#,
    r#"{"typ":"at+jwt","alg":"ALG"}"#,
    r#"{"alg":"ALG","kid":"k1"}"#,
    r#"{"typ":"at+jwt","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","alg":"none","kid":"k1"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","crit":["exp"]}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","jku":"https://evil"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","cty":"JWT"}"#,
    r#"{"typ":"at+jwt","alg":"ALG","kid":"k1"}x"#,
    r#"["at+jwt","ALG","k1"]"#,
    "null",
    "",
];

/// The names of claims that a token has or could have.
const NAMES: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "jti",
    "sid",
    "auth_time",
    "amr",
    "acr",
    "client_id",
    "tenant",
    "serial",
    "user_serial",
    "tenant_serial",
    "opened_revision",
    "scope",
    "extra",
];

fn claims() -> Vec<(String, Value)> {
    let claims = Claims {
        tenant_id: TenantId::parse("acme").unwrap(),
        user_id: UserId::parse("ada").unwrap(),
        session_id: SessionId::generate(),
        subject: Subject {
            serial: Serial(1),
            user: UserSerial(2),
            tenant: TenantSerial(3),
            opened: Revision(4),
        },
        token_id: "t".into(),
        audiences: vec![AUDIENCE.into()],
        issued_at: 1_000,
        expires_at: 2_000,
        auth_time: 900,
        amr: vec!["pwd".into()],
        acr: "1".into(),
        client_id: "web".into(),
    };
    let json = claims.to_json(ISSUER);
    serde_json::from_slice::<Members>(&json).unwrap().0
}

fn value() -> impl Strategy<Value = Value> {
    let texts = [
        "",
        "x",
        AUDIENCE,
        ISSUER,
        "ada\n",
        "ses_0",
        "ses_01h455vb4pex5vsknk084sn02q",
    ];
    let long = "x".repeat(129);
    prop_oneof![
        proptest::sample::select(texts.to_vec()).prop_map(Value::from),
        Just(Value::from(long)),
        any::<u64>().prop_map(Value::from),
        (0_u64..3_000).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(1e3)),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        Just(json!([])),
        Just(json!([AUDIENCE])),
        Just(json!(["other", AUDIENCE])),
        Just(json!([AUDIENCE, 1])),
        Just(json!({})),
    ]
}

/// A change of the claims before they are signed.
#[derive(Clone, Debug)]
enum Edit {
    Remove(&'static str),
    Replace(&'static str, Value),
    /// A member with a name that may stand there already.
    Add(&'static str, Value),
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || proptest::sample::select(NAMES);
    prop_oneof![
        name().prop_map(Edit::Remove),
        (name(), value()).prop_map(|(name, value)| Edit::Replace(name, value)),
        (name(), value()).prop_map(|(name, value)| Edit::Add(name, value)),
    ]
}

fn edited(edits: &[Edit]) -> String {
    let mut members = claims();
    for edit in edits {
        match edit {
            Edit::Remove(name) => members.retain(|(known, _)| known != name),
            Edit::Replace(name, value) => {
                for (known, old) in &mut members {
                    if known == name {
                        *old = value.clone();
                    }
                }
            }
            Edit::Add(name, value) => members.push(((*name).to_owned(), value.clone())),
        }
    }
    let members = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", Value::from(&**name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A change of the token after it was signed.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// Another byte at a place.
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(&'static str),
    /// Another signature: of this length, or changed at a place.
    SignatureOfLength(usize),
    SignatureByte(prop::sample::Index, u8),
    /// `n - s` in the place of `s`, which signs the same by ECDSA.
    OtherS,
    SwapHalves,
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = proptest::sample::select(b"AQgw-_=.+/ \n\0\x7f".to_vec());
    prop_oneof![
        4 => Just(Damage::None),
        3 => (any::<prop::sample::Index>(), byte).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => proptest::sample::select(vec!["=", "A", ".", ".A", "\n", " "]).prop_map(Damage::Append),
        1 => (0_usize..520).prop_map(Damage::SignatureOfLength),
        2 => (any::<prop::sample::Index>(), 1_u8..)
            .prop_map(|(at, change)| Damage::SignatureByte(at, change)),
        1 => Just(Damage::OtherS),
        1 => Just(Damage::SwapHalves),
    ]
}

impl Damage {
    fn apply(&self, token: String) -> String {
        match self {
            Self::None => token,
            Self::Byte(at, byte) => {
                let mut bytes = token.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                String::from_utf8(bytes).unwrap()
            }
            Self::Cut(at) => token[..at.index(token.len())].to_owned(),
            Self::Append(text) => token + text,
            signature => {
                let (message, text) = token.rsplit_once('.').unwrap();
                let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
                signature.change(&mut bytes);
                format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes))
            }
        }
    }

    fn change(&self, signature: &mut Vec<u8>) {
        match self {
            Self::SignatureOfLength(length) => signature.resize(*length, 0),
            Self::SignatureByte(at, change) => {
                let at = at.index(signature.len());
                signature[at] ^= change;
            }
            Self::OtherS if signature.len() == 64 => negate(&mut signature[32..]),
            Self::SwapHalves => {
                let half = signature.len() / 2;
                signature.rotate_left(half);
            }
            _ => {}
        }
    }
}

/// The order of P-256 (SEC 2, section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Subtracts a big-endian number from the order.
fn negate(number: &mut [u8]) {
    let mut borrow = 0;
    for (digit, order) in number.iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
}

/// Asserts that both readers say the same about a token. Returns whether it is good.
fn both_agree(fixture: &Fixture, token: &str) -> bool {
    let expected = Expected {
        issuer: ISSUER.into(),
        audience: Some(AUDIENCE.into()),
    };
    let ours = verify(token, &fixture.view, &expected);
    let theirs = fixture.read(token);
    assert_eq!(ours.is_ok(), theirs.is_some(), "{ours:?}\n{token}");
    if let (Ok(ours), Some(theirs)) = (&ours, &theirs) {
        have_the_same_claims(ours, theirs);
    }
    ours.is_ok()
}

fn have_the_same_claims(ours: &Identity, theirs: &Members) {
    assert_eq!(Some(ours.tenant_id.as_str()), theirs.text("tenant"));
    assert_eq!(Some(ours.user_id.as_str()), theirs.text("sub"));
    assert_eq!(Some(&*ours.session_id.to_string()), theirs.text("sid"));
    assert_eq!(Some(ours.subject.serial.0), theirs.number("serial"));
    assert_eq!(Some(ours.subject.user.0), theirs.number("user_serial"));
    assert_eq!(Some(ours.subject.tenant.0), theirs.number("tenant_serial"));
    assert_eq!(
        Some(ours.subject.opened.0),
        theirs.number("opened_revision")
    );
    assert_eq!(Some(ours.issued_at), theirs.number("iat"));
    assert_eq!(Some(ours.expires_at), theirs.number("exp"));
    assert_eq!(ours.acr, theirs.text("acr").unwrap_or_default());
}

#[test]
fn both_take_what_the_authority_signs() {
    for fixture in &*FIXTURES {
        for header in HEADERS {
            both_agree(fixture, &fixture.sign(header, &edited(&[])));
        }
        assert!(both_agree(fixture, &fixture.sign(HEADER, &edited(&[]))));
    }
}

/// Typed parsing takes the values of a struct in their order for the struct. No other reader does.
#[test]
fn both_refuse_an_array_in_the_place_of_an_object() {
    for fixture in &*FIXTURES {
        let values: Vec<_> = claims().into_iter().map(|(_, value)| value).collect();
        let token = fixture.sign(HEADER, &Value::from(values).to_string());
        assert!(!both_agree(fixture, &token));
        let header = r#"["at+jwt","ALG","k1"]"#;
        assert!(!both_agree(fixture, &fixture.sign(header, &edited(&[]))));
    }
}

/// Both take the second signature of ECDSA. A cache by the text of tokens sees two tokens, with the same claims.
#[test]
fn the_other_signature_of_ecdsa_is_good_too() {
    let fixture = &FIXTURES[1];
    let token = fixture.sign(HEADER, &edited(&[]));
    let other = Damage::OtherS.apply(token.clone());
    assert_ne!(token, other);
    assert!(both_agree(fixture, &other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_say_the_same_about_every_token(
        fixture in 0_usize..3,
        header in prop_oneof![3 => Just(0), 1 => 0..HEADERS.len()],
        edits in prop::collection::vec(edit(), 0..3),
        damage in damage(),
    ) {
        let fixture = &FIXTURES[fixture];
        let token = fixture.sign(HEADERS[header], &edited(&edits));
        both_agree(fixture, &damage.apply(token));
    }
}
