//! One thing that was checked.

use serde::Serialize;

use crate::{
    failure::Result,
    output::{Record, document::Document, text::visible},
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Good,
    /// It works, and may not be meant.
    Warning,
    Failed,
    /// It could not be checked with the given options.
    Skipped,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// The result of the check, in a sentence.
    pub(crate) detail: String,
    /// The remedy, in a sentence.
    pub(crate) hint: Option<String>,
    #[serde(skip)]
    pub(crate) colours: bool,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, detail: impl AsRef<str>) -> Self {
        Self {
            check,
            verdict,
            // Details quote file names and the words of servers.
            detail: visible(detail.as_ref()).into_owned(),
            hint: None,
            colours: false,
        }
    }

    pub(crate) fn good(check: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(check, Verdict::Good, detail)
    }

    pub(crate) fn warning(check: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(check, Verdict::Warning, detail)
    }

    pub(crate) fn failed(check: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(check, Verdict::Failed, detail)
    }

    /// A check that did not run, and the input that it needs.
    pub(crate) fn skipped(check: &'static str, hint: impl AsRef<str>) -> Self {
        Self::new(check, Verdict::Skipped, "not checked").hint(hint)
    }

    pub(crate) fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(visible(hint.as_ref()).into_owned());
        self
    }

    fn sign(&self) -> String {
        let (sign, colour) = match self.verdict {
            Verdict::Good => ("✓", anstyle::AnsiColor::Green),
            Verdict::Warning => ("!", anstyle::AnsiColor::Yellow),
            Verdict::Failed => ("✗", anstyle::AnsiColor::Red),
            Verdict::Skipped => ("–", anstyle::AnsiColor::BrightBlack),
        };
        // Without a terminal the bare sign, so that a script can compare it.
        if !self.colours {
            return sign.to_owned();
        }
        let style = anstyle::Style::new().fg_color(Some(colour.into()));
        format!("{style}{sign}{style:#}")
    }
}

impl Record for Finding {
    const COLUMNS: &'static [&'static str] = &["check", "found", "hint"];

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{} {}", self.sign(), self.check),
            self.detail.clone(),
            self.hint.clone().unwrap_or_default(),
        ]
    }

    fn name(&self) -> String {
        // One word without spaces, which a shell passes on as one argument.
        let verdict = format!("{:?}", self.verdict).to_lowercase();
        format!("{}={verdict}", self.check.replace(' ', "-"))
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}
