use std::io::Write;

use flate2::{Compression, GzBuilder, write::GzEncoder, write::ZlibEncoder};
use proptest::prelude::*;

use super::*;

const MANY: usize = 1 << 30;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::bulk::Compressor::new(3).expect("a context");
    encoder.include_checksum(true).expect("a parameter");
    encoder.compress(bytes).expect("memory")
}

type Compress = fn(&[u8]) -> Vec<u8>;

const ALL: [(Encoding, Compress); 3] =
    [(Encoding::Gzip, gzip), (Encoding::Deflate, zlib), (Encoding::Zstd, zstd)];

fn open(encoding: Encoding, body: &[u8], cap: usize) -> Result<Bytes, DecompressError> {
    opened(encoding, body, cap).0
}

/// What comes out, and how much was asked for.
fn opened(encoding: Encoding, body: &[u8], cap: usize) -> (Result<Bytes, DecompressError>, usize) {
    let mut asked = 0_usize;
    let result = decompress(encoding, &Bytes::copy_from_slice(body), cap, |bytes| {
        asked += bytes;
        Ok(())
    });
    (result, asked)
}

/// Believable, and not all the same.
fn text(length: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|n| format!("{:x} span ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes())
        .take(length)
        .collect()
}

#[test]
fn should_know_encodings_by_name() {
    for (name, encoding) in [
        ("", Encoding::Identity),
        ("identity", Encoding::Identity),
        ("none", Encoding::Identity),
        (" GZIP", Encoding::Gzip),
        ("x-gzip", Encoding::Gzip),
        ("deflate", Encoding::Deflate),
        ("zstd", Encoding::Zstd),
    ] {
        assert_eq!(Encoding::named(name), Ok(encoding), "{name}");
    }
    assert_eq!(Encoding::named("br"), Err(DecompressError::UnknownEncoding("br".to_owned())));
}

#[test]
fn should_open_what_was_compressed_of_any_length_again_and_again() {
    for length in [0, 1, 100, FIRST_STEP - 1, FIRST_STEP, FIRST_STEP + 1, 300_000, 3_000_000] {
        let bytes = text(length);
        for (encoding, compress) in ALL {
            let (result, asked) = opened(encoding, &compress(&bytes), MANY);
            assert!(result.expect("opens") == bytes, "{encoding:?} {length}");
            assert!(asked <= 2 * length + 2 * FIRST_STEP, "{encoding:?}: {asked} for {length}");
        }
        assert!(open(Encoding::Identity, &bytes, length).expect("opens") == bytes);
    }
}

#[test]
fn should_stop_at_the_cap_and_not_before() {
    for length in [1, 1_000, FIRST_STEP, 100_000] {
        let bytes = text(length);
        for (encoding, compress) in ALL.into_iter().chain([(Encoding::Identity, <[u8]>::to_vec as Compress)])
        {
            let body = compress(&bytes);
            assert_eq!(open(encoding, &body, length).map(|bytes| bytes.len()), Ok(length), "{encoding:?}");
            let cap = length - 1;
            assert_eq!(open(encoding, &body, cap), Err(DecompressError::TooLarge { cap }), "{encoding:?}");
        }
    }
}

#[test]
fn should_open_several_members_and_frames_as_one_body() {
    let (first, second) = (text(70_000), text(5));
    for (encoding, compress) in [(Encoding::Gzip, gzip as Compress), (Encoding::Zstd, zstd)] {
        let empty = compress(&[]);
        let body = [empty.clone(), compress(&first), empty.clone(), compress(&second), empty].concat();
        let whole = [first.clone(), second.clone()].concat();
        assert!(open(encoding, &body, MANY).expect("opens") == whole, "{encoding:?}");
        let cap = whole.len() - 1;
        assert_eq!(open(encoding, &body, cap), Err(DecompressError::TooLarge { cap }), "{encoding:?}");
    }
}

#[test]
fn should_open_a_gzip_header_with_everything_in_it() {
    let builder = GzBuilder::new().extra(vec![7; 300]).filename("a name").comment("a comment").mtime(1);
    let mut encoder = builder.write(Vec::new(), Compression::fast());
    encoder.write_all(b"content").expect("memory");
    let body = encoder.finish().expect("memory");
    assert_eq!(open(Encoding::Gzip, &body, MANY).as_deref(), Ok(&b"content"[..]));
    for end in 0..body.len() {
        assert_eq!(
            open(Encoding::Gzip, &body[..end], MANY),
            Err(DecompressError::Truncated("gzip")),
            "{end}"
        );
    }
}

#[test]
fn should_refuse_a_body_that_ends_too_early_or_goes_on_behind_its_end() {
    let bytes = text(20_000);
    for (encoding, compress) in ALL {
        let body = compress(&bytes);
        for end in (0..body.len()).step_by(97).chain([body.len() - 1, body.len() - 4]) {
            let result = open(encoding, &body[..end], MANY);
            assert!(matches!(result, Err(DecompressError::Truncated(_))), "{encoding:?} {end}: {result:?}");
        }
        for garbage in [&b"\0"[..], b"garbage", &[0; 100]] {
            let result = open(encoding, &[&body, garbage].concat(), MANY);
            let refused =
                matches!(result, Err(DecompressError::Damaged { .. } | DecompressError::Truncated(_)));
            assert!(refused, "{encoding:?}: {result:?}");
        }
    }
}

#[test]
fn should_recover_from_a_damaged_body_in_the_next_one() {
    let bytes = text(40_000);
    for (encoding, compress) in ALL {
        let body = compress(&bytes);
        for at in (0..body.len()).step_by(211) {
            let mut damaged = body.clone();
            damaged[at] ^= 0x10;
            // Some bits of a gzip header mean nothing. All others are covered by a checksum.
            let harmless = encoding == Encoding::Gzip && at < 10;
            assert!(harmless || open(encoding, &damaged, MANY).is_err(), "{encoding:?} {at}");
            assert!(open(encoding, &body, MANY).expect("opens") == bytes);
        }
    }
}

#[test]
fn should_bound_what_a_bomb_may_take() {
    let cap = 1 << 20;
    let mut bombs = vec![(Encoding::Gzip, gzip(&vec![0; 10 << 20]).repeat(20))];
    bombs.push((Encoding::Gzip, gzip(&gzip(&vec![0; 64 << 20]))));
    let mut zeros = zstd::Encoder::new(Vec::new(), 1).expect("a context");
    let block = vec![0; 1 << 20];
    (0..4096).for_each(|_| zeros.write_all(&block).expect("memory"));
    bombs.push((Encoding::Zstd, zeros.finish().expect("memory")));
    for (encoding, bomb) in &bombs {
        let (result, asked) = opened(*encoding, bomb, cap);
        assert!(asked <= cap + 1, "{encoding:?} asked for {asked}");
        if let Ok(bytes) = result {
            // One layer only is opened, and it was small.
            assert!(bytes.len() <= cap);
        }
    }
    assert_eq!(open(Encoding::Gzip, &bombs[0].1, cap), Err(DecompressError::TooLarge { cap }));
    assert_eq!(open(Encoding::Zstd, &bombs[2].1, cap), Err(DecompressError::TooLarge { cap }));
}

#[test]
fn should_not_trust_what_a_frame_says_of_its_length() {
    // A frame of one segment that says it holds 2^40 bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    frame.extend_from_slice(&(1_u64 << 40).to_le_bytes());
    frame.extend_from_slice(&[1, 0, 0]);
    let (result, asked) = opened(Encoding::Zstd, &frame, MANY);
    assert!(result.is_err() && asked <= FIRST_STEP, "{result:?} {asked}");
}

#[test]
fn should_refuse_a_window_that_is_too_large_for_a_request() {
    let compressed = |log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("a context");
        encoder.window_log(log).expect("a window");
        encoder.write_all(&text(100_000)).expect("memory");
        encoder.finish().expect("memory")
    };
    assert!(open(Encoding::Zstd, &compressed(WINDOW_LOG), MANY).is_ok());
    let refused = open(Encoding::Zstd, &compressed(WINDOW_LOG + 1), MANY).map_err(|error| error.to_string());
    assert_eq!(
        refused,
        Err("the zstd body is damaged: Frame requires too much memory for decoding".to_owned())
    );
}

const WINDOW_LOG: u32 = 23;

#[test]
fn should_stop_when_there_is_no_room() {
    let no_room = NoRoom { wanted: 1, used: 2, limit: 3 };
    for (encoding, compress) in ALL {
        let mut steps = 3;
        let result = decompress(encoding, &Bytes::from(compress(&text(1 << 20))), MANY, |_| {
            steps -= 1;
            if steps < 0 { Err(no_room) } else { Ok(()) }
        });
        assert_eq!(result, Err(DecompressError::NoRoom(no_room)), "{encoding:?}");
        assert!(open(encoding, &compress(b"next"), MANY).is_ok());
    }
}

proptest! {
    #[test]
    fn should_survive_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), start in 0..4_usize) {
        let starts: [&[u8]; 4] = [b"", &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], &[0x78, 0x9c]];
        let body = [starts[start], &bytes].concat();
        for (encoding, _) in ALL {
            let (result, asked) = opened(encoding, &body, 100_000);
            prop_assert!(asked <= 100_001);
            prop_assert!(result.map_or(0, |bytes| bytes.len()) <= 100_000);
        }
    }
}
