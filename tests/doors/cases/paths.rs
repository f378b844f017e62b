//! Targets that servers read in different ways.

use portcullis_tests::{door::Ability, visitor::Visit};

use crate::scene::Scene;

/// Paths that begin in the public directory, and lead elsewhere for a server that reads them in its own way.
const TRICKS: &[&str] = &[
    "/public/../orders",
    "/public/..",
    "/public/./../orders",
    "/public/%2e%2e/orders",
    "/public/%2E%2E/orders",
    "/public/.%2e/orders",
    "/public/..%2forders",
    "/public/..%2Forders",
    "/public/%2e%2e%2forders",
    "/public%2f..%2forders",
    "/public/%252e%252e/orders",
    "/public/%252e%252e%252forders",
    "/public/..%5corders",
    "/public/..\\orders",
    "/public\\..\\orders",
    "/public/..;/orders",
    "/public/..;a=b/orders",
    "/public/.;/../orders",
    "/public/x;/../../orders",
    "/public//../orders",
    "/public/x//..//../orders",
    "//public/../orders",
    "/public/%00/../orders",
    "/public/%c0%ae%c0%ae/orders",
    "/public/%u002e%u002e/orders",
    "/public/%ff",
    "/public/%",
    "/public/%2",
    "/public/%zz",
    "/public/..%3f/orders",
    "/public/..#/orders",
    "/public/%0a/../orders",
    "/public/%2e/%2e%2e/orders",
    "/./public/../orders",
    "/public;/../orders",
    "/public/a%00",
    "/public/\u{e4}",
    "/public/a b",
    // Characters that some servers fold to `/`, `\`, `.` or `;`.
    "/public/..%ef%bc%8forders",
    "/public/..%ef%bc%bcorders",
    "/public/%ef%bc%8e%ef%bc%8e/orders",
    "/public/%e2%80%a5/orders",
    "/public/..%ef%bc%9b/orders",
    "/public/..%e2%88%95orders",
];

/// Paths that a server could read as one of the public directory.
const NOT_PUBLIC: &[&str] = &[
    "/PUBLIC/x",
    "/publicx/y",
    "/%70ublic/../orders",
    "/orders?/public/x",
    "/orders;/public/x",
    "/orders/public/x",
    "/orders#/public/x",
    "//public/x",
    "\\public\\x",
    "public/x",
    "?/public/x",
    "/orders%00/public/x",
    "/orders/../public/x",
    "/orders/%2e%2e/public/x",
    "/orders;/../public/x",
    "/orders%3f/../public/x",
    "/orders%23/../public/x",
    "/orders#/../public/x",
    "/orders\\..\\public/x",
    "//orders/../public/x",
    "/orders%ef%bc%8f..%ef%bc%8fpublic/x",
];

pub async fn tricks(scene: Scene) {
    for path in TRICKS {
        let marked = scene.settled(&Visit::get(path)).await;
        if marked.reached {
            let answer = marked.answer.expect("an answer");
            assert_eq!(answer.status, 200, "{path}");
            expect_public(path, &answer.echo().target);
            continue;
        }
        let Some(answer) = marked.answer else {
            continue;
        };
        let status = answer.status.as_u16();
        assert!(
            [301, 307, 308, 400, 401, 404].contains(&status),
            "{path}: {status}"
        );
        if scene.abilities().raw_target == Ability::Yes {
            assert_eq!(status, 400, "{path}: {}", answer.text());
        }
    }
}

pub async fn not_public(scene: Scene) {
    for path in NOT_PUBLIC {
        let marked = scene.settled(&Visit::get(path)).await;
        if marked.reached {
            let target = marked.answer.expect("an answer").echo().target;
            expect_public(path, &target);
        }
    }
}

/// Expects that any server reads the target as one of the public directory.
fn expect_public(path: &str, target: &str) {
    let path_of_target = target.split(['?', '#']).next().unwrap_or_default();
    let once = decode(path_of_target);
    let twice = decode(&once);
    for reading in [path_of_target, &once, &twice] {
        assert!(
            resource(reading).starts_with("/public/"),
            "{path} reached the upstream without a credential as {target}"
        );
    }
}

/// The resource of a server that folds characters, cuts parameters, reads backslashes, and resolves dots.
fn resource(path: &str) -> String {
    let fold = |character| match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or_default()
        }
        '\\' | '\u{2215}' => '/',
        other => other,
    };
    let folded: String = path.replace('\u{2025}', "..").chars().map(fold).collect();
    let mut segments: Vec<&str> = Vec::new();
    for segment in folded.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(text: &str) -> String {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8_lossy().into_owned()
}
