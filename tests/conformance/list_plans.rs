//! How lists are read: each by the index that has its order, whatever the planner believes.

use std::sync::Arc;

use portcullis_authority::{
    domain::{
        Cause, Micros, PageCursor, Profile, Selection, SessionFilter, SessionOrder, SessionState,
        UserFilter, UserOrder,
        listing::{NameFilter, Network, Period},
        names::search_parts,
    },
    store::{
        Store,
        sql::{Backend, Lane, SqlStore, Value},
    },
};
use portcullis_tests::{
    calls::open,
    given::{sign_in, tenant, user},
    place::Place,
    plans::{Plans, Statement, wrap},
};

/// Sessions that the tables are filled with.
const ROWS: i64 = 20_000;

/// A store whose statements are told, and the engine behind it.
struct World {
    store: Arc<dyn Store>,
    engine: Arc<dyn Backend>,
    plans: Plans,
    postgres: bool,
}

/// A list, and the index that it has to be taken from in order; none: what matches is gathered and sorted.
struct Case {
    name: &'static str,
    filter: SessionFilter,
    order: SessionOrder,
    ordered_by: Option<&'static str>,
}

fn case(
    name: &'static str,
    order: SessionOrder,
    ordered_by: Option<&'static str>,
    change: impl FnOnce(&mut SessionFilter),
) -> Case {
    let mut filter = SessionFilter {
        state: Some(SessionState::Active),
        ..SessionFilter::of(tenant("t"))
    };
    change(&mut filter);
    Case {
        name,
        filter,
        order,
        ordered_by,
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
fn cases() -> Vec<Case> {
    let (start, by_user, active) = (
        SessionOrder::Start,
        SessionOrder::User,
        SessionOrder::LastActive(None),
    );
    let (own, all, users) = (
        Some("sessions_by_user"),
        Some("sessions_pkey"),
        Some("sessions_by_user"),
    );
    let network = |text: &str| Network::parse(text);
    let day = Some(Micros(1_800_000_000_000_000));
    vec![
        case("own", active, None, |filter| {
            filter.user_id = Some(user("u1"));
        }),
        case("user", start, own, |filter| {
            filter.user_id = Some(user("u1"));
        }),
        case("tenant", start, all, |_| {}),
        case("by user", by_user, users, |_| {}),
        case("any state", start, all, |filter| filter.state = None),
        case("expired", start, all, |filter| {
            filter.state = Some(SessionState::Expired);
        }),
        case("revoked", start, all, |filter| {
            filter.state = Some(SessionState::Revoked);
        }),
        case("end cause", start, all, |filter| {
            (filter.state, filter.end_cause) = (None, Some(Cause::Replaced));
        }),
        case(
            "device type",
            start,
            Some("sessions_by_device_type"),
            |filter| filter.device_type = Some(1),
        ),
        case("device type by user", by_user, users, |filter| {
            filter.device_type = Some(1);
        }),
        case("country", start, Some("sessions_by_country"), |filter| {
            filter.country = Some("DE".into());
        }),
        case("country by user", by_user, users, |filter| {
            filter.country = Some("DE".into());
        }),
        case("address", start, Some("sessions_by_network"), |filter| {
            filter.network = network("10.0.0.1");
        }),
        case("network", start, None, |filter| {
            filter.network = network("10.0.0.0/30");
        }),
        case("network by user", by_user, None, |filter| {
            filter.network = network("10.0.0.0/30");
        }),
        case("large network", start, all, |filter| {
            filter.network = network("10.0.0.0/8");
        }),
        case("started", start, all, |filter| {
            filter.started = Period {
                from: day,
                until: day,
            }
        }),
        case("active", start, all, |filter| {
            filter.active = Period {
                from: day,
                until: day,
            }
        }),
        case("rare name", start, None, |filter| {
            filter.names.user_name = search_parts("name11");
        }),
        case("rare short name", start, None, |filter| {
            filter.names.person_name = search_parts("Li");
        }),
        case("rare short name by user", by_user, None, |filter| {
            filter.names.person_name = search_parts("李");
        }),
        case("two names", start, None, |filter| {
            filter.names.person_name = search_parts("Li 李");
        }),
        case("common short name", start, all, |filter| {
            filter.names.person_name = search_parts("n");
        }),
        case("common short name by user", by_user, users, |filter| {
            filter.names.person_name = search_parts("N");
        }),
        case("rare name by user", by_user, None, |filter| {
            filter.names.email = search_parts("name11");
        }),
        case("common name", start, all, |filter| {
            filter.names.person_name = search_parts("name");
        }),
        case("common name by user", by_user, users, |filter| {
            filter.names.person_name = search_parts("name");
        }),
        case("all at once", start, Some("sessions_by_user"), |filter| {
            *filter = SessionFilter {
                user_id: Some(user("u1")),
                network: network("10.0.0.0/8"),
                country: Some("DE".into()),
                device_type: Some(1),
                started: Period {
                    from: day,
                    until: day,
                },
                active: Period {
                    from: day,
                    until: day,
                },
                names: NameFilter {
                    user_name: search_parts("name"),
                    ..NameFilter::default()
                },
                ..filter.clone()
            };
        }),
    ]
}

impl World {
    async fn new(place: &Place) -> Self {
        let engine = place.engine().await;
        let (planned, plans) = wrap(Arc::clone(&engine));
        let store = SqlStore::open(planned).await.expect("the store opens");
        let store: Arc<dyn Store> = Arc::new(store);
        let profile = Profile {
            user_name: "Name".into(),
            ..Profile::default()
        };
        for user in ["u1", "u2"] {
            open(
                &*store,
                &portcullis_authority::domain::SignIn {
                    profile: profile.clone(),
                    ..sign_in("t", user)
                },
            )
            .await;
        }
        Self {
            store,
            engine,
            plans,
            postgres: !place.has_one_writer(),
        }
    }

    async fn run(&self, sql: &str) -> Vec<String> {
        let mut connection = self
            .engine
            .connection(Lane::Write)
            .await
            .expect("a connection");
        let rows = connection
            .query(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let text = |value: &Value| match value {
            Value::Text(Some(text)) => text.clone(),
            _ => String::new(),
        };
        rows.iter()
            .map(|row| row.0.iter().map(text).collect())
            .collect()
    }

    /// Fills the tables from the two sessions that are there, two thousand users and some of everything else.
    async fn grow(&self) {
        let numbers = if self.postgres {
            format!("generate_series(1, {ROWS}) AS g(n)")
        } else {
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) SELECT n FROM c) g"
            )
        };
        let id = |of: &str| match self.postgres {
            true => format!("substr(sha256({of}::text::bytea), 1, 16)"),
            false => format!("substr(next_chain(CAST({of} AS BLOB), x''), 1, 16)"),
        };
        let address = |of: &str| match self.postgres {
            true => format!(
                "decode('00000000000000000000ffff0a0000' || lpad(to_hex({of}), 2, '0'), 'hex')"
            ),
            false => format!("unhex('00000000000000000000ffff0a0000' || printf('%02x', {of}))"),
        };
        let sessions = "tenant_serial, opened_revision, expires_us, remember_me, auth_time_us, facts, acr, \
             ip, user_agent, device_id, app_name, salt, generation, active_us, created_us";
        let users = "tenant_serial, given_name, created_us, signed_in_us";
        // As `NameKeys` makes them: a mark before each word.
        let mark = if self.postgres { "chr(31)" } else { "char(31)" };
        let key =
            format!("{mark} || CASE WHEN n = 77 THEN 'li' || {mark} || '李' ELSE 'name' || n END");
        self.run(&format!(
            "INSERT INTO users (tenant_id, user_id, user_serial, user_name, family_name, email, name_key, person_key, \
                 email_key, {users}) \
             SELECT u.tenant_id, 'u' || n, 1000 + n, 'Name' || n, 'Name' || n, '', {key}, {key}, {key}, {users} \
             FROM users u, {numbers} WHERE u.user_id = 'u1' AND n BETWEEN 3 AND 2000"
        ))
        .await;
        self.run(&format!(
            "INSERT INTO sessions (tenant_id, session_id, serial, user_id, user_serial, country, device_type, network, {sessions}) \
             SELECT s.tenant_id, {id}, 1000 + n, 'u' || (3 + n % 1998), 1003 + n % 1998, \
                 CASE WHEN n % 3 = 0 THEN 'DE' ELSE 'FR' END, n % 3, {address}, {sessions} \
             FROM sessions s, {numbers} WHERE s.user_id = 'u1'",
            id = id("n"),
            address = address("n % 256"),
        ))
        .await;
        self.run(&format!(
            "INSERT INTO audit_events (event_id, ordinal, revision, at_us, tenant_id, action, target, cause, actor, \
                 via, actor_ip, reason, user_message, changed) \
             SELECT {}, 0, n, n, 't', 'a', '', 1, '', '', '', '', '', 1 FROM {numbers}",
            id("n")
        ))
        .await;
        self.run(&format!(
            "INSERT INTO cutoffs SELECT 1, 1000000 + n, n, 0, {}, 0 FROM {numbers}",
            id("n")
        ))
        .await;
    }

    /// Every list, its first page and one after it. In small tables all that matches is few, and may be sorted.
    async fn check(&self, small: bool, when: &str) {
        for Case {
            name,
            filter,
            order,
            ordered_by,
        } in cases()
        {
            let mut after: Option<PageCursor> = None;
            for page in ["first", "next"] {
                let _ = self.plans.take();
                let listed = self
                    .store
                    .list_sessions(&filter, order, after.as_ref(), 1)
                    .await
                    .expect("a list");
                after = listed.next;
                let statements = self.plans.take();
                let what = format!("{name}, {page} page, {when}");
                // Names that nobody has need no second statement.
                if let Some((sql, _)) = statements
                    .iter()
                    .find(|(sql, _)| sql.contains("audit_events"))
                {
                    let ordered_by = ordered_by.filter(|_| !(small && gathers(sql)));
                    self.check_statements(&what, &statements, ordered_by);
                }
                if after.is_none() {
                    break;
                }
            }
        }
        for order in [
            UserOrder::SignIn,
            UserOrder::UserName,
            UserOrder::PersonName,
        ] {
            for name in ["", "name11", "name", "Li 李", "n"] {
                let names = NameFilter {
                    person_name: search_parts(name),
                    ..NameFilter::default()
                };
                for signed_out in [false, true] {
                    let (names, signed_in) = (names.clone(), Period::default());
                    let filter = UserFilter {
                        tenant_id: tenant("t"),
                        names,
                        signed_in,
                        signed_out,
                        active_addresses_min: None,
                    };
                    let first = self
                        .store
                        .list_users(&filter, order, None, 1)
                        .await
                        .expect("a list");
                    // Of the next page, the statements are the same.
                    self.store
                        .list_users(&filter, order, first.next.as_ref(), 1)
                        .await
                        .expect("a list");
                }
                let statements = self.plans.take();
                let index = match order {
                    UserOrder::SignIn => "users_by_sign_in",
                    UserOrder::UserName => "users_by_name",
                    UserOrder::PersonName => "users_by_person",
                    UserOrder::Sessions | UserOrder::LastActive => unreachable!("no index"),
                };
                let few = statements.iter().any(|(sql, _)| gathers(sql));
                let what = format!("{order:?} of {name:?}, {when}");
                self.check_statements(&what, &statements, (!few).then_some(index));
            }
        }
        self.check_others(when).await;
    }

    async fn check_others(&self, when: &str) {
        self.store
            .count_sessions(&tenant("t"), 100)
            .await
            .expect("a count");
        let statements = self.plans.take();
        self.check_statements(
            &format!("count, {when}"),
            &statements,
            Some("sessions_pkey"),
        );
        let users =
            |names: &[&str]| Selection::Users(names.iter().map(|name| user(name)).collect(), None);
        let id = self
            .store
            .list_sessions(&cases()[2].filter, SessionOrder::Start, None, 1)
            .await
            .expect("a list")
            .items[0]
            .id;
        let _ = self.plans.take();
        for selection in [
            Selection::Sessions(vec![id]),
            users(&["u1"]),
            users(&["u1", "u2"]),
            Selection::Tenant,
        ] {
            self.store
                .preview(&tenant("t"), &selection)
                .await
                .expect("a preview");
            let statements = self.plans.take();
            self.check_statements(
                &format!("preview of {selection:?}, {when}"),
                &statements[..1],
                None,
            );
        }
        let step = self
            .store
            .remove_ended(None, std::time::Duration::MAX, 10)
            .await
            .expect("a step");
        self.store
            .remove_ended(step.next.as_ref(), std::time::Duration::MAX, 10)
            .await
            .expect("a step");
        let statements = self.plans.take();
        self.check_statements(
            &format!("sweep, {when}"),
            &statements,
            Some("sessions_pkey"),
        );
        self.run(
            "INSERT INTO policies (tenant_id, policy, version, changed_us, sweep_from) \
             SELECT 't', '{\"limits\": {\"sessions_max\": 1}}', 1, 0, substr(chain, 1, 0) FROM log_head \
             WHERE TRUE ON CONFLICT DO NOTHING",
        )
        .await;
        self.store
            .policy_walk(None, 10)
            .await
            .expect("an answer")
            .expect("a walk");
        let statements = self.plans.take();
        assert_eq!(
            statements.len(),
            3,
            "policy, sessions, and who has too many"
        );
        self.check_statements(
            &format!("walk, {when}"),
            &statements,
            Some("sessions_by_user"),
        );
    }

    fn check_statements(&self, what: &str, statements: &[Statement], ordered_by: Option<&str>) {
        assert!(!statements.is_empty(), "{what}");
        for (at, (sql, plan)) in statements.iter().enumerate() {
            let index = ordered_by.filter(|_| at + 1 == statements.len());
            let may_sort = gathers(sql);
            let problem = match self.postgres {
                true => postgres_problem(plan, index, may_sort),
                false => sqlite_problem(plan, index, may_sort),
            };
            assert_eq!(problem, None, "{what}\n{sql}\n{plan}");
        }
    }
}

/// Whether a statement sorts what it has gathered: few rows, a user's by last activity, or a user's newest in the order
/// in which they opened.
fn gathers(sql: &str) -> bool {
    ["LIMIT 1000000000", "s.active_us DESC", "n.serial DESC"]
        .iter()
        .any(|order| sql.contains(order))
}

/// What is wrong with a plan of PostgreSQL.
fn postgres_problem(plan: &str, ordered_by: Option<&str>, may_sort: bool) -> Option<String> {
    let lines: Vec<_> = plan.lines().map(str::trim_start).collect();
    for (at, line) in lines.iter().enumerate() {
        if line.contains("Seq Scan") {
            return Some("it scans a table".into());
        }
        let scans = line.contains("Index Scan") || line.contains("Index Only Scan");
        let bounded = lines
            .get(at + 1)
            .is_some_and(|next| next.starts_with("Index Cond"));
        if scans && !bounded {
            return Some(format!("it scans an index: {line}"));
        }
        // Within a user, one index has not both directions.
        if line.contains("Sort  (") && !line.contains("Incremental Sort") && !may_sort {
            return Some(format!("it sorts: {line}"));
        }
    }
    let index = ordered_by.filter(|index| {
        !lines
            .iter()
            .any(|line| line.contains(&format!("using {index} on")))
    });
    index.map(|index| format!("it does not use {index}"))
}

/// What is wrong with a plan of SQLite. It calls the primary key by its name for it.
fn sqlite_problem(plan: &str, ordered_by: Option<&str>, may_sort: bool) -> Option<String> {
    for line in plan.lines() {
        let table = line
            .trim_start()
            .strip_prefix("SCAN ")
            .and_then(|rest| rest.split(' ').next());
        // What was read by another step, or a list of values.
        let read = ["v", "c", "c1", "c2", "c3", "n", "s", "u", "CONSTANT"];
        let is_values = line.ends_with("VALUES CLAUSE") || line.ends_with("CONSTANT ROWS");
        if table.is_some_and(|table| !read.contains(&table) && !is_values) {
            return Some(format!("it scans: {line}"));
        }
        if table.is_some() && line.contains("USING") {
            return Some(format!("it scans an index: {line}"));
        }
        // A tenant's rows may only be gone through in the order of the list.
        let whole = line.contains(" (tenant_id=?)")
            && !line.contains("SEARCH t ")
            && !line.contains("users_by_name");
        if whole && may_sort {
            return Some(format!("it reads the tenant: {line}"));
        }
        if line == "USE TEMP B-TREE FOR ORDER BY" && !may_sort {
            return Some(format!("it sorts: {line}"));
        }
    }
    let uses = |index: &str| match index {
        "sessions_pkey" => plan.contains("PRIMARY KEY"),
        index => plan.contains(&format!("INDEX {index} ")),
    };
    ordered_by
        .filter(|index| !uses(index))
        .map(|index| format!("it does not use {index}"))
}

async fn lists_are_read_by_their_indexes(place: Place) {
    let world = World::new(&place).await;
    world.check(true, "made for empty tables").await;
    world.grow().await;
    world.check(false, "with the plans of then").await;
    // Without names PostgreSQL would look at the tables of all tests, for longer than a statement may take.
    let analyze = match world.postgres {
        true => "ANALYZE tenants, users, sessions, cutoffs, audit_events",
        false => "ANALYZE",
    };
    world.run(analyze).await;
    world.check(false, "with statistics").await;
}

#[tokio::test]
async fn on_postgres_lists_are_read_by_their_indexes() {
    lists_are_read_by_their_indexes(Place::postgres().await).await;
}

#[tokio::test]
async fn on_sqlite_lists_are_read_by_their_indexes() {
    lists_are_read_by_their_indexes(Place::sqlite().await).await;
}
