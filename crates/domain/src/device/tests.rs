//! What the three who tell of a device make of it together.

use super::*;

fn agent(browser: (&str, &str), os: (&str, &str), model: &str, kind: DeviceKind) -> Device {
    Device {
        browser: browser.0.into(),
        browser_version: browser.1.into(),
        os: os.0.into(),
        os_version: os.1.into(),
        model: model.into(),
        kind,
        ..Device::default()
    }
}

fn windows() -> Device {
    agent(
        ("Chrome", "124"),
        ("Windows", "10"),
        "",
        DeviceKind::Desktop,
    )
}

fn android() -> Device {
    agent(("Chrome", "124"), ("Android", "10"), "", DeviceKind::Phone)
}

fn ipad_as_mac() -> Device {
    agent(
        ("Safari", "17.4"),
        ("macOS", "10.15.7"),
        "",
        DeviceKind::Desktop,
    )
}

fn hints(change: impl FnOnce(&mut ClientHints)) -> ClientHints {
    let mut hints = ClientHints::default();
    change(&mut hints);
    hints
}

const CHROME: &str = r#""Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99""#;
const EDGE: &str = r#""Chromium";v="124", "Microsoft Edge";v="124", "Not-A.Brand";v="99""#;

/// Browser, system, model and kind in one line.
fn line(device: &Device) -> String {
    let Device {
        browser,
        browser_version,
        os,
        os_version,
        model,
        kind,
        ..
    } = device;
    format!("{browser} {browser_version}|{os} {os_version}|{model}|{kind:?}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
fn hints_are_believed_before_the_user_agent() {
    let on = |platform: &str, version: &str| {
        let quoted = [platform, version].map(|text| format!("\"{text}\""));
        let [platform, platform_version] = quoted;
        ClientHints {
            platform,
            platform_version,
            ..ClientHints::default()
        }
    };
    let cases = [
        (
            windows(),
            ClientHints::default(),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            windows(),
            hints(|h| h.brands = CHROME.into()),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            windows(),
            hints(|h| h.brands = EDGE.into()),
            "Edge 124|Windows 10||Desktop",
        ),
        (
            windows(),
            hints(|h| {
                h.brands = EDGE.into();
                h.full_version_list =
                    r#""Not(A:Brand";v="8.0.0.0", "Microsoft Edge";v="124.0.2478.67""#.into();
            }),
            "Edge 124.0.2478.67|Windows 10||Desktop",
        ),
        // The only brand that is not there to be ignored.
        (
            windows(),
            hints(|h| h.brands = r#"" Not A;Brand";v="99", "Chromium";v="9""#.into()),
            "Chromium 9|Windows 10||Desktop",
        ),
        (
            windows(),
            hints(|h| h.brands = r#"" Not A;Brand";v="99""#.into()),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            windows(),
            on("Windows", "15.0.0"),
            "Chrome 124|Windows 11||Desktop",
        ),
        (
            windows(),
            on("Windows", "13.0.0"),
            "Chrome 124|Windows 11||Desktop",
        ),
        (
            windows(),
            on("Windows", "12.0.0"),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            windows(),
            on("Windows", "1.0.0"),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            windows(),
            on("Windows", "0.3.0"),
            "Chrome 124|Windows 8.1||Desktop",
        ),
        (
            windows(),
            on("Windows", "0.1.0"),
            "Chrome 124|Windows 7||Desktop",
        ),
        (
            windows(),
            on("Windows", "x"),
            "Chrome 124|Windows 10||Desktop",
        ),
        (
            ipad_as_mac(),
            on("macOS", "14.4.1"),
            "Safari 17.4|macOS 14.4.1||Desktop",
        ),
        // A version of another system says nothing.
        (windows(), on("Linux", ""), "Chrome 124|Linux ||Desktop"),
        (
            android(),
            hints(|h| {
                h.platform = r#""Android""#.into();
                h.platform_version = r#""14.0.0""#.into();
                h.model = r#""Pixel 8""#.into();
                h.mobile = "?1".into();
            }),
            "Chrome 124|Android 14|Pixel 8|Phone",
        ),
        (
            android(),
            hints(|h| {
                h.platform = r#""Android""#.into();
                h.mobile = "?0".into();
            }),
            "Chrome 124|Android 10||Tablet",
        ),
        (
            android(),
            hints(|h| h.form_factors = r#""Tablet""#.into()),
            "Chrome 124|Android 10||Tablet",
        ),
        (
            ipad_as_mac(),
            hints(|h| h.form_factors = r#""XR", "Mobile""#.into()),
            "Safari 17.4|macOS 10.15.7||Phone",
        ),
        (
            ipad_as_mac(),
            hints(|h| h.form_factors = r#""Tablet""#.into()),
            "Safari 17.4|macOS 10.15.7||Tablet",
        ),
    ];
    for (device, hints, expected) in cases {
        assert_eq!(line(&device.with_hints(&hints)), expected, "{hints:?}");
    }
    for kind in [DeviceKind::Program, DeviceKind::Tv] {
        let settled = Device { kind, ..android() };
        for mobile in ["?0", "?1"] {
            let hints = hints(|h| {
                h.platform = r#""Android""#.into();
                h.mobile = mobile.into();
            });
            assert_eq!(settled.clone().with_hints(&hints).kind, kind, "{mobile}");
        }
    }
}

#[test]
fn malformed_hints_are_ignored() {
    let long = format!("\"{}\"", "a".repeat(HINT_BYTES_MAX));
    let malformed = [
        "Windows",
        "\"Windows",
        r#""Win\dows""#,
        "\"\u{e9}\"",
        "\"\u{0}\"",
        "\u{1f600}",
        r#""a" "b""#,
        r#""a","#,
        r#""a";v="#,
        r#"("a")"#,
        ":AAAA:",
        "?2",
        "1",
        "()",
        ",",
        "\"",
        &long,
    ];
    for text in malformed {
        let all = ClientHints {
            brands: text.into(),
            full_version_list: text.into(),
            platform: text.into(),
            platform_version: text.into(),
            model: text.into(),
            mobile: text.into(),
            form_factors: text.into(),
        };
        assert_eq!(windows().with_hints(&all), windows(), "{text:?}");
    }
}

#[test]
fn the_application_is_believed_before_all() {
    let words = |os: &str, os_version: &str, model: &str| AppWords {
        app_name: "Acme".into(),
        app_version: "3.1".into(),
        os: os.into(),
        os_version: os_version.into(),
        model: model.into(),
    };
    let okhttp = agent(("okhttp", "4.12"), ("", ""), "", DeviceKind::Program);
    let tablet = Device {
        kind: DeviceKind::Tablet,
        ..android()
    };
    let cases = [
        (
            okhttp.clone(),
            words("Android", "14.0", "Pixel 8"),
            "okhttp 4.12|Android 14|Pixel 8|Phone",
        ),
        (
            okhttp.clone(),
            words("Windows", "11", ""),
            "okhttp 4.12|Windows 11||Desktop",
        ),
        (okhttp, words("", "", ""), "okhttp 4.12| ||Program"),
        (
            tablet,
            words("Android", "", ""),
            "Chrome 124|Android 10||Tablet",
        ),
        (
            Device {
                kind: DeviceKind::Tv,
                ..android()
            },
            words("Android", "", ""),
            "Chrome 124|Android 10||Tv",
        ),
        (
            Device::default(),
            words("tvOS", "17", "Apple TV"),
            " |tvOS 17|Apple TV|Tv",
        ),
        (
            ipad_as_mac(),
            words("iPadOS", "17.4", "iPad Pro"),
            "Safari 17.4|iPadOS 17.4|iPad Pro|Tablet",
        ),
        (
            ipad_as_mac(),
            words("iOS", "", "iPad13,8"),
            "Safari 17.4|iOS |iPad13,8|Tablet",
        ),
        (
            Device::default(),
            words("iOS", "17.2", "iPhone 14 Pro"),
            " |iOS 17.2|iPhone 14 Pro|Phone",
        ),
        (
            Device::default(),
            words("", "", "iPhone 14 Pro"),
            " | |iPhone 14 Pro|Phone",
        ),
        (
            Device::default(),
            words("Haiku", "", ""),
            " |Haiku ||Unknown",
        ),
    ];
    for (device, words, expected) in cases {
        let device = device.with_app(&words);
        assert_eq!(line(&device), expected, "{words:?}");
        assert_eq!(
            (device.app_name.as_str(), device.app_version.as_str()),
            ("Acme", "3.1")
        );
    }
}

#[test]
fn what_is_kept_is_short_and_clean() {
    let long = "\u{1f600}".repeat(100);
    let words = AppWords {
        app_name: long.clone(),
        os: " \u{7}L\ninux\u{85} ".into(),
        model: long,
        ..AppWords::default()
    };
    let device = Device::default().with_app(&words);
    assert_eq!(device.os, "Linux");
    assert_eq!((device.app_name.len(), device.model.len()), (128, 128));
}

#[test]
fn a_device_is_named_without_versions() {
    let acme = AppWords {
        app_name: "Acme".into(),
        model: "Pixel 8".into(),
        ..AppWords::default()
    };
    let cases = [
        (Device::default(), ""),
        (windows(), "Chrome on Windows"),
        (android().with_app(&acme), "Acme on Android (Pixel 8)"),
        (
            agent(("curl", "8"), ("", ""), "", DeviceKind::Program),
            "curl",
        ),
        (
            agent(("", ""), ("iOS", "17"), "iPhone", DeviceKind::Phone),
            "iOS (iPhone)",
        ),
        (
            agent(("", ""), ("", ""), "PlayStation 5", DeviceKind::Unknown),
            "PlayStation 5",
        ),
    ];
    for (device, expected) in cases {
        assert_eq!(device.to_string(), expected);
    }
    for (device, expected) in [
        (windows(), ""),
        (android().with_app(&acme), "Acme on Android"),
        (
            agent(("", ""), ("", ""), "PlayStation 5", DeviceKind::Unknown),
            "",
        ),
    ] {
        assert_eq!(device.name_without_model(), expected);
    }
}

#[test]
fn a_version_of_windows_has_the_name_that_people_know() {
    for (hint, version) in [
        ("0.1.0", "7"),
        ("0.2.0", "8"),
        ("0.3.0", "8.1"),
        ("0.4.0", ""),
        ("1.0.0", "10"),
        ("12.0.0", "10"),
        ("13.0.0", "11"),
        ("19.0.0", "11"),
        ("x", ""),
    ] {
        let hints = hints(|hints| {
            hints.platform = "\"Windows\"".into();
            hints.platform_version = format!("\"{hint}\"");
        });
        let device = Device::default().with_hints(&hints);
        assert_eq!(device.os_version, version, "{hint}");
    }
}

#[test]
fn the_most_specific_brand_counts_and_the_longest_hint_is_read() {
    let brave = r#""Google Chrome";v="124", "Chromium";v="124", "Brave";v="1""#;
    let device = windows().with_hints(&hints(|hints| hints.brands = brave.into()));
    assert_eq!(device.browser, "Brave");

    let model = |bytes: usize| {
        let text = format!("\"{}\"", "a".repeat(bytes - 2));
        let hints = hints(|hints| hints.model = text);
        Device::default().with_hints(&hints).model
    };
    assert!(!model(HINT_BYTES_MAX).is_empty());
    assert!(model(HINT_BYTES_MAX + 1).is_empty());
}

#[test]
fn an_ipad_is_a_tablet_by_its_system_alone() {
    let words = AppWords {
        os: "iPadOS".into(),
        ..AppWords::default()
    };
    let device = Device::default().with_app(&words);
    assert_eq!(device.kind, DeviceKind::Tablet);
}
