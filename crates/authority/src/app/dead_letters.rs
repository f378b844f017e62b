//! Dead letters of exports of the audit trail: list them, ask for one more attempt, give them up for good.

use super::{App, AppError, ChangeOrigin};
use crate::domain::{DeadLetter, DeadLetterAnswer, DeadLetterId, Mutation};

/// The most letters that one change answers.
pub(crate) const LETTERS_MAX: usize = 100;

/// One page of a list.
pub(crate) struct DeadLetterPage {
    pub(crate) letters: Vec<DeadLetter>,
    /// Whether more follow.
    pub(crate) has_more: bool,
}

/// The outcome of one change of many.
pub(crate) struct AnsweredLetters {
    /// The letters that were there.
    pub(crate) changed: u32,
    /// The letters of the export that may still be answered so.
    pub(crate) remaining: u64,
}

/// Lists dead letters of one export, or of all, after a letter.
pub(crate) async fn list_dead_letters(
    app: &App,
    export: Option<&str>,
    after: Option<(&str, DeadLetterId)>,
    page_size: u32,
) -> Result<DeadLetterPage, AppError> {
    // One more than the page: its presence tells that there is a next page.
    let mut letters = app
        .store
        .list_dead_letters(export, after, page_size + 1)
        .await?;
    let has_more = letters.len() > page_size as usize;
    letters.truncate(page_size as usize);
    Ok(DeadLetterPage { letters, has_more })
}

/// Answers dead letters of an export: these, or without any the next ones.
pub(crate) async fn answer_dead_letters(
    app: &App,
    origin: &ChangeOrigin,
    export: &str,
    named: Vec<DeadLetterId>,
    answer: DeadLetterAnswer,
) -> Result<AnsweredLetters, AppError> {
    // Without this a repeated call would ask for the same letters again and again.
    let only_idle = answer == DeadLetterAnswer::Retry;
    let letters = match named.is_empty() {
        true => {
            let next = app
                .store
                .next_dead_letters(export, only_idle, LETTERS_MAX as u32);
            next.await?
        }
        false => named,
    };
    let mut changed = 0;
    if !letters.is_empty() {
        let mutation = Mutation::AnswerDeadLetters {
            export: export.to_owned(),
            letters,
            answer,
        };
        let (outcome, _) = app.apply_change(origin, mutation).await?;
        changed = outcome.changed;
    }
    Ok(AnsweredLetters {
        changed,
        remaining: app.store.count_dead_letters(export, only_idle).await?,
    })
}
