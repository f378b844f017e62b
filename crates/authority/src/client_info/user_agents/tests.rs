//! Real user agents, and what is no user agent.

use super::*;

/// Each user agent, and below it browser, system, model and kind.
const TABLE: &str = r#"
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Windows 10||Desktop
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.2478.67
  Edge 124.0.2478.67|Windows 10||Desktop
Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0
  Firefox 128|Windows 10||Desktop
Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko
  IE 11|Windows 7||Desktop
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 OPR/110.0.0.0
  Opera 110|Windows 10||Desktop
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15
  Safari 17.4.1|macOS 10.15.7||Desktop
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|macOS 10.15.7||Desktop
Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0
  Firefox 128|macOS 10.15||Desktop
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0
  Edge 124|macOS 10.15.7||Desktop
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Linux ||Desktop
Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
  Firefox 128|Linux ||Desktop
Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
  Firefox 128|Ubuntu ||Desktop
Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Chrome OS 14541||Desktop
Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36
  Chrome 124|Android 10||Phone
Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Android 10||Tablet
Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.82 Mobile Safari/537.36
  Chrome 124.0.6367.82|Android 14|Pixel 8|Phone
Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.82 Mobile Safari/537.36
  Chrome 124.0.6367.82|Android 14|SM-S918B|Phone
Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Android 13|SM-X900|Tablet
Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36
  Samsung Internet 24|Android 14|SM-S918B|Phone
Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0
  Firefox 128|Android 14||Phone
Mozilla/5.0 (Android 14; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0
  Firefox 128|Android 14||Tablet
Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36 EdgA/124.0.2478.64
  Edge 124.0.2478.64|Android 10||Phone
Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Mobile Safari/537.36 OPR/81.0.0.0
  Opera 81|Android 10||Phone
Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A.230803.041; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0.6367.82 Mobile Safari/537.36
  Android WebView 124.0.6367.82|Android 14|Pixel 8|Phone
Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1
  Safari 17.2|iOS 17.2|iPhone|Phone
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.6367.88 Mobile/15E148 Safari/604.1
  Chrome 124.0.6367.88|iOS 17.4.1|iPhone|Phone
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/125.0 Mobile/15E148 Safari/605.1.15
  Firefox 125|iOS 17.4|iPhone|Phone
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/124.0.2478.71 Mobile/15E148 Safari/605.1.15
  Edge 124.0.2478.71|iOS 17.4.1|iPhone|Phone
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148
  WKWebView |iOS 17.4.1|iPhone|Phone
Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1
  Safari 17.4|iOS 17.4|iPad|Tablet
Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.6367.88 Mobile/15E148 Safari/604.1
  Chrome 124.0.6367.88|iOS 17.4|iPad|Tablet
Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
  Googlebot 2.1| ||Program
Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.78 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
  Googlebot 2.1|Android 6.0.1||Program
Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
  bingbot 2| ||Program
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/124.0.0.0 Safari/537.36
  HeadlessChrome 124|Linux ||Program
curl/8.5.0
  curl 8.5| ||Program
curl/7.29.0 (x86_64-redhat-linux-gnu) libcurl/7.29.0
  curl 7.29|Red Hat ||Program
Wget/1.21.2
  Wget 1.21.2| ||Program
okhttp/4.12.0
  okhttp 4.12| ||Program
python-requests/2.31.0
  python-requests 2.31| ||Program
python-urllib3/2.0.7
  python-urllib3 2.0.7| ||Program
Python/3.11 aiohttp/3.9.1
  Python aiohttp 3.9.1| ||Program
Go-http-client/1.1
  Go-http-client 1.1| ||Program
grpc-go/1.60.1
  grpc-go 1.60.1| ||Program
Java/17.0.9
  Java 17.0.9| ||Program
Apache-HttpClient/4.5.14 (Java/17.0.9)
  Apache-HttpClient 4.5.14| ||Program
PostmanRuntime/7.36.1
  PostmanRuntime 7.36.1| ||Program
node-fetch/1.0 (+https://github.com/bitinn/node-fetch)
  node-fetch 1| ||Program
axios/1.6.2
  axios 1.6.2| ||Program
Dalvik/2.1.0 (Linux; U; Android 14; SM-S918B Build/UP1A.231005.007)
   |Android 14|SM-S918B|Phone
MyApp/1.0 CFNetwork/1410.0.3 Darwin/22.6.0
  MyApp 1|iOS 16||Phone
MyApp/5 (iPhone; iOS 17.2; Scale/3.00)
  WKWebView |iOS 17.2|iPhone|Phone
Acme/3.2.1 (com.acme.app; build:42; iOS 17.2.0) Alamofire/5.8.1
   |iOS 17.2||Phone
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.36.140 Chrome/120.0.6099.291 Electron/28.2.10 Safari/537.36
  Electron 28.2.10|Linux ||Desktop
Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/4.0 Chrome/76.0.3809.146 TV Safari/537.36
  Samsung Internet 4|Tizen 6|SMART-TV|Tv
Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15
  Safari 13| |PlayStation 5|Unknown
Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16
  Opera Mini 36.2.2254|Android ||Phone
Mozilla/5.0
   | ||Unknown
garbage
   | ||Unknown
Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)
  IE 8|Windows XP||Desktop
aws-cli/2.15.0 Python/3.11.6 Darwin/23.1.0 source/arm64 prompt/off
  aws-cli 2.15| ||Program
Boto3/1.34.0 md/Botocore#1.34.0 ua/2.0 os/macos#23.1.0 md/arch#arm64 lang/python#3.11.6
  Boto3 1.34|macOS 23.1||Program
MyApp/1.0 CFNetwork/1240.0.4 Darwin/20.6.0 (x86_64)
  MyApp 1|macOS ||Desktop
Slack/23.10 CFNetwork/1240.0.4 Darwin/20.6.0 (Macintosh; x86_64)
  Slack 23.10|macOS ||Desktop
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1
  Safari 17.4|iOS |iPad|Tablet
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/125.0 Safari/605.1.15
  Firefox 125|iOS |iPad|Tablet
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124 Version/11.1.1 Safari/605.1.15
  Chrome 124|iOS |iPad|Tablet
Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/125.0 Mobile/15E148 Safari/605.1.15
  Firefox 125|iOS 17.4|iPad|Tablet
Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0.4.300
  Huawei Browser 5.0.4|HarmonyOS 5||Phone
Mozilla/5.0 (Tablet; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 HuaweiBrowser/5.0.4.300
  Huawei Browser 5.0.4|HarmonyOS 5||Tablet
Mozilla/5.0 (PC; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1
  Chrome 114|HarmonyOS 5||Desktop
Mozilla/5.0 (Linux; Android 10; HarmonyOS; NOH-AN00; HMSCore 6.6.0.352) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/92.0.4515.105 HuaweiBrowser/12.1.1.301 Mobile Safari/537.36
  Huawei Browser 12.1.1|Android 10||Phone
Mozilla/5.0 (Mobile; Nokia 8110 4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5
  Firefox 48|KaiOS 2.5|8110|Phone
Mozilla/5.0 (Mobile; Nokia_2720_Flip; rv:84.0) Gecko/84.0 Firefox/84.0 KAIOS/3.0
  Firefox 84|KaiOS 3|2720|Phone
Mozilla/5.0 (Wayland; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
  Firefox 128|Linux ||Desktop
Mozilla/5.0 (Wayland; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15 Epiphany/605.1.15
  Epiphany 605.1.15|Linux ||Desktop
Mozilla/5.0 (Linux; Android 12; BRAVIA 4K VH2 Build/SVP1.211006.003) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
  Chrome 124|Android 12|BRAVIA 4K VH2|Tv
Mozilla/5.0 (Linux; Android 11; SHIELD Android TV Build/RQ1A.210105.003; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36
  Android WebView 124|Android 11|SHIELD Android TV|Tv
Dalvik/2.1.0 (Linux; U; Android 12; Chromecast HD Build/STTE.230319.008)
   |Android 12|Chromecast HD|Tv
Mozilla/5.0 (Linux; Android 12.0; Build/STTL.240206.002) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/92.0.4515.0 Safari/537.36 CrKey/1.56.500000 DeviceType/AndroidTV
  Chrome 92.0.4515|Android 12|AndroidTV|Tv
Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36
  Amazon Silk 120.4.1|Android 9|Fire TV|Tv
Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager
  Chrome 94.0.4606.128|webOS |Web0S SmartTV|Tv
Mozilla/5.0 (Linux; Android 9; MIBOX4 Build/PI; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36
  Android WebView 124|Android 9|MIBOX4|Tv
AppleTV11,1/11.1
   |tvOS |AppleTV|Tv
Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682
  PowerShell 5.1.19041.1682|Windows 10||Program
Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.19045; en-US) PowerShell/7.4.1
  PowerShell 7.4.1|Windows 10||Program
Mozilla/5.0 (Macintosh; Darwin 23.1.0 Darwin Kernel Version 23.1.0; en-US) PowerShell/7.4.0
  PowerShell 7.4| ||Program
Mozilla/5.0 (Linux; Ubuntu 22.04.3 LTS; en-US) PowerShell/7.4.0
  PowerShell 7.4|Ubuntu 22.04.3||Program
Acme-BiOS/2.0 (build 7)
  Acme-BiOS 2| ||Program
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 KiosK-BIOS/1.0
  Chrome 124|Linux ||Desktop
Acme/2.0 (iOS)
   | ||Phone
Mozilla/5.0 (Linux; Android 9; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36
  Amazon Silk 120.4.1|Android 9|Kindle|Tablet
"#;

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
fn user_agents_are_told_apart() {
    let lines: Vec<&str> = TABLE.trim_matches('\n').lines().collect();
    let mut wrong = String::new();
    for pair in lines.chunks(2) {
        let [agent, expected] = pair else {
            panic!("a user agent without its line: {pair:?}")
        };
        let found = format!("  {}", line(&parse(agent)));
        if found != *expected {
            wrong += &format!("{agent}\n{found}\n");
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn the_data_carries_its_version() {
    let first_lines: Vec<_> = include_str!("../../../data/user_agents.json")
        .lines()
        .take(2)
        .collect();
    assert_eq!(
        first_lines.join(""),
        format!("{{\"version\": \"{}\",", data_version())
    );
    // `uap-core` counts by three numbers; a commit may follow.
    let numbers = data_version().split('+').next().unwrap_or_default();
    assert_eq!(numbers.split('.').count(), 3, "{}", data_version());
}

#[test]
fn what_is_no_user_agent_is_no_device() {
    let garbage = ["x", "\u{1f600}", "\u{0}\u{7}\n", "((((", "/1", "; Android"]
        .map(|text| text.repeat(64 * 1024 / text.len()));
    let odd = [
        "",
        " ",
        "/",
        "a/",
        "/1.0",
        "\u{7}curl/8.5.0",
        "Mozilla/5.0 (\u{442}\u{435}\u{43b})",
        "caf\u{e9}/1.0",
        "\u{202e}curl/1",
    ];
    for agent in odd.into_iter().chain(garbage.iter().map(String::as_str)) {
        let device = parse(agent);
        assert!(
            matches!(
                device.kind,
                DeviceKind::Unknown | DeviceKind::Phone | DeviceKind::Program
            ),
            "{device:?}"
        );
        for text in [
            device.browser,
            device.browser_version,
            device.os,
            device.os_version,
            device.model,
        ] {
            assert!(
                text.len() <= 128 && !text.chars().any(char::is_control),
                "{text:?} of {agent:.20}"
            );
        }
    }
    assert_eq!(parse(""), Device::default());
    assert_eq!(parse(&"x".repeat(64 * 1024)), Device::default());
}

#[test]
fn only_the_beginning_is_read() {
    let padded = |spaces: usize| format!("Mozilla/5.0 {}Firefox/128.0", " ".repeat(spaces));
    assert_eq!(parse(&padded(900)).browser, "Firefox");
    assert_eq!(parse(&padded(1024)).browser, "");
    // A cut within a character.
    assert_eq!(
        parse(&"\u{1f600}".repeat(257).replacen('\u{1f600}', "a", 1)),
        Device::default()
    );
}
