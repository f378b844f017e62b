//! Nothing ends before somebody has said so, and only a terminal gets colours.

use portcullis_tests::authority::TENANT;

use super::CommandLine;

#[tokio::test]
async fn without_a_terminal_nothing_ends_unless_yes_is_given() {
    let line = CommandLine::start().await;
    let session = line.open("ada", "ada").await;
    for command in [
        &["sessions", "end", session.as_str()][..],
        &["sessions", "end", "--user", "ada"],
        &["users", "sign-out", "ada"],
        &["users", "disable", "ada"],
        &["users", "erase", "ada"],
        &["tenants", "sign-out", TENANT],
        &["tenants", "delete", TENANT, "--context", "operator"],
        &["policy", "set", "--sessions-max", "1"],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend(["--reason", "x"]);
        line.run(&arguments)
            .await
            .failed(2, &["no terminal", "--yes"]);
        // And without a reason.
        line.run(&[command, &["--yes"]].concat())
            .await
            .failed(2, &["--reason"]);
    }
    assert_eq!(line.active().await, 1);
}

#[tokio::test]
async fn a_tenant_is_signed_out_when_its_name_is_typed() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    let command = format!("tenants sign-out {TENANT} --reason test");
    let wrong = line.run_in_terminal(&command, "acm\r").await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stdout.contains("nothing was changed"), "{wrong:?}");
    assert_eq!(line.active().await, 1);

    let right = line.run_in_terminal(&command, &format!("{TENANT}\r")).await;
    assert_eq!(right.code, Some(0), "{right:?}");
    // What would end was shown before.
    assert!(
        right.stdout.contains("ada") && right.stdout.contains("1 session"),
        "{right:?}"
    );
    assert_eq!(line.active().await, 0);
}

#[tokio::test]
async fn a_person_says_yes_or_no() {
    let line = CommandLine::start().await;
    let session = line.open("ada", "ada").await;
    let command = format!("sessions end {session} --reason test");
    let refused = line.run_in_terminal(&command, "n\r").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(line.active().await, 1);
    let confirmed = line.run_in_terminal(&command, "y\r").await;
    assert_eq!(confirmed.code, Some(0), "{confirmed:?}");
    assert_eq!(line.active().await, 0);
}

#[tokio::test]
async fn only_a_terminal_gets_colours_and_no_color_turns_them_off() {
    const BOLD: &str = "\u{1b}[1m";
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    let piped = line.run(&["sessions", "list"]).await;
    assert!(!piped.stdout.contains('\u{1b}'), "{piped:?}");
    let terminal = line.run_in_terminal("sessions list", "").await;
    assert!(terminal.stdout.contains(BOLD), "{terminal:?}");

    let mut command = tokio::process::Command::new("script");
    let binary = portcullis_tests::process::binary();
    let words = format!("{} sessions list", binary.display());
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]);
    line.set_environment(&mut command);
    command.env("NO_COLOR", "1");
    let plain = super::finish(command, "").await;
    assert!(
        plain.stdout.contains("SESSION") && !plain.stdout.contains(BOLD),
        "{plain:?}"
    );
}
