//! The requests of 24 hours as a small chart, drawn on the server: shapes only, no script and no style of its own.

use portcullis_contract::v1;

use crate::words::{Value, Words};

/// The hours of a chart.
pub(super) const HOURS: usize = 24;

const HOUR_SECONDS: i64 = 3_600;
const BAR_WIDTH: u32 = 3;
const BAR_DISTANCE: u32 = 4;
const HEIGHT: u32 = 24;

/// A chart, with its text for screen readers.
pub(super) struct Spark {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) path: String,
    pub(super) label: String,
}

/// Sorts the hours of a key into the last 24, the oldest first. An hour ahead of this machine's clock counts as the last.
pub(super) fn last_hours(hours: &[v1::ApiKeyHour], now_seconds: i64) -> [u64; HOURS] {
    let now = now_seconds.div_euclid(HOUR_SECONDS);
    let mut requests = [0_u64; HOURS];
    for hour in hours {
        let start = hour.start_time.map_or(0, |time| time.seconds);
        // Whole hours since 1970, like those in which the authority counts. So a request of a
        // minute ago may be in the hour before.
        let age = (now - start.div_euclid(HOUR_SECONDS)).max(0);
        let age = usize::try_from(age).unwrap_or(usize::MAX);
        if let Some(index) = (HOURS - 1).checked_sub(age) {
            requests[index] = requests[index].saturating_add(hour.requests);
        }
    }
    requests
}

impl Spark {
    pub(super) fn draw(words: Words, requests: &[u64; HOURS]) -> Self {
        let most = requests.iter().copied().max().unwrap_or_default();
        let total = requests
            .iter()
            .fold(0_u64, |sum, hour| sum.saturating_add(*hour));
        let mut path = String::new();
        let mut left = 0;
        for hour in requests {
            let height = bar_height(*hour, most);
            if height > 0 {
                path += &format!("M{left} {HEIGHT}v-{height}h{BAR_WIDTH}v{height}z");
            }
            left += BAR_DISTANCE;
        }
        let values = [("total", Value::from(total)), ("most", Value::from(most))];
        Self {
            width: left,
            height: HEIGHT,
            path,
            label: words.with("api-sessions-sparkline", values),
        }
    }
}

/// The height of a bar. The highest bar has the whole height, and every hour with a request can be seen.
fn bar_height(requests: u64, most: u64) -> u32 {
    if requests == 0 {
        return 0;
    }
    // Wider than a count, because a very large one times the height does not fit into its own type.
    let scaled = u128::from(requests) * u128::from(HEIGHT) / u128::from(most.max(1));
    u32::try_from(scaled).unwrap_or(HEIGHT).clamp(1, HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locale::Locale;

    const NOW: i64 = 1_795_687_200 + 1_234;

    fn hour(ago: i64, requests: u64) -> v1::ApiKeyHour {
        let begin = NOW.div_euclid(HOUR_SECONDS) - ago;
        v1::ApiKeyHour {
            start_time: Some(prost_types::Timestamp {
                seconds: begin * HOUR_SECONDS,
                nanos: 0,
            }),
            requests,
        }
    }

    #[test]
    fn each_hour_is_in_its_place_and_older_ones_are_left_out() {
        let hours = last_hours(
            &[
                hour(24, 9),
                hour(23, 1),
                hour(1, 2),
                hour(0, 3),
                hour(-1, 4),
            ],
            NOW,
        );
        let mut expected = [0; HOURS];
        (expected[0], expected[22], expected[23]) = (1, 2, 7);
        assert_eq!(hours, expected);
    }

    #[test]
    fn the_busiest_hour_is_the_highest_and_one_request_is_seen() {
        let mut requests = [0; HOURS];
        (requests[0], requests[1], requests[23]) = (u64::MAX, 1, u64::MAX / 2);
        let spark = Spark::draw(Words::of(Locale::English), &requests);
        assert_eq!(spark.width, 96);
        assert_eq!(spark.path, "M0 24v-24h3v24zM4 24v-1h3v1zM92 24v-11h3v11z");
        let none = Spark::draw(Words::of(Locale::English), &[0; HOURS]);
        assert_eq!(none.path, "");
        assert!(none.label.contains("No request"), "{}", none.label);
    }
}
