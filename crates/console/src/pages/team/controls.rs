//! Controls of forms, as templates draw them.

use crate::words::Words;

/// A field of a form: a text, or a choice.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) name: &'static str,
    pub(super) label: String,
    /// The type of the input.
    pub(super) kind: &'static str,
    pub(super) value: String,
    pub(super) hint: String,
    pub(super) error: Option<String>,
    pub(super) length_max: usize,
    pub(super) is_required: bool,
    /// Not empty: a choice.
    pub(super) options: Vec<Choice>,
}

/// One of several values.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_selected: bool,
}

impl Field {
    /// A field of text. Its label is the word `team-field-…`.
    pub(super) fn text(words: &Words, name: &'static str, value: &str) -> Self {
        Self {
            id: format!("field-{name}"),
            name,
            label: words.text(field_label(name)),
            kind: "text",
            value: value.to_owned(),
            length_max: super::search::FIELD_LENGTH_MAX,
            ..Self::default()
        }
    }

    /// A choice among numbers of the contract.
    pub(super) fn choice(
        words: &Words,
        name: &'static str,
        chosen: i32,
        options: Vec<(i32, String)>,
    ) -> Self {
        // A choice is a text field with options: the template draws a list as soon as there are
        // any.
        let mut field = Self::text(words, name, "");
        for (value, label) in options {
            field.options.push(Choice {
                value: value.to_string(),
                label,
                is_selected: value == chosen,
            });
        }
        field
    }

    /// A choice among names.
    pub(super) fn named_choice(
        words: &Words,
        name: &'static str,
        chosen: &str,
        options: &[(&str, &str)],
    ) -> Self {
        let mut field = Self::text(words, name, "");
        for (value, label) in options {
            field.options.push(Choice {
                value: (*value).to_owned(),
                label: words.text(label),
                is_selected: *value == chosen,
            });
        }
        field
    }

    pub(super) fn time(words: &Words, name: &'static str, value: &str) -> Self {
        Self::text(words, name, value).of_kind("datetime-local")
    }

    pub(super) fn day(words: &Words, name: &'static str, value: &str) -> Self {
        Self::text(words, name, value).of_kind("date")
    }

    fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn hinted(self, hint: String) -> Self {
        Self { hint, ..self }
    }

    /// Whether the browser may hold it to a length. It does for text only.
    pub(super) fn has_length(&self) -> bool {
        self.kind == "text"
    }

    /// Whether a text stands under the field.
    pub(super) fn is_described(&self) -> bool {
        self.error.is_some() || !self.hint.is_empty()
    }
}

/// The words of a field, by the name that it has in the contract.
pub(super) fn field_label(name: &str) -> &'static str {
    match name {
        "person_name" => "team-field-person-name",
        "email" => "team-field-email",
        "network" => "team-field-network",
        "country_code" => "team-field-country-code",
        "device_type" => "team-field-device-type",
        "state" => "team-field-state",
        "end_cause" => "team-field-end-cause",
        "signed_in_after" => "team-field-signed-in-after",
        "signed_in_before" => "team-field-signed-in-before",
        "started_after" => "team-field-started-after",
        "started_before" => "team-field-started-before",
        "last_active_after" => "team-field-last-active-after",
        "last_active_before" => "team-field-last-active-before",
        "active_addresses_min" => "team-field-active-addresses-min",
        "shown" => "team-field-shown",
        _ => "team-field-user-name",
    }
}

/// Adds to each field without a valid value the sentence about valid ones.
pub(super) fn mark_wrong(words: &Words, fields: &mut [Field], wrong: &[String]) {
    for field in fields {
        // A field may say better by itself what is wrong with it.
        if field.error.is_none() && wrong.iter().any(|name| name == field.name) {
            field.error = Some(words.text(wrong_id(field.name)));
        }
    }
}

fn wrong_id(name: &str) -> &'static str {
    match name {
        "network" => "team-wrong-network",
        "country_code" => "team-wrong-country-code",
        "active_addresses_min" => "team-wrong-active-addresses-min",
        "reason" => "team-wrong-reason",
        "user_message" => "team-wrong-message",
        "user_ids" => "team-wrong-users",
        name if name.ends_with("_after") || name.ends_with("_before") => "team-wrong-time",
        _ => "team-wrong-name",
    }
}
