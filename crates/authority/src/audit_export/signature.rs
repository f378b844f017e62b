//! Signatures of the Standard Webhooks specification.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::config::ConfigError;

/// File permissions that are refused: any for others, and more than reading for the group.
const MODE_FORBIDDEN: u32 = 0o037;
/// The lengths that the specification allows for a secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const PREFIX: &str = "whsec_";

/// The secrets of a webhook. Each message has a signature by each of them, so a receiver may change over when it wants.
pub(super) struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Reads a secret from each file.
    ///
    /// # Errors
    /// When one cannot be read, is readable by others, or does not hold a secret.
    pub(super) fn open(setting: &str, files: &[impl AsRef<Path>]) -> Result<Self, ConfigError> {
        let mut keys = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let key = read_secret(file.as_ref())
                .map_err(|problem| ConfigError::new(format!("{setting}[{index}]"), problem))?;
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The header `webhook-signature` of a message.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let mut signatures = Vec::new();
        for key in &self.0 {
            let tag = hmac::sign(key, &signed);
            signatures.push(format!("v1,{}", STANDARD.encode(tag)));
        }
        signatures.join(" ")
    }
}

fn read_secret(file: &Path) -> Result<hmac::Key, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("must be readable: {error}"))?;
    let text = Zeroizing::new(text);
    check_mode(file)?;
    let Some(secret) = decode_secret(&text) else {
        return Err(
            "must hold whsec_ and 24 to 64 bytes in base64: make it with `echo whsec_$(openssl rand -base64 32)`"
                .to_owned(),
        );
    };
    // A placeholder of zeros decodes like a secret, and would prove nothing.
    if secret.iter().all(|byte| *byte == secret[0]) {
        return Err("holds one byte again and again".to_owned());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

fn check_mode(file: &Path) -> Result<(), String> {
    // The mode of the file behind a link counts, because mounted secrets are often links.
    let metadata = fs::metadata(file).map_err(|error| format!("must be readable: {error}"))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(format!(
            "has mode {mode:04o}, and 0640 is the most: run chmod 600"
        ));
    }
    Ok(())
}

fn decode_secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = text.trim().strip_prefix(PREFIX)?;
    let secret = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    SECRET_BYTES.contains(&secret.len()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn secret_file(directory: &Path, text: &str, mode: u32) -> std::path::PathBuf {
        use std::io::Write;
        let file = directory.join(format!("secret-{}", text.len()));
        let mut opened = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&file)
            .expect("a file");
        opened.write_all(text.as_bytes()).expect("written");
        file
    }

    /// The example of the specification.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
        let file = secret_file(directory.path(), secret, 0o600);
        let signer = Signer::open("secret_files", &[file]).expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_file_without_a_good_secret_is_refused_and_not_repeated() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = format!("whsec_{}", STANDARD.encode((0..24).collect::<Vec<u8>>()));
        for (text, mode) in [
            (&*good, 0o644),
            ("", 0o600),
            ("whsec_", 0o600),
            (&good[6..], 0o600),
            (&*format!("whsec_{}", STANDARD.encode([7; 23])), 0o600),
            (&*format!("whsec_{}", STANDARD.encode([0; 32])), 0o600),
            (&*format!("whsec_{}", STANDARD.encode([7; 65])), 0o600),
        ] {
            let file = secret_file(directory.path(), text, mode);
            let refused = Signer::open("secret_files", &[&file]).err().expect(text);
            assert_eq!(refused.key, "secret_files[0]");
            let said = refused.to_string();
            assert!(text.len() < 8 || !said.contains(&text[6..]), "{said}");
            fs::remove_file(file).expect("removed");
        }
    }
}
