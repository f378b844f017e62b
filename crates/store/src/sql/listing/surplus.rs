//! Sessions beyond the number that a user may have.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    super::{
        columns::columns,
        connection::{Dialect, Statement},
        db::Db,
    },
    conditions::{BY_USER, Params, active, now},
};
use crate::StoreError;
use portcullis_domain::policy::{Limits, Rule};

columns! {
    /// A user, and the newest session that is too many.
    SurplusColumns { user_id, session_id }
}

/// Finds the users with more active sessions than `limits` allow, each with the newest session that is too many: that
/// one and all older ones are.
pub(in crate::sql) async fn surplus(
    db: &mut Db,
    tenant: &TenantId,
    users: &[String],
    limits: &Limits,
) -> Result<Vec<(UserId, SessionId)>, StoreError> {
    let Some(most) = limits.sessions_max else {
        return Ok(Vec::new());
    };
    let statement = surplus_statement(&db.dialect, tenant, users, limits, most);
    let columns = SurplusColumns::AT;
    let mut surplus = Vec::new();
    for row in db.run(&statement).await? {
        if let Some(newest) = row.optional_array(columns.session_id)? {
            let user = row.user_id(columns.user_id)?;
            surplus.push((user, SessionId::from_bytes(newest)));
        }
    }
    Ok(surplus)
}

fn surplus_statement(
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[String],
    limits: &Limits,
    most: u32,
) -> Statement {
    let mut params = Params::default();
    let tenant = params.bind(tenant);
    let most = params.bind(i64::from(most));
    let now = now(dialect);
    // A session that breaks another rule will end for that, and does not count.
    let mut conditions = vec![active(dialect, &tenant)];
    for rule in limits.rules() {
        conditions.push(keeps_rule(&mut params, &now, &rule));
    }
    let with = params.with_user_ids(users);
    // The user is a range, not an equality: so the order is that of the index by user, and OFFSET
    // stops after a few rows.
    let newest = format!(
        "(SELECT s.session_id FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} \
             AND s.user_id >= v.user_id AND s.user_id <= v.user_id AND {conditions} \
             ORDER BY s.user_id DESC, s.session_id DESC LIMIT 1 OFFSET {most})",
        conditions = conditions.join(" AND "),
    );
    let columns = SurplusColumns {
        user_id: "v.user_id",
        session_id: newest.as_str(),
    };
    let sql = format!("{with}SELECT {} FROM v", columns.select());
    Statement::new(sql, params.0)
}

/// The condition that the session `s` keeps a rule: [`Rule::is_broken_by`] in SQL.
fn keeps_rule(params: &mut Params, now: &str, rule: &Rule<'_>) -> String {
    match rule {
        Rule::RequiredAcr(acrs) => {
            let acrs: Vec<_> = acrs.iter().map(|acr| params.bind(acr.as_str())).collect();
            format!("s.acr IN ({})", acrs.join(", "))
        }
        Rule::NotRemembered => "s.remember_me = 0".into(),
        Rule::LifetimeMax(longest) => {
            let longest = params.bind(*longest);
            format!("s.created_us > {now} - {longest}")
        }
        Rule::Lifetime { remembered, other } => {
            let remembered = params.bind(*remembered);
            let other = params.bind(*other);
            format!(
                "s.created_us > {now} - CASE WHEN s.remember_me <> 0 THEN {remembered} ELSE {other} END"
            )
        }
    }
}
