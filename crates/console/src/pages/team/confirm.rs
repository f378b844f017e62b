//! Pages that ask before something ends. They show the sessions, and take the reason and the text for the user.

use std::collections::BTreeSet;

use askama::Template;
use portcullis_contract::v1;

use super::{
    controls::{Field, mark_wrong},
    desk::{Desk, NamedUser, Tab, TeamFrame, render_form},
    rows::SessionRow,
    search::WrongFields,
    searching::Column,
};
use crate::{
    page::{Frame, Page},
    problem::Problem,
};

/// The longest reason and message, in bytes. A browser counts characters, so the authority has the last word.
const WORDS_BYTES_MAX: usize = 1_024;

/// The question of a page.
pub(super) struct Question {
    pub(super) tab: Tab,
    pub(super) title: String,
    /// The effect of the change.
    pub(super) what: String,
    pub(super) warnings: Vec<String>,
    /// None: the change ends no session.
    pub(super) preview: Option<v1::Preview>,
    /// The conditions of a search.
    pub(super) conditions: Vec<String>,
    pub(super) users: Vec<NamedUser>,
    /// Whether the change can be made. Without it the page has no form.
    pub(super) is_possible: bool,
    /// The form's address.
    pub(super) action: String,
    pub(super) hidden: Vec<(&'static str, String)>,
    /// Fields before the reason.
    pub(super) fields: Vec<Field>,
    /// The entered texts for the audit trail and for the user.
    pub(super) told: Told,
    /// Whether the page asks for a text for the user.
    pub(super) asks_message: bool,
    /// The choice to disable as well. None: there is none.
    pub(super) disable: Option<bool>,
    /// The words of the button.
    pub(super) confirm: String,
    /// Where the way back leads.
    pub(super) back: String,
    pub(super) wrong: WrongFields,
}

/// The words that go with a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) reason: String,
    pub(super) user_message: String,
}

impl Told {
    pub(super) fn new(reason: &str, user_message: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            user_message: user_message.to_owned(),
        }
    }
}

/// The sessions that will end, as a template draws them.
pub(super) struct PreviewView {
    pub(super) count: String,
    pub(super) columns: Vec<Column>,
    pub(super) sample: Vec<SessionRow>,
}

#[derive(Template)]
#[template(path = "team/confirm.html")]
struct ConfirmPage {
    page: Frame,
    team: TeamFrame,
    preview: Option<PreviewView>,
    fields: Vec<Field>,
    shows_users: bool,
    question: Question,
}

impl Question {
    /// A question about a change in a page of the team, with nothing entered.
    pub(super) fn new(desk: &Desk<'_>, tab: Tab, title: String, what: &str) -> Self {
        Self {
            tab,
            title,
            what: desk.words().text(what),
            warnings: Vec::new(),
            preview: None,
            conditions: Vec::new(),
            users: Vec::new(),
            is_possible: true,
            action: String::new(),
            hidden: Vec::new(),
            fields: Vec::new(),
            told: Told::default(),
            asks_message: true,
            disable: None,
            confirm: String::new(),
            back: String::new(),
            wrong: Vec::new(),
        }
    }

    /// The page.
    pub(super) fn ask(mut self, desk: &Desk<'_>) -> Result<Page, Problem> {
        let mut fields = std::mem::take(&mut self.fields);
        fields.push(reason_field(desk, &self.told.reason));
        if self.asks_message {
            fields.push(message_field(desk, &self.told.user_message));
        }
        mark_wrong(desk.words(), &mut fields, &self.wrong);
        let preview = self.preview.take();
        let page = ConfirmPage {
            page: desk.frame(),
            team: desk.team(self.tab),
            preview: preview.map(|preview| PreviewView::of(desk, &preview)),
            fields,
            shows_users: true,
            question: self,
        };
        render_form(&page, &page.question.wrong)
    }
}

impl PreviewView {
    fn of(desk: &Desk<'_>, preview: &v1::Preview) -> Self {
        let id = if preview.capped {
            "team-preview-capped"
        } else {
            "team-preview"
        };
        let sample = preview.sample.iter();
        Self {
            count: desk.words().with(id, [("count", preview.sessions)]),
            columns: columns(desk),
            sample: sample
                .map(|session| SessionRow::of(desk, session))
                .collect(),
        }
    }
}

/// The field of the reason, which the audit trail keeps.
pub(super) fn reason_field(desk: &Desk<'_>, reason: &str) -> Field {
    let words = desk.words();
    Field {
        label: words.text("team-reason"),
        hint: words.text("team-reason-hint"),
        is_required: true,
        ..words_field("reason", reason)
    }
}

fn message_field(desk: &Desk<'_>, message: &str) -> Field {
    let words = desk.words();
    Field {
        label: words.text("team-message"),
        hint: words.text("team-message-hint"),
        ..words_field("user_message", message)
    }
}

fn words_field(name: &'static str, value: &str) -> Field {
    Field {
        id: format!("field-{name}"),
        name,
        kind: "text",
        value: value.to_owned(),
        length_max: WORDS_BYTES_MAX,
        ..Field::default()
    }
}

fn columns(desk: &Desk<'_>) -> Vec<Column> {
    let ids = [
        "team-column-user",
        "team-column-device",
        "team-column-place",
        "team-column-address",
        "team-column-signed-in",
        "team-column-last-active",
        "team-column-state",
    ];
    ids.map(|id| Column::plain(desk.words().text(id))).into()
}

/// Lines without repetitions, in their order.
pub(super) fn distinct(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for line in lines {
        let line = line.trim();
        if !line.is_empty() && seen.insert(line.to_owned()) {
            distinct.push(line.to_owned());
        }
    }
    distinct
}
