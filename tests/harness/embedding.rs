//! An application of another origin than the console's, whose settings page has `<portcullis-sessions>`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use serde::Deserialize;
use tokio::net::TcpListener;

/// The file, as the application has copied it.
pub const COMPONENT: &str = include_str!("../../crates/console/assets/portcullis-sessions.js");

/// The test hands a token to the page by `tokenOfUser`, as an application's own code would.
const SCRIPT: &str = "document.querySelector('portcullis-sessions').token = (wanted) => window.tokenOfUser(wanted);\n";
/// A brand colour for the component.
const STYLE: &str = "body { font-family: sans-serif; } portcullis-sessions { --portcullis-accent: rgb(70, 20, 120); }\n";

/// A listener whose origin is known before the authority starts.
pub struct Application {
    listener: TcpListener,
    address: SocketAddr,
}

/// The addresses that the page needs.
struct Parts {
    authority: String,
    console: String,
}

#[derive(Deserialize)]
struct Asked {
    /// The language of the page.
    #[serde(default)]
    lang: String,
    /// Whether the page takes the component from the console.
    #[serde(default)]
    from_console: bool,
}

impl Application {
    /// Listens on a free port.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    /// The origin of its pages.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves its page until the test ends.
    pub fn serve(self, authority: &str, console: &str) {
        let parts = Parts {
            authority: authority.to_owned(),
            console: console.to_owned(),
        };
        let pages = Router::new()
            .route("/", get(page))
            .route("/sign-in", get(|| async { "sign in" }))
            .route(
                "/portcullis-sessions.js",
                get(|| file("text/javascript", COMPONENT)),
            )
            .route("/app.js", get(|| file("text/javascript", SCRIPT)))
            .route("/app.css", get(|| file("text/css", STYLE)))
            .with_state(Arc::new(parts));
        tokio::spawn(async move { axum::serve(self.listener, pages).await });
    }
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn page(State(parts): State<Arc<Parts>>, Query(asked): Query<Asked>) -> Response {
    let Parts { authority, console } = &*parts;
    let lang = match asked.lang.as_str() {
        "" => "en",
        lang => lang,
    };
    let (source, from) = match asked.from_console {
        true => (console.as_str(), format!("{console}/embed")),
        false => ("", String::new()),
    };
    let text = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n<title>Settings</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"stylesheet\" href=\"/app.css\">\n\
         <script type=\"module\" src=\"{from}/portcullis-sessions.js\"></script>\n\
         <script type=\"module\" src=\"/app.js\"></script>\n</head>\n<body>\n<main>\n<h1>Settings</h1>\n\
         <portcullis-sessions authority=\"{authority}\" sign-in=\"/sign-in\"><p>An introduction.</p></portcullis-sessions>\n\
         </main>\n</body>\n</html>\n"
    );
    let policy = format!(
        "default-src 'none'; script-src 'self' {source}; connect-src {authority}; style-src 'self'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let policy = HeaderValue::from_str(&policy).expect("a header");
    (
        [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, policy)],
        text,
    )
        .into_response()
}
