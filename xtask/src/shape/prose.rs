//! Prose: the number of comments, and the first words of documentation.

use super::{Source, per, percent};

/// Words that begin a riddle and not a statement.
const FUNCTION_WORDS: [&str; 12] = [
    "what", "who", "whom", "whose", "which", "of", "where", "whether", "how", "as", "as if", "for",
];

/// Comments and documentation of some files.
#[derive(Default)]
pub(super) struct Prose {
    code_lines: usize,
    why_lines: usize,
    documented: usize,
    begin_with_function_word: usize,
    contain_what_or_who: usize,
}

impl Prose {
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut prose = Self::default();
        for source in sources {
            prose.read(&source.text);
        }
        prose
    }

    pub(super) fn print(&self) {
        println!("lines of code                       {:>7}", self.code_lines);
        println!(
            "why-comments per 1,000 lines        {:>7.1}",
            per(self.why_lines, self.code_lines, 1000.0)
        );
        println!("doc comments                        {:>7}", self.documented);
        println!(
            "  begin with a function word, %     {:>7.1}",
            percent(self.begin_with_function_word, self.documented)
        );
        println!(
            "  contain what or who, %            {:>7.1}",
            percent(self.contain_what_or_who, self.documented)
        );
    }

    /// Reads a file up to the module of its tests.
    fn read(&mut self, text: &str) {
        let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let mut doc = String::new();
        for line in product.lines().map(str::trim) {
            let doc_line = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"));
            if let Some(words) = doc_line {
                doc.push_str(words);
                doc.push(' ');
                continue;
            }
            self.end_doc(&mut doc);
            if line.starts_with("//") {
                self.why_lines += 1;
            } else if !line.is_empty() {
                self.code_lines += 1;
            }
        }
        self.end_doc(&mut doc);
    }

    fn end_doc(&mut self, doc: &mut String) {
        let words: Vec<String> = doc
            .split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        doc.clear();

        let Some(first) = words.first() else {
            return;
        };
        self.documented += 1;
        if FUNCTION_WORDS.contains(&first.as_str()) {
            self.begin_with_function_word += 1;
        }
        if words.iter().any(|word| word == "what" || word == "who") {
            self.contain_what_or_who += 1;
        }
    }
}
