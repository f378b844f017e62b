//! What is held about a person is written to a file, and erased when their id is typed.

use std::os::unix::fs::PermissionsExt;

use portcullis_tests::authority::TENANT;
use serde_json::Value;

use super::CommandLine;

#[tokio::test]
async fn a_user_is_exported_and_then_erased_when_the_id_is_typed() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    // A short name stands in random text by chance.
    line.open("bartholomew", "bartholomew").await;
    let looked = line.run(&["users", "erase", "ada", "--dry-run"]).await;
    assert_eq!(looked.code, Some(0), "{looked:?}");
    assert!(looked.stderr.contains("would end 1 session"), "{looked:?}");

    let file = line.file("ada.jsonl");
    let path = file.to_str().expect("text");
    let exported = line.run(&["users", "export", "ada", "--file", path]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let text = std::fs::read_to_string(&file).expect("a file");
    let mut kinds = Vec::new();
    for record in text.lines() {
        let record: Value = serde_json::from_str(record).expect("JSON");
        kinds.push(record["kind"].as_str().expect("a kind").to_owned());
    }
    assert_eq!(kinds[0], "EXPORTED_KIND_USER");
    assert!(kinds.iter().any(|kind| kind == "EXPORTED_KIND_SESSION"));
    assert!(!text.contains("bartholomew"), "{text}");
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let unknown = line
        .run(&["users", "export", "nobody", "--file", path])
        .await;
    unknown.failed(3, &["user not found"]);

    let command = "users erase ada --reason request-17";
    let wrong = line.run_in_terminal(command, "bob\r").await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stdout.contains("nothing was changed"), "{wrong:?}");
    assert_eq!(line.active().await, 2);

    let right = line.run_in_terminal(command, "ada\r").await;
    assert_eq!(right.code, Some(0), "{right:?}");
    assert!(right.stdout.contains("ada erased: 1 sessions"), "{right:?}");
    assert_eq!(line.active().await, 1);

    let verified = line
        .json(&["audit", "verify", "--context", "operator"])
        .await;
    assert_eq!(verified["sound"], true, "{verified}");
    let erased = &verified["erased"][0];
    assert!(erased["rows"].as_u64() > Some(0), "{verified}");
    let shown = line
        .run(&["audit", "verify", "--context", "operator"])
        .await;
    assert!(shown.stdout.contains("rows in revisions"), "{shown:?}");
}

#[tokio::test]
async fn an_unknown_user_is_remarked_on_and_support_may_not_erase() {
    let line = CommandLine::start().await;
    let nobody = ["users", "erase", "nobody", "--reason", "x", "--yes"];
    let erased = line.run(&nobody).await;
    assert_eq!(erased.code, Some(0), "{erased:?}");
    assert!(erased.stderr.contains("never signed in"), "{erased:?}");
    let by_support = [&nobody[..], &["--context", "support"]].concat();
    line.run(&by_support)
        .await
        .failed(4, &["permission denied"]);
    let export = ["users", "export", "nobody", "--context", "support"];
    line.run(&export).await.failed(4, &["permission denied"]);
}

#[tokio::test]
async fn a_tenant_is_deleted_when_its_name_is_typed() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    let command = format!("tenants delete {TENANT} --reason over --context operator");
    let looked = line
        .run_in_terminal(&format!("{command} --dry-run"), "")
        .await;
    assert!(looked.stdout.contains("would end 1 session"), "{looked:?}");
    let wrong = line.run_in_terminal(&command, "acm\r").await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert_eq!(line.active().await, 1);
    let right = line.run_in_terminal(&command, &format!("{TENANT}\r")).await;
    assert_eq!(right.code, Some(0), "{right:?}");
    assert!(
        right.stdout.contains("acme deleted: 1 sessions"),
        "{right:?}"
    );
    assert_eq!(line.active().await, 0);
    let by_admin = ["tenants", "delete", TENANT, "--reason", "x", "--yes"];
    line.run(&by_admin).await.failed(4, &["permission denied"]);
}
