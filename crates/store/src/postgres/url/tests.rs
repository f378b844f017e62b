use super::*;

fn problem(url: &str) -> String {
    let problem = check_url(url).expect_err(url);
    assert!(!problem.contains("secret"), "{problem}");
    problem
}

#[test]
fn each_mode_is_read_with_its_files() {
    let cases = [
        ("postgres://u@h/d", Mode::Prefer, Files::default()),
        (
            "postgres://u@h/d?sslmode=disable",
            Mode::Disable,
            Files::default(),
        ),
        (
            "postgres://u@h1:1,h2:2/d?sslmode=require&target_session_attrs=read-write",
            Mode::Require,
            Files::default(),
        ),
        (
            "postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem",
            Mode::VerifyCa,
            root("/ca.pem"),
        ),
        (
            "postgres://u:p?x@h/d?sslrootcert=%2Fa%20b%2Fca.pem&sslmode=verify-full&connect_timeout=3",
            Mode::VerifyFull,
            root("/a b/ca.pem"),
        ),
    ];
    for (url, mode, files) in cases {
        let target = parse(url).unwrap_or_else(|problem| panic!("{url}: {problem}"));
        assert_eq!(target.tls.mode(), mode, "{url}");
        assert_eq!(target.tls.files(), &files, "{url}");
    }
}

fn root(file: &str) -> Files {
    Files {
        root: Some(file.into()),
        client: None,
    }
}

#[test]
fn settings_of_tls_that_cannot_be_meant_are_refused_with_a_sentence() {
    let cases = [
        ("sslmode=allow", "sslmode must be disable, prefer,"),
        ("sslmode=verify-fulll", "sslmode must be"),
        ("sslmode=", "sslmode must have a value"),
        ("sslmode=verify-full", "needs sslrootcert"),
        ("sslmode=verify-ca", "needs sslrootcert"),
        ("sslrootcert=/ca.pem", "sslrootcert needs sslmode"),
        ("sslmode=require&sslcert=/c.pem", "must be set together"),
        (
            "sslmode=disable&sslcert=/c.pem&sslkey=/k.pem",
            "sslmode=disable",
        ),
        ("sslmode=disable&channel_binding=require", "channel_binding"),
        ("sslnegotiation=direct", "sslnegotiation=direct needs"),
        ("sslmode=require&sslcrl=/crl", "sslcrl is not supported"),
    ];
    for (parameters, expected) in cases {
        let problem = problem(&format!("postgres://u:secret@h/d?{parameters}"));
        assert!(problem.contains(expected), "{parameters}: {problem}");
    }
}

#[test]
fn a_malformed_url_and_one_that_only_reads_are_refused_without_their_password() {
    for url in [
        "postgres://u:secret@h:port/d",
        "postgres://u:secret@h/d?nonsense=1",
        "postgres://u:secret@h/d?target_session_attrs=read-only",
    ] {
        problem(url);
    }
}

#[test]
fn a_database_beyond_this_machine_that_is_not_verified_is_remarked_on() {
    for quiet in [
        "postgres://u@localhost/d",
        "postgres://u@127.0.0.1,[::1]/d",
        "postgres://u@%2Frun%2Fpostgresql/d",
        "postgres://u@name/d?hostaddr=127.0.0.1",
        "postgres://u@db1,db2/d?sslmode=verify-full&sslrootcert=/ca.pem",
    ] {
        assert_eq!(remark_on_url(quiet), None, "{quiet}");
    }
    for (loud, expected) in [
        ("postgres://u:secret@db1/d", "sslmode=prefer"),
        ("postgres://u@localhost,db2/d?sslmode=require", "pretend"),
        (
            "postgres://u@db/d?sslmode=verify-ca&sslrootcert=/ca.pem",
            "sslmode=verify-ca",
        ),
        ("postgres://u@localhost/d?hostaddr=10.0.0.1", "verify-full"),
    ] {
        let remark = remark_on_url(loud).expect(loud);
        assert!(remark.contains(expected), "{loud}: {remark}");
        assert!(!remark.contains("secret"));
    }
}
