//! The policy of a tenant: shown, changed by values and files, and never over somebody else's change.

use portcullis_tests::authority::write_private;

use super::CommandLine;

#[tokio::test]
async fn a_policy_is_shown_changed_and_compared() {
    let line = CommandLine::start().await;
    let shown = line.run(&["policy", "get"]).await;
    for word in ["idle timeout", "7d", "90d", "no limit"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    let values = [
        "--idle-timeout",
        "1d",
        "--sessions-max",
        "3",
        "--at-limit",
        "refuse",
    ];
    let diff = line
        .json(&[&["policy", "diff"][..], &values].concat())
        .await;
    let fields: Vec<_> = diff
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| change["field"].clone())
        .collect();
    assert_eq!(fields, ["at_limit", "idle_timeout", "sessions_max"]);
    assert_eq!(diff[1]["current"], "604800s");
    assert_eq!(diff[1]["wanted"], "86400s");

    let set = [
        &["policy", "set"][..],
        &values,
        &["--reason", "audit", "--yes"],
    ]
    .concat();
    let changed = line.json(&set).await;
    assert_eq!(
        (&changed["idle_timeout"], &changed["sessions_max"]),
        (&"86400s".into(), &3.into())
    );
    let never = line
        .json(&[
            "policy",
            "set",
            "--idle-timeout",
            "none",
            "--reason",
            "x",
            "--yes",
        ])
        .await;
    assert!(never.get("idle_timeout").is_none(), "{never}");

    let preset = [
        "policy",
        "preset",
        "nist_800_63b_aal2",
        "--reason",
        "certification",
        "--yes",
    ];
    let preset = line.json(&preset).await;
    assert!(
        preset["source"]
            .as_str()
            .is_some_and(|source| source.contains("NIST")),
        "{preset}"
    );
    assert_eq!(preset["session_lifetime_max"], "43200s");
}

#[tokio::test]
async fn a_file_replaces_the_policy_and_an_old_etag_is_a_conflict_that_shows_both() {
    let line = CommandLine::start().await;
    let file = line.file("policy.yaml");
    let path = file.to_str().expect("a path");
    let yaml = line.run(&["policy", "get", "-o", "yaml"]).await;
    let edited = yaml.stdout.replace("sessions_max: 0", "sessions_max: 5");
    assert_ne!(edited, yaml.stdout);
    write_private(&file, &edited);

    let set = [
        "policy", "set", "--file", path, "--reason", "edited", "--yes",
    ];
    let changed = line.json(&set).await;
    assert_eq!(changed["sessions_max"], 5);
    // The etag in the file is that of the policy before.
    let meanwhile = [
        "policy",
        "set",
        "--sessions-max",
        "7",
        "--reason",
        "x",
        "--yes",
    ];
    assert_eq!(line.run(&meanwhile).await.code, Some(0));
    let stale = line.run(&set).await;
    stale.failed(
        5,
        &[
            "the policy was changed",
            "sessions_max",
            "7",
            "5",
            "policy get",
        ],
    );

    write_private(&file, "sessions_maxx: 5\n");
    line.run(&set).await.failed(2, &["sessions_maxx"]);
    write_private(&file, "{");
    line.run(&set).await.failed(2, &["neither JSON nor YAML"]);
    line.run(&["policy", "set", "--reason", "x", "--yes"])
        .await
        .failed(2, &["nothing would change"]);
    let bad = [
        "policy",
        "set",
        "--session-lifetime",
        "400 years",
        "--reason",
        "x",
        "--yes",
    ];
    line.run(&bad).await.failed(2, &[]);
}
