//! Debian's rsyslog, which parses what it gets and writes the parts of each message as JSON.

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    ports::free_port,
    wait::{eventually, within},
};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with TLS.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A running rsyslog with one port.
pub struct Rsyslog {
    child: Child,
    directory: TempDir,
    transport: Transport,
    /// Its port on this machine.
    pub port: u16,
}

impl Rsyslog {
    /// Starts it. With TLS it has a certificate for `localhost`, which is also the authority in [`ca_file`](Self::ca_file).
    ///
    /// # Panics
    /// When rsyslog is not there.
    pub async fn start(transport: Transport) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(directory.path().join("chain.pem"), made.cert.pem()).expect("written");
        let key = made.signing_key.serialize_pem();
        fs::write(directory.path().join("key.pem"), key).expect("written");
        Self::start_at(directory, transport, free_port()).await
    }

    async fn start_at(directory: TempDir, transport: Transport, port: u16) -> Self {
        let path = directory.path();
        let configuration = configuration(path, transport, port);
        fs::write(path.join("rsyslog.conf"), configuration).expect("written");
        let child = Command::new(program())
            .arg("-n")
            .arg("-f")
            .arg(path.join("rsyslog.conf"))
            .arg("-i")
            .arg(path.join("pid"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("rsyslog starts");
        eventually("rsyslog to listen", async || match transport {
            Transport::Udp => path.join("pid").exists().then_some(()),
            Transport::Tls | Transport::Tcp => {
                let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                connected.ok().map(drop)
            }
        })
        .await;
        Self {
            child,
            directory,
            transport,
            port,
        }
    }

    /// Kills it.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
        within("its end", self.child.wait()).await.expect("an end");
    }

    /// Starts it again at its port, with what it has.
    pub async fn restart(self) -> Self {
        let Self {
            directory,
            transport,
            port,
            ..
        } = self;
        Self::start_at(directory, transport, port).await
    }

    /// The authority that signs its certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("chain.pem")
    }

    /// The messages that it has written, in their order.
    ///
    /// # Panics
    /// When one is no JSON.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        let written = fs::read_to_string(self.directory.path().join("out"));
        let written = written.unwrap_or_default();
        // The last line may not be whole yet.
        let whole = written.rfind('\n').map_or("", |end| &written[..=end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

fn configuration(directory: &Path, transport: Transport, port: u16) -> String {
    let directory = directory.display();
    let fields = ["id", "ordinal", "revision", "tenant", "user", "actor"];
    let data: String = fields
        .iter()
        .map(|field| {
            format!(
                "property(outname=\"data_{field}\" name=\"$!rfc5424-sd!portcullis@32473!{field}\" format=\"jsonf\")\n"
            )
        })
        .collect();
    let (global, module, input) = match transport {
        Transport::Tls => (
            format!(
                "defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{directory}/chain.pem\" \
                 defaultNetstreamDriverCertFile=\"{directory}/chain.pem\" \
                 defaultNetstreamDriverKeyFile=\"{directory}/key.pem\""
            ),
            "load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\"",
            "imtcp",
        ),
        Transport::Tcp => (String::new(), "load=\"imtcp\"", "imtcp"),
        Transport::Udp => (String::new(), "load=\"imudp\"", "imudp"),
    };
    format!(
        "global(workDirectory=\"{directory}\" maxMessageSize=\"64k\" {global})
module({module})
module(load=\"mmpstrucdata\")
template(name=\"out\" type=\"list\" option.jsonf=\"on\") {{
property(outname=\"pri\" name=\"pri\" format=\"jsonf\")
property(outname=\"time\" name=\"timereported\" dateFormat=\"rfc3339\" format=\"jsonf\")
property(outname=\"host\" name=\"hostname\" format=\"jsonf\")
property(outname=\"app\" name=\"app-name\" format=\"jsonf\")
property(outname=\"message_id\" name=\"msgid\" format=\"jsonf\")
{data}property(outname=\"text\" name=\"msg\" format=\"jsonf\")
}}
ruleset(name=\"all\") {{
action(type=\"mmpstrucdata\")
action(type=\"omfile\" file=\"{directory}/out\" template=\"out\" asyncWriting=\"off\" flushOnTXEnd=\"on\")
}}
input(type=\"{input}\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"all\")
"
    )
}

/// Debian installs servers outside of the `PATH` of users.
fn program() -> PathBuf {
    let search = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = env::split_paths(&search).collect();
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = directories
        .into_iter()
        .map(|directory| directory.join("rsyslogd"))
        .find(|program| program.is_file());
    found.expect("no rsyslogd: run `cargo xtask test`, which installs it")
}
