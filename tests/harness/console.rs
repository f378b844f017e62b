//! A real console before a real authority, and browsers of people.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_console::{Config, Console, Secret};
use portcullis_contract::v1::{self, UserRole};
use tokio::time::{Instant, sleep};

use crate::{
    authority::{GATEWAY, ISSUER, LOGIN, TENANT, TestAuthority, session_id, sign_in},
    visitor::Visit,
    wait::{DEADLINE, within},
};

/// The name of the session cookie.
pub const COOKIE: &str = "__Host-session";
/// The application's sign-in page.
pub const SIGN_IN: &str = "https://app.test/sign-in";
/// The application's page that removes its cookies.
pub const SIGN_OUT: &str = "https://app.test/sign-out";
/// The application's page for the password.
pub const ACCOUNT: &str = "https://app.test/account";

/// A running console.
pub struct TestConsole {
    console: Option<Console>,
    /// What it was started with; the address is the one it got.
    pub config: Config,
}

impl TestConsole {
    /// A console of this authority, whose gate is ready.
    pub async fn start(authority: &TestAuthority) -> Self {
        Self::with(authority, |_| {}).await
    }

    /// With settings of the test's own.
    pub async fn with(authority: &TestAuthority, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&authority.endpoint());
        change(&mut config);
        let console = Console::start(&config).await.expect("the console starts");
        within("the console's gate", console.validator().ready()).await;
        config.server.listen = console.address();
        Self {
            console: Some(console),
            config,
        }
    }

    /// A browser without cookies.
    #[must_use]
    pub fn browser(&self) -> Reader {
        Reader {
            console: self.config.server.listen,
            cookies: BTreeMap::new(),
            headers: vec![("accept-language".to_owned(), "en".to_owned())],
        }
    }

    /// The browser of a person with this access token.
    #[must_use]
    pub fn browser_of(&self, token: &str) -> Reader {
        self.browser().cookie(COOKIE, token)
    }

    /// The console itself.
    ///
    /// # Panics
    /// When it was stopped.
    #[must_use]
    pub fn console(&self) -> &Console {
        self.console.as_ref().expect("it runs")
    }

    /// Drains and ends it.
    pub async fn stop(&mut self) {
        if let Some(console) = self.console.take() {
            console.shut_down().await;
        }
    }
}

/// The settings of a console: a free port, the authority at `endpoint`.
#[must_use]
pub fn config(endpoint: &str) -> Config {
    let mut config = Config::default();
    config.server.listen.set_port(0);
    config.authority.endpoints = vec![endpoint.to_owned()];
    config.authority.bearer = Some(Secret::new(GATEWAY));
    config.authority.issuer = ISSUER.to_owned();
    config.session.sign_in_url = SIGN_IN.to_owned();
    config.session.sign_out_url = Some(SIGN_OUT.to_owned());
    config.session.account_url = Some(ACCOUNT.to_owned());
    config
}

/// A person who has signed in.
pub struct SignedIn {
    /// The access token.
    pub token: String,
    /// The id of the session.
    pub session_id: String,
}

/// Signs a person of [`TENANT`] in, with these roles.
pub async fn person(authority: &TestAuthority, id: &str, roles: &[UserRole]) -> SignedIn {
    person_with(authority, id, roles, |_| {}).await
}

/// Signs a person in, with a request of the test's own.
pub async fn person_with(
    authority: &TestAuthority,
    id: &str,
    roles: &[UserRole],
    change: impl FnOnce(&mut v1::CreateSessionRequest),
) -> SignedIn {
    let mut request = sign_in(id);
    let user = request.user.get_or_insert_default();
    user.roles = Some(v1::UserRoles {
        roles: roles.iter().map(|role| (*role).into()).collect(),
    });
    change(&mut request);
    assert_eq!(request.tenant_id, TENANT);
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("a sign-in").into_inner();
    SignedIn {
        session_id: session_id(&created),
        token: created.access_token,
    }
}

/// A browser as far as the console needs one: cookies, forms, languages.
#[derive(Clone)]
pub struct Reader {
    console: std::net::SocketAddr,
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

impl Reader {
    /// With another cookie.
    #[must_use]
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a header in each request, in place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens a page, and follows no redirect.
    pub async fn get(&mut self, path: &str) -> Page {
        let visit = self.visit(Visit::get(path));
        self.send(visit).await
    }

    /// Opens a page again and again until it answers with this status.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn get_when(&mut self, path: &str, status: StatusCode) -> Page {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let page = self.get(path).await;
            if page.status == status {
                return page;
            }
            assert!(Instant::now() < give_up, "{path}: {}", page.status);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Opens a page, and follows redirects within the console.
    pub async fn open(&mut self, path: &str) -> Page {
        let mut page = self.get(path).await;
        for _ in 0..5 {
            match page.local_redirect() {
                Some(target) => page = self.get(&target).await,
                None => return page,
            }
        }
        panic!("{path} leads in a circle");
    }

    /// Sends a form as a page of the console does, with the token of the page at `from`. Follows the redirect.
    pub async fn submit(&mut self, from: &str, to: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.open(from).await.form_token();
        let page = self.post(to, &token, fields).await;
        match page.local_redirect() {
            Some(target) => self.open(&target).await,
            None => page,
        }
    }

    /// Sends a form with a token, and follows no redirect.
    pub async fn post(&mut self, to: &str, token: &str, fields: &[(&str, &str)]) -> Page {
        self.post_from("same-origin", to, token, fields).await
    }

    /// Sends a form that the browser says a page of this site has. An empty `site` is a browser that does not say.
    pub async fn post_from(
        &mut self,
        site: &str,
        to: &str,
        token: &str,
        fields: &[(&str, &str)],
    ) -> Page {
        let mut visit = Visit::new("POST", to)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "null");
        if !site.is_empty() {
            visit = visit.header("sec-fetch-site", site);
        }
        let mut form = vec![("csrf", token)];
        form.extend(fields);
        let pairs = form.iter().map(|(name, value)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        });
        let body = pairs.collect::<Vec<_>>().join("&");
        visit.body = Some(body.into_bytes().into());
        let visit = self.visit(visit);
        self.send(visit).await
    }

    fn visit(&self, mut visit: Visit) -> Visit {
        visit.host = Some(self.console.to_string());
        for (name, value) in &self.headers {
            visit = visit.header(name, value);
        }
        if self.cookies.is_empty() {
            return visit;
        }
        let pairs = self.cookies.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        visit.header("cookie", pairs.join("; "))
    }

    async fn send(&mut self, visit: Visit) -> Page {
        let answer = visit.http1(self.console).await.expect("an answer");
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Page {
            status: answer.status,
            body: String::from_utf8(answer.body).expect("UTF-8"),
            headers: answer.headers,
        }
    }
}

/// An answer of the console.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The markup.
    pub body: String,
}

impl Page {
    /// The one value of a header; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    /// Where it leads, if that is a page of the console.
    #[must_use]
    pub fn local_redirect(&self) -> Option<String> {
        let target = self.header("location");
        (self.status.is_redirection() && target.starts_with('/')).then(|| target.to_owned())
    }

    /// The text without markup, without marks of direction, and with single spaces.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut is_markup = false;
        for character in self.body.chars() {
            match character {
                '<' => {
                    is_markup = true;
                    text.push(' ');
                }
                '>' => is_markup = false,
                '\u{2066}'..='\u{2069}' => {}
                _ if is_markup => {}
                _ => text.push(character),
            }
        }
        let text = text
            .replace("&#39;", "'")
            .replace("&#34;", "\"")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Fails, with the text of the page, unless it has these words.
    ///
    /// # Panics
    /// When it has them not.
    pub fn expect(&self, words: &str) -> &Self {
        let text = self.text();
        assert!(
            text.contains(words),
            "no {words:?} in {}: {text}",
            self.status
        );
        self
    }

    /// Fails, with the text of the page, if it has these words.
    ///
    /// # Panics
    /// When it has them.
    pub fn expect_none(&self, words: &str) -> &Self {
        let text = self.text();
        assert!(
            !text.contains(words),
            "{words:?} in {}: {text}",
            self.status
        );
        self
    }

    /// Fails unless it has this status.
    ///
    /// # Panics
    /// When it has another one.
    pub fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The token of its forms.
    ///
    /// # Panics
    /// When it has no form of a person.
    #[must_use]
    pub fn form_token(&self) -> String {
        self.field("csrf")
            .unwrap_or_else(|| panic!("no form in {}: {}", self.status, self.text()))
    }

    /// The value of a hidden field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\""))?;
        rest.split('"').next().map(str::to_owned)
    }
}
