//! Messages of Jaeger's gRPC interfaces, as `proto/` defines them: requests, and the answers that are small.
//!
//! By hand, because building needs no protoc, and because answers that carry spans are no trees here: they are
//! written from spans as bytes (`super::otlp`, `super::grpc::model`). A test compares each of these messages with
//! its definition, field by field.

// Each package has a file.
pub mod api_v2;
pub mod api_v3;
pub mod expression;
pub mod storage;
// What is written without messages.
pub(crate) mod wire;

use prost::Message;

use super::time::unix_nano_of_timestamp;

/// All definitions, as reflection hands them out.
pub const DESCRIPTORS: &[u8] = include_bytes!("../../proto/descriptors.bin");

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The first second of the year 1: what Go's clients send in the place of no time.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    pub(crate) fn of_unix_nano(nanos: u64) -> Self {
        let (seconds, nanos) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
        // At most the year 2554.
        Self { seconds: seconds.cast_signed(), nanos: nanos as i32 }
    }

    /// None: it stands for no time.
    pub(crate) fn unix_nano(time: Option<&Self>) -> Option<u64> {
        let time = time.filter(|time| time.seconds != GO_ZERO_SECONDS || time.nanos != 0)?;
        Some(unix_nano_of_timestamp(time.seconds, time.nanos))
    }
}

impl Duration {
    /// 0: none. What is too long for any span is as long as can be said.
    pub(crate) fn nanos(duration: Option<&Self>) -> i64 {
        let Some(duration) = duration else { return 0 };
        let nanos = i128::from(duration.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(duration.nanos);
        nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

/// A count as a protobuf's `int32`.
pub(crate) fn count(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_the_year_one_for_no_time() {
        let at = |seconds, nanos| Timestamp::unix_nano(Some(&Timestamp { seconds, nanos }));
        assert_eq!(at(GO_ZERO_SECONDS, 0), None);
        assert_eq!(Timestamp::unix_nano(None), None);
        assert_eq!(at(0, 0), Some(0));
        assert_eq!(at(2, 3), Some(2_000_000_003));
        assert_eq!((at(i64::MAX, i32::MAX), at(i64::MIN, i32::MIN)), (Some(u64::MAX), Some(0)));
        for nanos in [0, 1, 1_700_000_000_000_000_001, u64::MAX] {
            assert_eq!(Timestamp::unix_nano(Some(&Timestamp::of_unix_nano(nanos))), Some(nanos));
        }
    }

    #[test]
    fn should_take_durations_of_any_size() {
        let of = |seconds, nanos| Duration::nanos(Some(&Duration { seconds, nanos }));
        assert_eq!((of(0, 0), Duration::nanos(None)), (0, 0));
        assert_eq!((of(1, 5), of(-1, -5)), (1_000_000_005, -1_000_000_005));
        assert_eq!((of(i64::MAX, 0), of(i64::MIN, 0)), (i64::MAX, i64::MIN));
    }
}
