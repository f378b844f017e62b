//! The pages about gates.

use std::collections::BTreeMap;

use askama::Template;
use portcullis_contract::v1;

use crate::{
    page::{Frame, Room},
    person::Person,
    times::Moment,
    words::{Value, Words},
};

const BAR_WIDTH: u32 = 10;
const BAR_DISTANCE: u32 = 12;
const CHART_HEIGHT: u32 = 48;

/// A stream of a gate.
struct GateRow {
    name: String,
    caller: String,
    version: String,
    mode: String,
    bound: String,
    state: String,
    tone: &'static str,
    fresh: String,
    lag: String,
    streams: String,
    skew: String,
    replica: String,
    address: String,
    connected: String,
}

fn or_unknown(words: Words, text: &str) -> String {
    match text {
        "" => words.text("gates-unknown"),
        text => text.to_owned(),
    }
}

/// The word for the state of a gate, and its tone.
fn state_of(gate: &v1::ValidatorStatus) -> (&'static str, &'static str) {
    match gate.freshness {
        None => ("gates-unproven", "warning"),
        // The authority decides this: only a strict gate lapses, and each has a bound of its own.
        Some(_) if gate.lapsed => ("gates-stale", "danger"),
        Some(_) => ("gates-fresh", "good"),
    }
}

fn mode_word(mode: v1::ValidatorMode) -> &'static str {
    match mode {
        v1::ValidatorMode::Unspecified => "gates-mode-0",
        v1::ValidatorMode::Strict => "gates-mode-1",
        v1::ValidatorMode::BestEffort => "gates-mode-2",
    }
}

impl GateRow {
    fn new(person: &Person, gate: &v1::ValidatorStatus) -> Self {
        let words = person.words;
        let (state, tone) = state_of(gate);
        Self {
            name: gate.name.clone(),
            caller: gate.caller.clone(),
            version: or_unknown(words, &gate.version),
            mode: words.text(mode_word(gate.mode())),
            bound: in_milliseconds(words, gate.max_staleness.as_ref()),
            state: words.text(state),
            tone,
            fresh: freshness_text(words, gate),
            lag: words.with("gates-lag", [("count", gate.lag)]),
            streams: words.number(gate.streams),
            skew: skew_text(words, gate),
            replica: or_unknown(words, &gate.replica),
            address: or_unknown(words, &gate.address),
            connected: connection_text(person, gate),
        }
    }
}

fn freshness_text(words: Words, gate: &v1::ValidatorStatus) -> String {
    let Some(age) = &gate.freshness else {
        return String::new();
    };
    words.with("gates-ago", [("milliseconds", milliseconds(Some(age)))])
}

fn skew_text(words: Words, gate: &v1::ValidatorStatus) -> String {
    let Some(skew) = &gate.clock_skew else {
        return or_unknown(words, "");
    };
    words.with("gates-skew", [("milliseconds", milliseconds(Some(skew)))])
}

fn connection_text(person: &Person, gate: &v1::ValidatorStatus) -> String {
    match Moment::of(gate.connect_time) {
        Some(time) => person.times.relative(time),
        None => or_unknown(person.words, ""),
    }
}

/// A part of the distribution.
struct DelayRow {
    range: String,
    count: String,
}

/// The delays of the last hour, as figures, as a chart and as a table.
struct Delays {
    figures: Vec<(String, String)>,
    rows: Vec<DelayRow>,
    width: u32,
    height: u32,
    path: String,
    label: String,
}

fn in_milliseconds(words: Words, length: Option<&prost_types::Duration>) -> String {
    words.with("gates-bound", [("milliseconds", milliseconds(length))])
}

impl Delays {
    fn new(words: Words, delays: &v1::EnforcementDelays) -> Option<Self> {
        if delays.count == 0 && delays.missed == 0 {
            return None;
        }
        let counts: Vec<_> = delays.buckets.iter().map(|bucket| bucket.count).collect();
        let bars = u32::try_from(counts.len()).unwrap_or_default();
        Some(Self {
            figures: figures(words, delays),
            rows: rows(words, &delays.buckets),
            width: bars.max(1) * BAR_DISTANCE,
            height: CHART_HEIGHT,
            path: bars_of(&counts),
            label: chart_label(words, delays),
        })
    }
}

/// The figures with their names.
fn figures(words: Words, delays: &v1::EnforcementDelays) -> Vec<(String, String)> {
    let median = in_milliseconds(words, delays.p50.as_ref());
    let p99 = in_milliseconds(words, delays.p99.as_ref());
    let most = in_milliseconds(words, delays.max.as_ref());
    let figures = [
        ("gates-delays-gates", words.number(delays.count)),
        ("gates-delays-median", median),
        ("gates-delays-p99", p99),
        ("gates-delays-most", most),
        ("gates-delays-missed", words.number(delays.missed)),
    ];
    let figures = figures.map(|(word, value)| (words.text(word), value));
    figures.into()
}

/// The chart in a sentence, for screen readers.
fn chart_label(words: Words, delays: &v1::EnforcementDelays) -> String {
    let values = [
        ("count", Value::from(delays.count)),
        ("median", Value::from(milliseconds(delays.p50.as_ref()))),
        ("most", Value::from(milliseconds(delays.max.as_ref()))),
    ];
    words.with("gates-delays-chart", values)
}

/// The buckets that have something, by their bounds in whole milliseconds. Short ones share such a bound.
fn rows(words: Words, buckets: &[v1::EnforcementDelayBucket]) -> Vec<DelayRow> {
    let mut counts = BTreeMap::new();
    for bucket in buckets.iter().filter(|bucket| bucket.count > 0) {
        let bound = milliseconds(bucket.upper_bound.as_ref());
        *counts.entry(bound).or_insert(0_u64) += bucket.count;
    }
    let mut rows = Vec::new();
    for (bound, count) in counts {
        rows.push(DelayRow {
            range: words.with("gates-delays-up-to", [("milliseconds", bound)]),
            count: words.number(count),
        });
    }
    rows
}

/// The shapes of the bars: the highest has the whole height, and each that is not empty can be seen.
fn bars_of(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let mut path = String::new();
    let mut left = 0_u32;
    for count in counts {
        if *count > 0 {
            // Wider than a count, because a very large one times the height does not fit into its
            // own type.
            let scaled = u128::from(*count) * u128::from(CHART_HEIGHT) / u128::from(most);
            let height = u32::try_from(scaled).unwrap_or(CHART_HEIGHT).max(1);
            path += &format!("M{left} {CHART_HEIGHT}v-{height}h{BAR_WIDTH}v{height}z");
        }
        left += BAR_DISTANCE;
    }
    path
}

/// A length in whole milliseconds. A shorter one counts as one, and an unset length as none.
fn milliseconds(length: Option<&prost_types::Duration>) -> i64 {
    let Some(length) = length else {
        return 0;
    };
    // Wider than a message's seconds, which overflow as nanoseconds if they are very many.
    let nanos = i128::from(length.seconds) * 1_000_000_000 + i128::from(length.nanos);
    let rounded = match nanos {
        1..1_000_000 => 1,
        nanos => nanos / 1_000_000,
    };
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// The gates.
#[derive(Template)]
#[template(path = "gates/list.html")]
pub(super) struct List {
    page: Frame,
    head: String,
    partial: Option<String>,
    gates: Vec<GateRow>,
    has_best_effort: bool,
    delays: Option<Delays>,
}

impl List {
    pub(super) fn new(person: &Person, answer: &v1::ListValidatorsResponse) -> Self {
        let words = person.words;
        let mut gates = Vec::new();
        for gate in &answer.validators {
            gates.push(GateRow::new(person, gate));
        }
        let mut modes = answer.validators.iter().map(v1::ValidatorStatus::mode);
        let delays = answer.delays.as_ref();
        Self {
            page: person.frame(Room::Gates),
            head: words.with("gates-head", [("revision", answer.head_revision)]),
            partial: partial_text(words, answer),
            gates,
            has_best_effort: modes.any(|mode| mode == v1::ValidatorMode::BestEffort),
            delays: delays.and_then(|delays| Delays::new(words, delays)),
        }
    }
}

fn partial_text(words: Words, answer: &v1::ListValidatorsResponse) -> Option<String> {
    if answer.partial {
        return Some(words.text("gates-partial"));
    }
    (answer.omitted > 0).then(|| words.with("gates-omitted", [("count", answer.omitted)]))
}

/// The page for everybody else.
#[derive(Template)]
#[template(path = "gates/denied.html")]
pub(super) struct Denied {
    page: Frame,
    count: Option<String>,
}

impl Denied {
    pub(super) fn new(person: &Person, receipt: Option<&v1::Enforcement>) -> Self {
        let words = person.words;
        Self {
            page: person.frame(Room::Gates),
            count: receipt.map(|receipt| {
                let values = [
                    ("gates", receipt.validators),
                    ("confirmed", receipt.confirmed),
                ];
                words.with("gates-denied-count", values)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(seconds: i64, nanos: i32) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos }
    }

    #[test]
    fn a_delay_is_shown_in_milliseconds_and_never_as_none() {
        for (length, expected) in [
            (length(0, 1), 1),
            (length(0, 999_999), 1),
            (length(0, 2_900_000), 2),
            (length(5, 0), 5_000),
            (length(0, -3_000_000), -3),
            (length(i64::MAX, 0), i64::MAX),
        ] {
            assert_eq!(milliseconds(Some(&length)), expected, "{length:?}");
        }
    }

    #[test]
    fn each_bucket_has_a_bar_and_a_row() {
        let words = Words::of(crate::locale::Locale::English);
        let bucket = |bound, count| v1::EnforcementDelayBucket {
            upper_bound: Some(length(0, bound)),
            count,
        };
        let delays = v1::EnforcementDelays {
            count: 61,
            p50: Some(length(0, 1_500_000)),
            max: Some(length(0, 7_000_000)),
            buckets: vec![
                bucket(2_000_000, 50),
                bucket(2_800_000, 10),
                bucket(4_000_000, 0),
                bucket(8_000_000, 1),
            ],
            ..v1::EnforcementDelays::default()
        };
        let shown = Delays::new(words, &delays).expect("measured");
        assert_eq!(shown.path, "M0 48v-48h10v48zM12 48v-9h10v9zM36 48v-1h10v1z");
        // Two of the buckets are of the same whole milliseconds.
        let rows: Vec<_> = shown.rows.iter().map(|row| row.count.as_str()).collect();
        assert_eq!(rows, ["60", "1"]);
        assert!(
            shown.label.contains("61") && shown.label.contains("7"),
            "{}",
            shown.label
        );
        let none = v1::EnforcementDelays::default();
        assert!(Delays::new(words, &none).is_none());
    }
}
