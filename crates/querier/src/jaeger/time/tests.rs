use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;

#[test]
fn should_read_durations_as_go_writes_them() {
    for (text, nanos) in [
        ("0", 0),
        ("0s", 0),
        ("1.2s", 1_200_000_000),
        ("100ms", 100_000_000),
        ("500us", 500_000),
        ("500µs", 500_000),
        ("500μs", 500_000),
        ("7ns", 7),
        ("1h30m", 5_400 * SECOND),
        ("-1.5h", -5_400 * SECOND),
        ("+5s", 5 * SECOND),
        (".5s", SECOND / 2),
        ("1.s", SECOND),
        ("1h0m0.000000001s", 3_600 * SECOND + 1),
        ("0.3333333333333333333h", 1_200 * SECOND - 1),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
    ] {
        assert_eq!(duration_of(text), Ok(nanos), "{text}");
    }
}

#[test]
fn should_refuse_durations_that_go_refuses() {
    for text in ["", "-", "s", ".s", "1.2.3s", "1x", "1S", "1 s", "abc", "1d", "--1s", "1s-1s"] {
        assert!(matches!(duration_of(text), Err(TimeError::Duration(_))), "{text}: {:?}", duration_of(text));
    }
    for text in ["10", "1.5", "1s10", "-3"] {
        assert!(matches!(duration_of(text), Err(TimeError::NoUnit(_))), "{text}");
    }
    let digits = format!("{}h", "9".repeat(500));
    for text in ["9223372036854775808ns", "3000000h", digits.as_str()] {
        assert!(matches!(duration_of(text), Err(TimeError::DurationTooLong(_))), "{text}");
    }
}

#[test]
fn should_read_rfc_3339_in_all_its_forms() {
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("2026-11-21T10:20:30.5Z", 1_795_256_430_500_000_000),
        ("2026-11-21t10:20:30.5z", 1_795_256_430_500_000_000),
        ("2026-11-21T12:20:30.500+02:00", 1_795_256_430_500_000_000),
        // Nobody encoded the plus.
        ("2026-11-21T12:20:30.500 02:00", 1_795_256_430_500_000_000),
        ("2026-11-21T09:50:30.5-00:30", 1_795_256_430_500_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", u64::MAX),
    ] {
        assert_eq!(unix_nano_of_rfc3339(text), Ok(expected), "{text}");
    }
}

#[test]
fn should_refuse_what_is_no_time() {
    for text in [
        "",
        "now",
        "1700000000000000",
        "2026-11-21",
        "2026-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T10:20:30",
        "2026-11-21T10:20:30.Z",
        "2026-11-21T10:20:30+2:00",
        "2026-11-21T10:20:30+02",
        "+026-11-21T10:20:30Z",
        "2026-11-21T10:20:30Zx",
        "2026-11-2äT10:20:30Z",
    ] {
        assert!(unix_nano_of_rfc3339(text).is_err(), "{text}");
    }
}

#[test]
fn should_know_milliseconds_where_microseconds_are_due() {
    assert_eq!(unix_nano_of_micros(1_700_000_000_000_000), 1_700_000_000_000_000_000);
    assert_eq!(unix_nano_of_micros(1_700_000_000_000), 1_700_000_000_000_000_000);
    assert_eq!(unix_nano_of_micros(5), 5_000);
    assert_eq!((unix_nano_of_micros(-5), unix_nano_of_micros(i64::MAX)), (0, u64::MAX));
    assert_eq!(unix_nano_of_timestamp(-62_135_596_800, 0), 0);
    assert_eq!(unix_nano_of_timestamp(1, 5), 1_000_000_005);
    assert_eq!(unix_nano_of_timestamp(i64::MAX, i32::MAX), u64::MAX);
}

proptest! {
    #[test]
    fn should_read_the_times_that_it_writes(unix_nano: u64) {
        let mut text = String::new();
        write_rfc3339(unix_nano, &mut text);
        prop_assert_eq!(unix_nano_of_rfc3339(&text), Ok(unix_nano), "{}", text);
    }
}
