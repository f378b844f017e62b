//! The configuration of a new authority: the least that is needed, with a comment on each part.

use std::{net::SocketAddr, path::Path};

use portcullis_authority::config::Config;

use crate::failure::{Failure, Result};

/// The values of a configuration file.
pub(super) struct Settings<'s> {
    /// Where the files will be.
    pub(super) directory: &'s Path,
    pub(super) issuer: &'s str,
    pub(super) grpc_listen: SocketAddr,
    pub(super) http_listen: SocketAddr,
    pub(super) store_url: &'s str,
    /// Name, digest and roles of each caller.
    pub(super) callers: Vec<(&'s str, String, Vec<String>)>,
}

impl Settings<'_> {
    /// The file's text. Fails if an authority would refuse it.
    pub(super) fn render(&self) -> Result<String> {
        // Read back as an authority reads it: a host or a path that it would refuse is found now.
        let text = self.write();
        let config: Config =
            toml::from_str(&text).map_err(|error| Failure::usage(error.message()))?;
        config.check()?;
        Ok(text)
    }

    /// The quoted path of a file beside the configuration.
    fn file(&self, name: &str) -> String {
        quoted(&self.directory.join(name).display().to_string())
    }

    fn write(&self) -> String {
        // Written by hand and not serialized, because the comments are what a first reader needs.
        let mut text = format!(
            "# A configuration for `portcullis serve`, made by `portcullis init`.\n\
             # docs/reference/configuration.md lists every key; what is not here has its default.\n\n\
             [server]\n\
             # Calls, and the streams of gates.\n\
             grpc_listen = {}\n\
             # Verification keys, health and metrics.\n\
             http_listen = {}\n\
             # Signed by tls/ca.pem, which gates and contexts need. `portcullis init --renew-certificate` makes a new one.\n\
             tls_certificate_file = {}\n\
             tls_key_file = {}\n",
            quoted(&self.grpc_listen.to_string()),
            quoted(&self.http_listen.to_string()),
            self.file("tls/chain.pem"),
            self.file("tls/key.pem"),
        );
        if !self.http_listen.ip().is_loopback() {
            text += "# Whoever changes the keys on their way makes a verifier trust forged tokens.\nhttp_tls = true\n";
        }
        text += &format!("\n[store]\nurl = {}\n", quoted(self.store_url));
        text += &format!(
            "\n[keys]\n# Keep a copy away from the database's backups: neither is of use without the other.\n\
             master_key_file = {}\n",
            self.file("master.key")
        );
        text += &format!(
            "\n[tokens]\n# `iss` of every token. Gates have to name it, byte for byte.\nissuer = {}\n",
            quoted(self.issuer)
        );
        text += "\n# Who may call: docs/reference/roles.md. A digest is the SHA-256 of a bearer string.\n";
        for (name, digest, roles) in &self.callers {
            let roles: Vec<String> = roles.iter().map(|role| quoted(role)).collect();
            text += &format!(
                "\n[[callers]]\nname = {}\nbearer_sha256 = {}\nroles = [{}]\n",
                quoted(name),
                quoted(digest),
                roles.join(", ")
            );
        }
        text
    }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    // The library knows what has to be escaped. A path or an issuer may contain a quotation mark.
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<'s>(issuer: &'s str, http: &str) -> Settings<'s> {
        Settings {
            directory: Path::new("/srv/port \"cullis"),
            issuer,
            grpc_listen: "127.0.0.1:7400".parse().expect("an address"),
            http_listen: http.parse().expect("an address"),
            store_url: "sqlite:/srv/data",
            callers: vec![("sign-in", "ab".repeat(32), vec!["login".to_owned()])],
        }
    }

    #[test]
    fn the_configuration_is_one_that_an_authority_accepts() {
        let text = settings("https://issuer.example", "127.0.0.1:7480")
            .render()
            .expect("good");
        assert!(
            text.contains("issuer = \"https://issuer.example\""),
            "{text}"
        );
        assert!(!text.contains("http_tls"), "{text}");
        let open = settings("https://issuer.example", "0.0.0.0:7480")
            .render()
            .expect("good");
        assert!(open.contains("http_tls = true"), "{open}");
        assert!(settings("", "127.0.0.1:7480").render().is_err());
    }
}
