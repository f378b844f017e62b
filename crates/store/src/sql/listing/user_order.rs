//! The columns and orders that all lists of users share.

use super::{
    super::{columns::columns, cursor, users::UserColumns, value::Value},
    conditions::Params,
};
use crate::StoreError;
use portcullis_domain::{PageCursor, UserFilter, UserOrder};

columns! {
    /// The columns of a list beside those of the user. The list is ordered by `sort_key`.
    SummaryColumns after UserColumns { sessions, signed_in_us, last_active_us, active_addresses, sort_key, now_us }
}

/// The order of a list. Among equals, users come by their ids.
pub(super) struct Sort {
    /// The sort key of the list, with `u` for the users and `t` for the totals of their sessions.
    pub(super) expression: &'static str,
    first: Value,
    is_descending: bool,
}

impl Sort {
    pub(super) fn of(order: UserOrder) -> Self {
        match order {
            // A user without active sessions has no totals, and comes last.
            UserOrder::Sessions => Self::newest("COALESCE(t.sessions, 0)"),
            UserOrder::LastActive => Self::newest("COALESCE(t.last_active_us, 0)"),
            UserOrder::SignIn => Self::newest("u.signed_in_us"),
            UserOrder::UserName => Self::by_name("u.name_key"),
            UserOrder::PersonName => Self::by_name("u.person_key"),
        }
    }

    fn newest(expression: &'static str) -> Self {
        Self {
            expression,
            first: i64::MAX.into(),
            is_descending: true,
        }
    }

    fn by_name(expression: &'static str) -> Self {
        Self {
            expression,
            first: "".into(),
            is_descending: false,
        }
    }

    /// The condition of the rows from just after the cursor on.
    pub(super) fn beginning(
        &self,
        params: &mut Params,
        after: Option<&PageCursor>,
    ) -> Result<String, StoreError> {
        let [at, id] = cursor::read(after, [self.first.clone(), "".into()])?;
        let at = params.bind(at);
        let id = params.bind(id);
        let comparison = if self.is_descending { "<" } else { ">" };
        let by = self.expression;
        Ok(format!("({by}, u.user_id) {comparison} ({at}, {id})"))
    }

    /// The terms of `ORDER BY`.
    pub(super) fn order_by(&self) -> String {
        let direction = if self.is_descending { "DESC" } else { "ASC" };
        let by = self.expression;
        format!("{by} {direction}, u.user_id {direction}")
    }
}

/// The conditions of the filter on the time of the last sign-in.
pub(super) fn signed_in_conditions(params: &mut Params, filter: &UserFilter) -> Vec<String> {
    let mut conditions = Vec::new();
    let period = filter.signed_in;
    for (time, comparison) in [(period.from, ">="), (period.until, "<")] {
        if let Some(time) = time {
            let time = params.bind(time);
            conditions.push(format!("u.signed_in_us {comparison} {time}"));
        }
    }
    conditions
}
