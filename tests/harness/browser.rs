//! A browser as far as sessions need one: cookies, forms, redirects.

use std::collections::BTreeMap;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wait::within;

/// One browser on one device. A clone is another tab, with the cookies of that moment.
#[derive(Clone)]
pub struct Browser {
    /// Host and port of the application.
    address: String,
    user_agent: String,
    /// The cookies by name.
    pub cookies: BTreeMap<String, String>,
}

/// An answer of the application.
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its headers, in order; names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its text.
    pub body: String,
}

impl Page {
    /// The first header of that name; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// All headers of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let page = Self {
            status: status.expect("a status").parse().expect("a number"),
            headers: headers.collect(),
            body: body.to_owned(),
        };
        // A body in chunks would have their lengths in the text.
        assert_eq!(page.header("transfer-encoding"), "");
        page
    }
}

impl Browser {
    /// A browser without cookies.
    #[must_use]
    pub fn new(address: &str, user_agent: &str) -> Self {
        Self {
            address: address.to_owned(),
            user_agent: user_agent.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens a page.
    pub async fn get(&mut self, path: &str) -> Page {
        let page = self.send("GET", path, "", "").await;
        self.take_cookies(&page);
        page
    }

    /// Sends a form of the application's own page, and follows the redirect.
    pub async fn post(&mut self, path: &str, form: &str) -> Page {
        let own = format!("http://{}", self.address);
        let page = self.post_from(&own, path, form).await;
        if page.status == 303 {
            let target = page.header("location").to_owned();
            return self.get(&target).await;
        }
        page
    }

    /// Sends a form of a page of `origin`, and follows no redirect. An empty one sends no `Origin`.
    pub async fn post_from(&mut self, origin: &str, path: &str, form: &str) -> Page {
        let page = self.send("POST", path, origin, form).await;
        self.take_cookies(&page);
        page
    }

    /// Opens a page whose answer is lost: its cookies never arrive.
    pub async fn get_and_lose(&self, path: &str) -> Page {
        self.send("GET", path, "", "").await
    }

    async fn send(&self, method: &str, path: &str, origin: &str, form: &str) -> Page {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nConnection: close\r\n",
            self.address, self.user_agent
        );
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            request += &format!("Cookie: {}\r\n", pairs.join("; "));
        }
        if !origin.is_empty() {
            request += &format!("Origin: {origin}\r\n");
        }
        if method == "POST" {
            request += "Content-Type: application/x-www-form-urlencoded\r\n";
            request += &format!("Content-Length: {}\r\n", form.len());
        }
        request += &format!("\r\n{form}");

        let what = format!("{method} {path}");
        let answer = within(&what, async {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        });
        Page::parse(&answer.await.expect("an answer"))
    }

    fn take_cookies(&mut self, page: &Page) {
        for cookie in page.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            let value = value.trim_matches('"');
            // Both ways in which an application clears a cookie.
            let is_cleared = value.is_empty() || cookie.to_ascii_lowercase().contains("max-age=0");
            if is_cleared {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
