//! `ListDeadLetters`, `RetryDeadLetters` and `DropDeadLetters`: their fields and pages.

use portcullis_contract::{id::EventId, v1};

use crate::{
    api::grpc::{lists::Pages, parse::Fields},
    app::{App, AppError, Caller, dead_letters::LETTERS_MAX},
    domain::{DeadLetter, DeadLetterId, PageCursor},
};

/// The bytes of a letter's name in a cursor. The name of the export follows.
const NAME_BYTES: usize = 20;

/// The list that a request asks for.
pub(super) struct AskedLetters {
    pub(super) export: Option<String>,
    pub(super) page_size: u32,
}

/// A position in the list: the last letter of a page.
pub(super) struct LetterPosition {
    pub(super) export: String,
    pub(super) letter: DeadLetterId,
}

/// The letters that a change is about.
pub(super) struct NamedLetters {
    pub(super) export: String,
    /// Empty: the next ones.
    pub(super) letters: Vec<DeadLetterId>,
}

pub(super) fn parse_list(message: &v1::ListDeadLettersRequest) -> Result<AskedLetters, AppError> {
    let mut fields = Fields::default();
    let export = fields.text::<64>("export", &message.export);
    let page_size = fields.page_size(message.page_size);
    let export = (!export.is_empty()).then_some(export);
    fields.finish(AskedLetters { export, page_size })
}

pub(super) fn pages(app: &App, caller: &Caller, asked: &AskedLetters) -> Pages {
    Pages::new(
        app,
        caller,
        "ListDeadLetters",
        &format!("{:?}", asked.export),
    )
}

pub(super) fn position(pages: &Pages, token: &str) -> Result<Option<LetterPosition>, AppError> {
    let Some(PageCursor(bytes)) = pages.after(token)? else {
        return Ok(None);
    };
    let read = read_cursor(&bytes).ok_or(AppError::PageToken)?;
    Ok(Some(read))
}

fn read_cursor(bytes: &[u8]) -> Option<LetterPosition> {
    let (name, export) = bytes.split_first_chunk::<NAME_BYTES>()?;
    let (event, ordinal) = name.split_first_chunk::<16>()?;
    Some(LetterPosition {
        export: String::from_utf8(export.to_vec()).ok()?,
        letter: DeadLetterId {
            event: EventId::from_bytes(*event),
            ordinal: u32::from_be_bytes(ordinal.try_into().ok()?),
        },
    })
}

pub(super) fn cursor(letter: &DeadLetter) -> PageCursor {
    let ordinal = letter.id.ordinal.to_be_bytes();
    let name = [&letter.id.event.to_bytes()[..], &ordinal].concat();
    PageCursor([&name[..], letter.export.as_bytes()].concat())
}

/// Reads the letters of a change. None: a field is wrong.
pub(super) fn parse_change(
    fields: &mut Fields,
    export: &str,
    names: &[v1::DeadLetterName],
) -> Option<NamedLetters> {
    let export = fields.required_text::<64>("export", export);
    if names.len() > LETTERS_MAX {
        fields.wrong("letters", format!("must be at most {LETTERS_MAX}"));
        return None;
    }
    let mut letters = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        match name.event_id.parse::<EventId>() {
            Ok(event) => letters.push(DeadLetterId {
                event,
                ordinal: name.ordinal,
            }),
            Err(_) => {
                let field = format!("letters[{index}].event_id");
                fields.wrong(&field, "must be an event id (evt_ and 26 characters)");
            }
        }
    }
    Some(NamedLetters { export, letters })
}
