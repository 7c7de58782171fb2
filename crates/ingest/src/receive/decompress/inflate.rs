//! gzip, with any number of members, and zlib, which HTTP calls deflate.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::budget::NoRoom;

use super::{DecompressError, Output};

const GZIP: &str = "gzip";
const ZLIB: &str = "deflate";

/// Flags of a gzip header.
const HEADER_CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

thread_local! {
    /// Building one takes longer than a small request.
    static CONTEXT: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

pub(super) fn gzip<G>(body: &[u8], output: &mut Output<G>) -> Result<(), DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    let mut rest = body;
    loop {
        let start = output.bytes.len();
        rest = inflate(false, GZIP, after_header(rest)?, output)?;
        let written = output.bytes.get(start..).unwrap_or_default();
        let (checksum, length) = (crc32fast::hash(written), written.len() as u32);
        if take_u32(&mut rest)? != checksum || take_u32(&mut rest)? != length {
            return Err(damaged(GZIP, "its checksum or length is another"));
        }
        if rest.is_empty() {
            return Ok(());
        }
    }
}

pub(super) fn zlib<G>(body: &[u8], output: &mut Output<G>) -> Result<(), DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    match inflate(true, ZLIB, body, output)? {
        [] => Ok(()),
        _ => Err(damaged(ZLIB, "bytes follow its end")),
    }
}

/// Inflates one stream; what follows it is returned.
fn inflate<'a, G>(
    zlib: bool,
    encoding: &'static str,
    body: &'a [u8],
    output: &mut Output<G>,
) -> Result<&'a [u8], DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    let mut context = CONTEXT.take().unwrap_or_else(|| Decompress::new(false));
    context.reset(zlib);
    let consumed = inflate_with(&mut context, encoding, body, output);
    CONTEXT.set(Some(context));
    Ok(body.get(consumed?..).unwrap_or_default())
}

/// How many bytes of the body the stream takes.
fn inflate_with<G>(
    context: &mut Decompress,
    encoding: &'static str,
    body: &[u8],
    output: &mut Output<G>,
) -> Result<usize, DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    let consumed = |context: &Decompress| usize::try_from(context.total_in()).unwrap_or(usize::MAX);
    loop {
        output.make_room()?;
        let before = (consumed(context), output.bytes.len());
        let rest = body.get(before.0..).unwrap_or_default();
        let status = context
            .decompress_vec(rest, &mut output.bytes, FlushDecompress::None)
            .map_err(|_| damaged(encoding, "it is no valid deflate stream"))?;
        output.check()?;
        match status {
            Status::StreamEnd => return Ok(consumed(context)),
            // There was room, and nothing came: it waits for input.
            _ if before == (consumed(context), output.bytes.len()) => {
                return Err(DecompressError::Truncated(encoding));
            }
            _ => {}
        }
    }
}

/// What follows the header of a gzip member.
fn after_header(member: &[u8]) -> Result<&[u8], DecompressError> {
    let mut rest = member;
    let header = take(&mut rest, 10)?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else {
        return Err(damaged(GZIP, "where a member should start there is none"));
    };
    if flags & RESERVED != 0 {
        return Err(damaged(GZIP, "its header has unknown flags"));
    }
    if flags & EXTRA != 0 {
        let length =
            take(&mut rest, 2)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        take(&mut rest, length)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let length = rest.iter().position(|byte| *byte == 0).ok_or(DecompressError::Truncated(GZIP))?;
            take(&mut rest, length + 1)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        take(&mut rest, 2)?;
    }
    Ok(rest)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecompressError> {
    let (taken, behind) = rest.split_at_checked(length).ok_or(DecompressError::Truncated(GZIP))?;
    *rest = behind;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DecompressError> {
    let bytes = take(rest, 4)?;
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| DecompressError::Truncated(GZIP))
}

fn damaged(encoding: &'static str, what: &'static str) -> DecompressError {
    DecompressError::Damaged { encoding, what }
}
