//! The position of a page in a list, as bytes: the values of the columns that the list is ordered by.

use super::value::Value;
use crate::StoreError;
use portcullis_domain::PageCursor;

/// Encodes values.
pub(super) fn write(values: &[Value]) -> PageCursor {
    // None is null, because the columns that a list is ordered by are never null.
    let mut bytes = Vec::new();
    for value in values {
        let (kind, content) = match value {
            Value::Int(number) => (b'i', number.unwrap_or_default().to_be_bytes().to_vec()),
            Value::Text(text) => (b't', text.clone().unwrap_or_default().into_bytes()),
            Value::Blob(blob) => (b'b', blob.clone().unwrap_or_default()),
        };
        let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
        bytes.push(kind);
        bytes.extend(length.to_be_bytes());
        bytes.extend(content);
    }
    PageCursor(bytes)
}

/// Decodes values of the same kinds as `first`, which is the beginning of the list. Without a cursor the page begins
/// there.
pub(super) fn read<const N: usize>(
    cursor: Option<&PageCursor>,
    first: [Value; N],
) -> Result<[Value; N], StoreError> {
    let Some(PageCursor(bytes)) = cursor else {
        return Ok(first);
    };
    let values = parse(bytes).ok_or_else(foreign)?;
    let values: [Value; N] = values.try_into().map_err(|_| foreign())?;
    // A cursor of another order would bind a text where the statement expects a number, and fail in
    // the engine.
    for (value, first) in values.iter().zip(&first) {
        if std::mem::discriminant(value) != std::mem::discriminant(first) {
            return Err(foreign());
        }
    }
    Ok(values)
}

fn foreign() -> StoreError {
    StoreError::Internal("a cursor of another list".into())
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let length = u16::from_be_bytes([*high, *low]);
        let (content, rest) = rest.split_at_checked(length.into())?;
        values.push(match kind {
            b'i' => i64::from_be_bytes(content.try_into().ok()?).into(),
            b't' => String::from_utf8(content.to_vec()).ok()?.into(),
            b'b' => content.into(),
            _ => return None,
        });
        bytes = rest;
    }
    bytes.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_by_its_own_list_only() {
        let first = [Value::from(0_i64), Value::from(""), Value::from(&[][..])];
        let values = [
            Value::from(-7_i64),
            Value::from("Éa\u{0}"),
            Value::from(&[0, 255][..]),
        ];
        let cursor = write(&values);
        assert_eq!(read(Some(&cursor), first.clone()).expect("its own"), values);
        assert_eq!(read(None, first.clone()).expect("the beginning"), first);
        assert!(read(Some(&cursor), [Value::from(0_i64)]).is_err());
        assert!(
            read(
                Some(&cursor),
                [Value::from(""), Value::from(""), Value::from("")]
            )
            .is_err()
        );
        for length in 0..cursor.0.len() {
            assert!(
                read(
                    Some(&PageCursor(cursor.0[..length].to_vec())),
                    first.clone()
                )
                .is_err(),
                "{length}"
            );
        }
    }
}
