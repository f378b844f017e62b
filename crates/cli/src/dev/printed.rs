//! The output of `dev`. Scripts read these lines, so new ones are added and the others stay as they are.

use std::net::SocketAddr;

use super::{first_minute::STAGE, options::Options, parts::Dev};
use crate::credentials::Credentials;

/// Prints the one address to open.
pub(super) fn print_console(console: SocketAddr) {
    println!("console    HTTP  http://{console}{STAGE}");
}

impl Dev {
    pub(super) fn print_addresses(&self, options: &Options) {
        println!("authority  gRPC  {}", self.authority.grpc_address);
        println!(
            "authority  HTTP  http://{}/.well-known/jwks.json",
            self.authority.http_address
        );
        println!("upstream   HTTP  http://{}/whoami", self.upstream);
        println!("gateway    HTTP  http://{}/whoami", self.gateway);
        if let Some(envoy) = &self.envoy {
            println!("envoy      HTTP  http://{}/whoami", envoy.address);
        }
        println!(
            "credentials      {}",
            Credentials::file(&options.data_dir).display()
        );
    }

    pub(super) fn print_commands(&self, options: &Options) {
        let credentials = Credentials::file(&options.data_dir);
        let credentials = credentials.display();
        let session = options.data_dir.join("session.json");
        let session = session.display();
        let grpc = self.authority.grpc_address;
        let gateway = self.door();
        println!(
            r#"
Try next (with grpcurl, jq and curl), in another terminal:

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .login {credentials})" \
    -d '{{"tenant_id": "acme", "user": {{"id": "ada"}}}}' \
    {grpc} portcullis.v1.SessionService/CreateSession > {session}

  curl -i -H "Authorization: Bearer $(jq -r .accessToken {session})" http://{gateway}/whoami

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .admin {credentials})" \
    -d "{{\"tenant_id\": \"acme\", \"session_id\": $(jq .session.id {session}), \"reason\": \"trying it\"}}" \
    {grpc} portcullis.v1.SessionService/RevokeSession

Then the second command again: the gate has dropped. Ctrl-C ends it."#
        );
    }
}
