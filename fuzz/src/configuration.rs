//! Configuration files. A first byte of 0: the rest is a file. Else it is the value of some key, and no error may repeat
//! it: it may be a secret.

use portcullis_authority::config::Config;
use portcullis_serving::config::{ConfigError, Layers};

use crate::{Seed, mode, with_mode};

/// Keys whose values people mistake or take for another's.
const KEYS: [&str; 8] = [
    "store.url",
    "store.connections_max",
    "server.grpc_listen",
    "server.insecure",
    "tokens.default_audiences",
    "keys.algorithm",
    "keys.activation_delay",
    "callers",
];
const SECRET: &str = "hunter2";

/// Throws bytes at the reader.
pub fn check(data: &[u8]) -> bool {
    let Some((mode, text)) = mode(data) else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if mode == 0 {
        is_read(text)
    } else {
        is_kept_secret(KEYS[usize::from(mode) % KEYS.len()], text)
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Layers::of_text(text, "PORTCULLIS_FUZZ_").read(Config::check)
}

/// What is read was checked, and can be said again.
fn is_read(text: &str) -> bool {
    let config = match read(text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.key.is_empty() && !error.problem.is_empty());
            return false;
        }
    };
    config.check().expect("it was checked before");
    let value = |config: &Config| serde_json::to_value(config).expect("plain data");
    let again: Config =
        serde_json::from_value(value(&config)).expect("what was read is read again");
    again.check().expect("what was read can be used");
    assert_eq!(value(&again), value(&config));
    let _ = format!("{config:?}");
    true
}

fn is_kept_secret(key: &str, text: &str) -> bool {
    let value = serde_json::Value::from(format!("{SECRET}{text}")).to_string();
    // JSON's strings are TOML's, but that TOML escapes one character more.
    let value = value.replace('\u{7f}', "\\u007f");
    match read(&format!("{key} = {value}")) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains(SECRET) || key != "store.url");
            true
        }
        Err(error) => {
            assert!(
                !error.to_string().contains(SECRET),
                "the error repeats a value: {error}"
            );
            false
        }
    }
}

/// Puts a digest of its own in the place of each placeholder, which is refused as it stands.
fn fill_placeholders(file: &str) -> String {
    let mut filled = String::new();
    for (number, part) in file.split(&"0".repeat(64)).enumerate() {
        if number > 0 {
            filled += &format!("{number:064x}");
        }
        filled += part;
    }
    filled
}

/// A whole file, and each key with a value that is not its own.
pub fn seeds() -> Vec<Seed> {
    let file = fill_placeholders(include_str!("../../deploy/portcullis.toml"));
    let callers = "[[callers]]\nname = 'a'\nbearer_sha256 = '00'\nroles = ['login']\n";
    let mut seeds = vec![
        Seed::good("deployed", with_mode(0, &file)),
        Seed::good("empty", with_mode(0, "")),
        Seed::good(
            "es256",
            with_mode(
                0,
                "keys.algorithm = 'ES256'\nlog.poll_interval = '1s 500ms'\n",
            ),
        ),
        Seed::bad("unknown", with_mode(0, "[server]\nno_such_key = 1\n")),
        Seed::bad("callers", with_mode(0, callers)),
        Seed::bad(
            "times",
            with_mode(0, "keys.activation_delay = '99999999999999999years'\n"),
        ),
        Seed::bad(
            "counts",
            with_mode(0, "server.calls_max = 9223372036854775807\n"),
        ),
        Seed::bad("nameless", with_mode(0, "[\"\"]\n")),
        Seed::bad("nested", with_mode(0, format!("a = {}", "[".repeat(200)))),
    ];
    for (index, key) in (8_u8..).zip(KEYS) {
        seeds.push(Seed::bad(
            format!("secret-{key}"),
            with_mode(index, "\n\"'\\é"),
        ));
    }
    seeds
}
