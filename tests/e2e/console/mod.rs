//! The console over real sockets, before a real authority.

mod bad_input;
mod embedding;
mod frame;
mod mine;
mod process;
mod receipts;

/// A browser on a Windows machine.
const FIREFOX: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
/// A browser on a phone.
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/17.2 Mobile/15E148 Safari/604.1";

/// A client of a sign-in.
fn client(ip: &str, user_agent: &str) -> Option<portcullis_contract::v1::Client> {
    Some(portcullis_contract::v1::Client {
        ip: ip.into(),
        user_agent: user_agent.into(),
        device_id: format!("device-{ip}"),
        ..Default::default()
    })
}
