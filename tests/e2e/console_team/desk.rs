//! An administrator at the console, as a browser without scripts: it follows links, fills in forms and presses buttons.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use portcullis_contract::v1::{self, UserRole as Role};
use portcullis_tests::{
    authority::{LOGIN, TestAuthority, sign_in},
    console::{COOKIE, TestConsole},
    visitor::Visit,
};

/// An authority with a console before it.
pub(super) struct Desk {
    pub(super) authority: TestAuthority,
    pub(super) console: TestConsole,
}

impl Desk {
    pub(super) async fn new() -> Self {
        let authority = TestAuthority::sqlite().await;
        let console = TestConsole::start(&authority).await;
        Self { authority, console }
    }

    /// Signs a person in with these roles.
    pub(super) async fn person(&self, id: &str, roles: &[Role]) -> Browser {
        self.open(person(id, [id, "", ""], roles)).await
    }

    /// Signs a person in.
    pub(super) async fn open(&self, request: v1::CreateSessionRequest) -> Browser {
        let created = self.authority.sessions(LOGIN).create_session(request).await;
        let created = created.expect("a sign-in").into_inner();
        Browser {
            console: self.console.config.server.listen,
            token: created.access_token.clone(),
            session: created.session.expect("a session").id,
        }
    }
}

/// A request to sign a person in: the sign-in name, the given name and the family name.
pub(super) fn person(id: &str, names: [&str; 3], roles: &[Role]) -> v1::CreateSessionRequest {
    let [user_name, given_name, family_name] = names.map(str::to_owned);
    v1::CreateSessionRequest {
        user: Some(v1::SessionUser {
            id: id.to_owned(),
            user_name,
            given_name,
            family_name,
            email: format!("{}@example.com", user_name_of(id)),
            roles: Some(v1::UserRoles {
                roles: roles.iter().map(|role| (*role).into()).collect(),
            }),
        }),
        ..sign_in(id)
    }
}

fn user_name_of(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A time of the contract, so many seconds ago.
pub(super) fn ago(seconds: u64) -> Option<prost_types::Timestamp> {
    Some((SystemTime::now() - Duration::from_secs(seconds)).into())
}

/// A person's browser.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) console: std::net::SocketAddr,
    pub(super) token: String,
    pub(super) session: String,
}

/// A page that a browser has open.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// Where the browser is now.
    pub(super) address: String,
    /// Where it would go on. Empty: nowhere.
    pub(super) location: String,
    pub(super) text: String,
}

impl Browser {
    /// Opens an address, and follows redirects within the console.
    pub(super) async fn get(&self, address: &str) -> Page {
        let page = self.send(Visit::get(address), address).await;
        self.follow(page).await
    }

    /// Presses a button: sends the form with this action, changed as `fields` say, and follows the redirect.
    pub(super) async fn press(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.submit(page, action, fields).await;
        self.follow(answer).await
    }

    /// Sends a form, and does not follow the redirect.
    pub(super) async fn submit(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut sent = page.form(action);
        // A field that is given takes the place of the one of the page, except that boxes may be ticked several times.
        for (name, _) in fields {
            if !BOXES.contains(name) {
                sent.retain(|(other, _)| other != name);
            }
        }
        let given = fields.iter();
        sent.extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(action, &sent).await
    }

    /// Sends these fields.
    pub(super) async fn post(&self, address: &str, fields: &[(String, String)]) -> Page {
        let mut visit = Visit::new("POST", address)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        visit.body = Some(Bytes::from(encoded(fields)));
        self.send(visit, address).await
    }

    /// Follows redirects within the console.
    pub(super) async fn follow(&self, page: Page) -> Page {
        let mut page = page;
        while page.location.starts_with('/') {
            let address = page.location.clone();
            page = self.send(Visit::get(&address), &address).await;
        }
        page
    }

    async fn send(&self, visit: Visit, address: &str) -> Page {
        let visit = visit.header("cookie", format!("{COOKIE}={}", self.token));
        let answer = visit.http1(self.console).await.expect("an answer");
        Page {
            status: answer.status,
            address: address.to_owned(),
            location: answer.header("location").unwrap_or_default().to_owned(),
            text: answer.text(),
        }
    }
}

/// Names of fields of which several may be sent.
const BOXES: [&str; 3] = ["user", "session", "role"];

fn encoded(fields: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

impl Page {
    /// The fields of a form as the page sends it when nothing is touched, without the boxes that are not ticked.
    pub(super) fn form(&self, action: &str) -> Vec<(String, String)> {
        let forms = self.text.split("<form ").skip(1);
        let form = forms
            .map(|form| form.split("</form>").next().unwrap_or_default())
            .find(|form| attribute(form, "action").as_deref() == Some(action))
            .unwrap_or_else(|| panic!("no form for {action} in {}", self.text));
        let mut fields = inputs(form);
        // Boxes of a table belong to a form elsewhere in the page.
        if let Some(id) = attribute(form, "id") {
            fields.extend(self.boxes(&id, true));
        }
        fields
    }

    /// The boxes of a form elsewhere in the page: the ticked ones, or all.
    pub(super) fn boxes(&self, form: &str, only_ticked: bool) -> Vec<(String, String)> {
        let inputs = self.text.split("<input ").skip(1);
        let inputs = inputs.map(|input| input.split('>').next().unwrap_or_default());
        let mut boxes = Vec::new();
        for input in inputs {
            let is_ticked = input.ends_with(" checked");
            if attribute(input, "form").as_deref() == Some(form) && (is_ticked || !only_ticked) {
                boxes.push(name_and_value(input));
            }
        }
        boxes
    }

    /// The addresses that the page leads to.
    pub(super) fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for attribute in [" href=\"", " action=\""] {
            let found = self.text.split(attribute).skip(1);
            links.extend(found.map(|rest| unescape(rest.split('"').next().unwrap_or_default())));
        }
        links
    }

    /// The address of the link with this text.
    pub(super) fn link(&self, text: &str) -> Option<String> {
        let end = format!(">{text}</a>");
        let before = self.text.split(&end).next()?;
        if before.len() == self.text.len() {
            return None;
        }
        let tag = before.rsplit("<a ").next()?;
        attribute(tag, "href")
    }

    /// The value of `aria-sort` of the column with this text.
    pub(super) fn sorted(&self, column: &str) -> Option<String> {
        let heads = self.text.split("<th scope=\"col\"").skip(1);
        let mut heads = heads.map(|head| head.split("</th>").next().unwrap_or_default());
        let head = heads.find(|head| head.contains(&format!(">{column}")))?;
        attribute(head, "aria-sort")
    }

    /// Whether people read this on the page.
    pub(super) fn says(&self, text: &str) -> bool {
        unescape(&self.text).contains(text)
    }

    /// Fails unless people read this on the page.
    pub(super) fn must_say(&self, text: &str) {
        assert!(
            self.says(text),
            "{:?} is not on {}: {}",
            text,
            self.address,
            self.text
        );
    }
}

fn inputs(form: &str) -> Vec<(String, String)> {
    let inputs = form.split("<input ").skip(1);
    let inputs = inputs.map(|input| input.split('>').next().unwrap_or_default());
    let mut fields = Vec::new();
    for input in inputs {
        let is_box = attribute(input, "type").as_deref() == Some("checkbox");
        if !is_box || input.ends_with(" checked") {
            fields.push(name_and_value(input));
        }
    }
    fields
}

fn name_and_value(input: &str) -> (String, String) {
    let name = attribute(input, "name").expect("a name");
    (name, attribute(input, "value").unwrap_or_default())
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let begin = format!("{name}=\"");
    let tag = tag.split('>').next()?;
    let at = tag.match_indices(&begin).find(|(at, _)| {
        let before = tag[..*at].chars().next_back();
        before.is_none_or(char::is_whitespace)
    })?;
    let rest = &tag[at.0 + begin.len()..];
    Some(unescape(rest.split('"').next()?))
}

/// The text that a browser makes of markup.
pub(super) fn unescape(text: &str) -> String {
    let text = text.replace("&#60;", "<").replace("&#62;", ">");
    let text = text.replace("&#34;", "\"").replace("&#39;", "'");
    text.replace("&#38;", "&")
}

/// A text of an address, decoded.
pub(super) fn decoded(address: &str) -> String {
    percent_decode_str(address).decode_utf8_lossy().into_owned()
}
