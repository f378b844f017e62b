//! The incident of docs/operating/incident.md, played as it stands there: the page is the recording of this test.

use std::{env, fs, path::Path};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{LOGIN, ready, sign_in},
    process::binary,
};
use tokio::process::Command;

use super::{CommandLine, finish};

const PAGE: &str = "docs/operating/incident.md";

/// Set this variable to record the page anew.
const RECORD: &str = "PORTCULLIS_RECORD";

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/17.2 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

async fn open(
    line: &CommandLine,
    user: &str,
    given: &str,
    family: &str,
    ip: &str,
    user_agent: &str,
) {
    let mut request = sign_in(user);
    request.user = Some(v1::SessionUser {
        id: user.into(),
        user_name: format!("{user}@example.com"),
        given_name: given.into(),
        family_name: family.into(),
        ..Default::default()
    });
    request.client = Some(v1::Client {
        ip: ip.into(),
        user_agent: user_agent.into(),
        ..Default::default()
    });
    let opened = line.authority.sessions(LOGIN).create_session(request).await;
    opened.expect("a sign-in");
}

/// One command of the page, and what it printed.
struct Step {
    command: String,
    output: String,
}

#[tokio::test]
async fn the_incident_story_is_the_recording_of_this_test() {
    let line = CommandLine::start().await;
    let _gates = [
        ready(line.authority.gate().name("shop edge")).await,
        ready(line.authority.gate().name("api edge")).await,
    ];
    open(&line, "u-1842", "Grace", "Hopper", "198.51.100.7", PHONE).await;
    open(&line, "u-2207", "Joan", "Walker", "192.0.2.44", DESKTOP).await;
    open(&line, "u-2207", "Joan", "Walker", "192.0.2.44", PHONE).await;
    open(
        &line,
        "u-2207",
        "Joan",
        "Walker",
        "203.0.113.99",
        "curl/8.9.1",
    )
    .await;

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let text = fs::read_to_string(&page).expect(PAGE);
    let mut recorded = String::new();
    let mut rest = text.as_str();
    let mut steps = 0;
    while let Some((before, after)) = rest.split_once("```console\n") {
        let (block, after) = after.split_once("```").expect("the block ends");
        recorded += &format!("{before}```console\n");
        for step in parse(block) {
            let output = play(&line, &step.command).await;
            let same = shape(&output) == shape(&step.output);
            assert!(
                same || env::var_os(RECORD).is_some(),
                "{}\nprinted\n{output}\nand {PAGE} says\n{}\nrecord it anew with {RECORD}=1",
                step.command,
                step.output
            );
            recorded += &format!("$ {}\n{output}", step.command);
            steps += 1;
        }
        recorded += "```";
        rest = after;
    }
    assert!(steps >= 6, "the page has {steps} commands");
    recorded += rest;
    if env::var_os(RECORD).is_some() {
        fs::write(&page, recorded).expect("written");
    }
    assert_eq!(
        line.active().await,
        1,
        "only the user of the incident is signed out"
    );
}

fn parse(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step {
                command: command.to_owned(),
                output: String::new(),
            }),
            // A command goes on after a backslash.
            (None, Some(step)) if step.output.is_empty() && step.command.ends_with('\\') => {
                step.command += &format!("\n{line}");
            }
            (None, Some(step)) => step.output += &format!("{line}\n"),
            (None, None) => panic!("a block begins with a command: {line}"),
        }
    }
    steps
}

/// Plays a command as a person at a shell would. Both outputs come in the order in which the terminal shows them.
async fn play(line: &CommandLine, command: &str) -> String {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec 2>&1; {command}")]);
    shell.current_dir(line.file("."));
    line.set_environment(&mut shell);
    let directory = binary().parent().expect("a directory").to_owned();
    let path = env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", directory.display()));
    let ran = finish(shell, "").await;
    assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    ran.stdout
}

/// A text without what differs from run to run: numbers, ids, and the spaces that follow from them.
fn shape(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| {
            if word.starts_with("ses_") {
                return "ses_#".to_owned();
            }
            let mut shape = String::new();
            for character in word.chars() {
                match character {
                    '0'..='9' if shape.ends_with('#') => {}
                    '0'..='9' => shape.push('#'),
                    other => shape.push(other),
                }
            }
            shape
        });
        let line = words.collect::<Vec<_>>().join(" ");
        // A busy machine is slower.
        lines.push(line.replace("# min ago", "now"));
    }
    // The gates confirm in any order.
    lines.sort();
    lines.join("\n")
}
