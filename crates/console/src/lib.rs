//! The Portcullis console: the pages on which people see and end their sessions, and administrators those of their team.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_console::{Config, Console};
//!
//! let config = Config::read_file("console.toml".as_ref())?;
//! let console = Console::start(&config).await?;
//! println!("{}", console.address());
//! console.shut_down().await;
//! # Ok(()) }
//! ```
//!
//! # The promise
//!
//! The console holds no credential for its calls. An embedded [validator](portcullis_validator) admits the session cookie
//! that the application's sign-in has set, and every call to the authority carries that person's own token. So a page can
//! do no more than its person may, and the audit trail names the person.
//!
//! # The rooms
//!
//! - `admission` and `person`: whose request it is. `forms`: requests that change something, checked for forgery.
//! - `authority`: the calls. `problem`: the kinds of errors. `problem_page`: their page, in the reader's language.
//! - `page`, `words`, `times`, `numbers`, `locale`: the parts of every page.
//! - `seal`: values in a page's address, readable for the console alone.
//! - `security`: the headers of every answer. `assets`: styles and scripts, by their hash.
//! - `pages`: a room a subject. Each works without scripts.

mod admission;
mod assets;
mod authority;
mod config;
mod console;
mod cookies;
mod describe;
mod done;
mod form_key;
mod forms;
mod live_receipts;
mod locale;
mod numbers;
mod page;
mod pages;
mod person;
mod preferences;
mod problem;
mod problem_page;
mod reader;
mod receipts;
mod seal;
mod security;
mod state;
mod times;
mod words;

pub use portcullis_serving::config::ConfigError;
pub use portcullis_validator::settings::{Secret, Settings};

pub use self::{
    config::{Config, LimitsConfig, ServerConfig, SessionConfig},
    console::{Console, StartError},
};
