//! Forms: the parameters of a request, each at most once.

use http::{HeaderMap, header::CONTENT_TYPE};

use crate::app::AppError;

/// The most parameters of a form.
const PARAMETERS_MAX: usize = 32;

/// The parameters of a request. Unknown ones are ignored (RFC 6749, section 3.2).
pub(in crate::api::http) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// When it is not a form, or names a parameter twice: another reader in between could have taken the other value.
    pub(in crate::api::http) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, AppError> {
        if !is_form(headers) {
            let problem = "must be application/x-www-form-urlencoded";
            return Err(AppError::invalid("content-type", problem));
        }
        let pairs: Vec<(String, String)> = serde_html_form::from_bytes(body)
            .map_err(|_| AppError::invalid("", "the form does not decode"))?;
        if pairs.len() > PARAMETERS_MAX {
            let problem = format!("the form must have at most {PARAMETERS_MAX} parameters");
            return Err(AppError::invalid("", problem));
        }
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(AppError::invalid("", "the form names a parameter twice"));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter. A parameter without a value is treated as if it were omitted (RFC 6749, section 3.2).
    pub(in crate::api::http) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(named, _)| named == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// When it is missing.
    pub(in crate::api::http) fn required(&self, name: &str) -> Result<&str, AppError> {
        self.get(name)
            .ok_or_else(|| AppError::invalid(name, "required"))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let text = kind.to_str().unwrap_or_default();
    // Parameters such as a charset may follow.
    let kind = text.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Result<Form, AppError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().expect("a header"))]);
        Form::read(&headers, body.as_bytes())
    }

    #[test]
    fn a_form_is_decoded_and_each_parameter_stands_once() {
        let kind = "application/x-www-form-urlencoded;charset=UTF-8";
        let form = read(kind, "token=a%2Bb+c&hint=&x=1").expect("a form");
        assert_eq!(form.get("token"), Some("a+b c"));
        assert_eq!((form.get("hint"), form.get("y")), (None, None));
        assert!(form.required("hint").is_err());

        let many = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=1&"));
        for refused in ["token=a&token=a", "token=a&%74oken=b"] {
            assert!(read(kind, refused).is_err(), "{refused}");
        }
        assert!(read(kind, &many.collect::<String>()).is_err());
        assert!(read("application/json", "token=a").is_err());
        assert!(Form::read(&HeaderMap::new(), b"token=a").is_err());
    }
}
