//! Sessions beyond the number that a user may have.

use portcullis_contract::id::{Serial, TenantId, UserId};

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
    /// A user, and the serial of the newest session that is too many.
    SurplusColumns { user_id, serial }
}

/// Sessions may have opened in another order than that of their ids, which authorities draw by their own clocks. Of the
/// sessions that are newest by id, this many more than the limit are put in the order in which they opened.
const OUT_OF_ORDER_MAX: u32 = 64;

/// Finds the users with more active sessions than `limits` allow, each with the serial of the newest session that is too
/// many: that one and all that opened before it are. Sign-ins end sessions in the same order.
pub(in crate::sql) async fn surplus(
    db: &mut Db,
    tenant: &TenantId,
    users: &[String],
    limits: &Limits,
) -> Result<Vec<(UserId, Serial)>, StoreError> {
    let Some(most) = limits.sessions_max else {
        return Ok(Vec::new());
    };
    let statement = surplus_statement(&db.dialect, tenant, users, limits, most);
    let columns = SurplusColumns::AT;
    let mut surplus = Vec::new();
    for row in db.run(&statement).await? {
        if row.optional_int(columns.serial)?.is_some() {
            let user = row.user_id(columns.user_id)?;
            surplus.push((user, row.serial(columns.serial)?));
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
    let read_max = params.bind(i64::from(most.saturating_add(OUT_OF_ORDER_MAX)));
    let most = params.bind(i64::from(most));
    let now = now(dialect);
    // A session that breaks another rule will end for that, and does not count.
    let mut conditions = vec![active(dialect, &tenant)];
    for rule in limits.rules() {
        conditions.push(keeps_rule(&mut params, &now, &rule));
    }
    let with = params.with_user_ids(users);
    // The user is a range, not an equality: so the order is that of the index by user, and LIMIT
    // stops after a few rows.
    let newest = format!(
        "(SELECT n.serial FROM (SELECT s.serial AS serial FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} \
             AND s.user_id >= v.user_id AND s.user_id <= v.user_id AND {conditions} \
             ORDER BY s.user_id DESC, s.session_id DESC LIMIT {read_max}) n \
         ORDER BY n.serial DESC LIMIT 1 OFFSET {most})",
        conditions = conditions.join(" AND "),
    );
    let columns = SurplusColumns {
        user_id: "v.user_id",
        serial: newest.as_str(),
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
