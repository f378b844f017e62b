//! Numbers in the digits of a language.

use std::cell::RefCell;

use icu_decimal::{DecimalFormatter, input::Decimal};

use crate::locale::Locale;

thread_local! {
    // A formatter may not leave its thread, and costs more to make than to use.
    static FORMATTERS: RefCell<[Option<DecimalFormatter>; 4]> = const {
        RefCell::new([None, None, None, None])
    };
}

/// A whole number, with the digits and the grouping of the language.
pub(crate) fn format(locale: Locale, number: i64) -> String {
    // Nothing inside calls this function again, so the cell is never borrowed twice.
    FORMATTERS.with_borrow_mut(|formatters| {
        let slot = &mut formatters[locale as usize];
        if slot.is_none() {
            *slot = formatter(locale);
        }
        match slot {
            Some(formatter) => formatter.format_to_string(&Decimal::from(number)),
            // The data of all languages is compiled in, so this would be a defect. Plain digits are
            // still right.
            None => number.to_string(),
        }
    })
}

fn formatter(locale: Locale) -> Option<DecimalFormatter> {
    let language: icu_locale_core::Locale = locale.tag().parse().ok()?;
    DecimalFormatter::try_new((&language).into(), Default::default()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_own_digits_and_grouping() {
        assert_eq!(format(Locale::English, 1_234_567), "1,234,567");
        assert_eq!(format(Locale::Spanish, 1_234_567), "1.234.567");
        assert_eq!(format(Locale::Estonian, 1_234_567), "1\u{a0}234\u{a0}567");
        // Arabic without a country has the digits of Europe in the data of Unicode.
        assert_eq!(format(Locale::Arabic, 1_234), "1,234");
        assert_eq!(format(Locale::English, -5), "-5");
    }
}
