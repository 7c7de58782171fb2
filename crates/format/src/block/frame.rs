//! A page's body as one zstd frame, in blocks that end where its parts end.
//!
//! ```text
//! frame header | block of levels | block of values, or one of each byte stream
//! ```
//!
//! Levels, indices and the streams of split numbers have little in common: blocks of
//! their own get codes of their own, which makes pages smaller, and a reader that
//! learns from the levels that it needs no value leaves the rest of the frame alone.
//! To any other reader it is a frame like others. It does not say its length: the
//! page header does.

use std::cell::RefCell;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, compress_bound, get_error_name,
};

use super::leaf::Damage;

/// Compressors, one for each level that is used.
pub(crate) struct FrameWriter {
    contexts: Vec<(i32, CCtx<'static>)>,
}

impl FrameWriter {
    pub(crate) fn new() -> Self {
        Self { contexts: Vec::new() }
    }

    /// Compresses a body into `out`; at each cut a block ends.
    pub(crate) fn compress(
        &mut self,
        level: i32,
        body: &[u8],
        cuts: &[usize],
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let failed = |code| std::io::Error::other(get_error_name(code));
        let context = self.context(level).map_err(failed)?;
        context.set_pledged_src_size(Some(body.len() as u64)).map_err(failed)?;
        out.clear();
        out.reserve(compress_bound(body.len()) + MOST_BLOCK_OVERHEAD * (cuts.len() + 1));
        let mut output = OutBuffer::around(out);
        let mut start = 0;
        let parts = cuts.iter().map(|cut| (*cut, ZSTD_EndDirective::ZSTD_e_flush));
        for (end, directive) in parts.chain([(body.len(), ZSTD_EndDirective::ZSTD_e_end)]) {
            let mut input = InBuffer::around(&body[start..end]);
            // There is room for all, so every step gets on.
            while context.compress_stream2(&mut output, &mut input, directive).map_err(failed)? > 0 {}
            start = end;
        }
        Ok(())
    }

    fn context(&mut self, level: i32) -> Result<&mut CCtx<'static>, usize> {
        let index = match self.contexts.iter().position(|(known, _)| *known == level) {
            Some(index) => index,
            None => {
                let mut context = CCtx::create();
                context.set_parameter(CParameter::CompressionLevel(level))?;
                context.set_parameter(CParameter::ContentSizeFlag(false))?;
                self.contexts.push((level, context));
                self.contexts.len() - 1
            }
        };
        Ok(&mut self.contexts[index].1)
    }
}

/// A block's header, and what the end of a frame takes.
const MOST_BLOCK_OVERHEAD: usize = 16;

/// A frame that is opened as far as it is needed.
pub(crate) struct FrameReader<'a> {
    stored: &'a [u8],
    /// Bytes of `stored` that are decompressed.
    read: usize,
    length: usize,
    decoder: Option<Decoder>,
}

/// What a thread keeps: making it costs as much as reading several pages.
struct Decoder {
    context: DCtx<'static>,
    body: Vec<u8>,
}

thread_local! {
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

/// Windows of frames that are ours are smaller; a larger one is a claim on memory.
const MOST_WINDOW_LOG: u32 = 24;
/// A body larger than this is not kept for the next page.
const MOST_KEPT_BYTES: usize = 1 << 20;

const BROKEN: Damage = "a page that does not decompress";

impl<'a> FrameReader<'a> {
    /// A frame of `length` bytes.
    pub(crate) fn new(stored: &'a [u8], length: usize) -> Result<Self, Damage> {
        let mut decoder = DECODER.take().map_or_else(Decoder::new, Ok)?;
        decoder.body.clear();
        decoder.body.reserve_exact(length);
        decoder.context.init().map_err(|_| BROKEN)?;
        Ok(Self { stored, read: 0, length, decoder: Some(decoder) })
    }

    /// The first block, and whatever else is decompressed.
    pub(crate) fn front(&mut self) -> Result<&[u8], Damage> {
        if self.read == 0 {
            self.read_to(first_block_end(self.stored).ok_or(BROKEN)?)?;
        }
        Ok(self.body())
    }

    /// The whole body, of exactly the length that was said.
    pub(crate) fn whole(&mut self) -> Result<&[u8], Damage> {
        if self.read == 0 {
            let decoder = self.decoder.as_mut().ok_or(BROKEN)?;
            decoder.context.decompress(&mut decoder.body, self.stored).map_err(|_| BROKEN)?;
            self.read = self.stored.len();
        }
        self.read_to(self.stored.len())?;
        if self.body().len() == self.length { Ok(self.body()) } else { Err(BROKEN) }
    }

    /// The whole body, if that was read.
    pub(crate) fn opened(&self) -> Option<&[u8]> {
        (self.read == self.stored.len() && self.body().len() == self.length).then(|| self.body())
    }

    fn body(&self) -> &[u8] {
        self.decoder.as_ref().map_or(&[], |decoder| &decoder.body)
    }

    fn read_to(&mut self, end: usize) -> Result<(), Damage> {
        let decoder = self.decoder.as_mut().ok_or(BROKEN)?;
        let written = decoder.body.len();
        let mut output = OutBuffer::around_pos(&mut decoder.body, written);
        let mut input = InBuffer::around(&self.stored[self.read..end]);
        while input.pos() < input.src.len() {
            let before = (input.pos(), output.pos());
            decoder.context.decompress_stream(&mut output, &mut input).map_err(|_| BROKEN)?;
            if (input.pos(), output.pos()) == before {
                // More content than was said, or bytes behind the frame.
                return Err(BROKEN);
            }
        }
        self.read = end;
        Ok(())
    }
}

impl Decoder {
    fn new() -> Result<Self, Damage> {
        let mut context = DCtx::try_create().ok_or("no memory to decompress")?;
        context.set_parameter(DParameter::WindowLogMax(MOST_WINDOW_LOG)).map_err(|_| BROKEN)?;
        Ok(Self { context, body: Vec::new() })
    }
}

impl Drop for FrameReader<'_> {
    fn drop(&mut self) {
        if let Some(decoder) = self.decoder.take()
            && decoder.body.capacity() <= MOST_KEPT_BYTES
        {
            DECODER.set(Some(decoder));
        }
    }
}

/// Where a frame's first block ends (RFC 8878, 3.1.1).
fn first_block_end(frame: &[u8]) -> Option<usize> {
    let descriptor = *frame.get(4)?;
    let single_segment = descriptor >> 5 & 1 == 1;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let at = 5 + window + dictionary + content_size;
    let header = frame.get(at..at + 3)?;
    let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let (last, kind, size) = (header & 1, header >> 1 & 3, (header >> 3) as usize);
    let stored = if kind == RUN_LENGTH_BLOCK { 1 } else { size };
    // Of the last block all is wanted, a checksum too.
    if last == 1 { Some(frame.len()) } else { Some(at + 3 + stored).filter(|end| *end <= frame.len()) }
}

const RUN_LENGTH_BLOCK: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compress(body: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        FrameWriter::new().compress(4, body, cuts, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn should_give_back_any_body_and_its_first_part(
            parts in prop::collection::vec((0u8..4, 1usize..3000), 1..6), first in 0u8..250,
        ) {
            let mut body = Vec::new();
            let mut cuts = Vec::new();
            for (kind, length) in parts {
                cuts.push(body.len());
                body.extend((0..length).map(|at| match kind {
                    0 => first,
                    1 => (at * at % 251) as u8,
                    2 => (at / 100) as u8,
                    _ => (at as u32).wrapping_mul(2_654_435_769).to_le_bytes()[3],
                }));
            }
            let frame = compress(&body, &cuts[1..]);
            prop_assert_eq!(zstd::bulk::Decompressor::new().unwrap().decompress(&frame, body.len()).unwrap(), body.clone());
            let mut reader = FrameReader::new(&frame, body.len()).unwrap();
            let first = cuts.get(1).copied().unwrap_or(body.len());
            prop_assert_eq!(reader.front().unwrap(), &body[..first]);
            prop_assert_eq!(reader.whole().unwrap(), &body[..]);
            drop(reader);
            let mut reader = FrameReader::new(&frame, body.len()).unwrap();
            prop_assert_eq!(reader.whole().unwrap(), &body[..]);
        }

        #[test]
        fn should_never_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100), length in 0usize..300) {
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
            frame.extend_from_slice(&bytes);
            for frame in [&frame, &bytes] {
                let _ = FrameReader::new(frame, length).unwrap().whole();
                let mut reader = FrameReader::new(frame, length).unwrap();
                if reader.front().is_ok() {
                    let _ = reader.whole();
                }
            }
        }
    }

    #[test]
    fn should_refuse_another_length_and_bytes_behind_the_frame() {
        let body = b"settles as silt and becomes stone, settles as silt and becomes stone";
        let mut frame = compress(body, &[20]);
        let is_refused = |frame: &[u8], length| {
            let at_once = FrameReader::new(frame, length).unwrap().whole().is_err();
            let mut reader = FrameReader::new(frame, length).unwrap();
            at_once && (reader.front().is_err() || reader.whole().is_err())
        };
        assert!(!is_refused(&frame, body.len()));
        for length in [body.len() - 1, body.len() + 1, 0] {
            assert!(is_refused(&frame, length), "{length}");
        }
        frame.extend_from_slice(&frame.clone());
        assert!(is_refused(&frame, body.len()));
    }
}
