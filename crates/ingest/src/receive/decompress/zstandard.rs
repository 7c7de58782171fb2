//! zstd, with any number of frames.

use std::cell::RefCell;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use crate::budget::NoRoom;

use super::{DecompressError, Output};

const ZSTD: &str = "zstd";

/// The largest window that is opened: 8 MiB, which RFC 9659 sets as the bound for a content encoding.
const WINDOW_LOG: u32 = 23;

/// A context that has grown beyond that is given back: there may be many threads. Windows up to some 700 KiB fit.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    /// Building one takes longer than a small request.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn zstd<G>(body: &[u8], output: &mut Output<G>) -> Result<(), DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    // Taken out: one that met an error is not used again.
    let mut context = match CONTEXT.take() {
        Some(context) => context,
        None => new_context()?,
    };
    context.reset(ResetDirective::SessionOnly).map_err(damaged)?;
    decompress(&mut context, body, output)?;
    if context.sizeof() <= KEPT_BYTES {
        CONTEXT.set(Some(context));
    }
    Ok(())
}

fn new_context() -> Result<DCtx<'static>, DecompressError> {
    let mut context = DCtx::try_create().ok_or_else(|| said("there is no memory for it"))?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(damaged)?;
    Ok(context)
}

fn decompress<G>(context: &mut DCtx<'_>, body: &[u8], output: &mut Output<G>) -> Result<(), DecompressError>
where
    G: FnMut(usize) -> Result<(), NoRoom>,
{
    let mut input = InBuffer::around(body);
    loop {
        output.make_room()?;
        let before = (input.pos(), output.bytes.len());
        // Appends behind what is there, up to the capacity, and sets the length.
        let mut window = OutBuffer::around_pos(&mut output.bytes, before.1);
        let wanted = context.decompress_stream(&mut window, &mut input).map_err(damaged)?;
        output.check()?;
        // A frame is complete and all of it is written; another may follow.
        if wanted == 0 && input.pos() == body.len() {
            return Ok(());
        }
        if before == (input.pos(), output.bytes.len()) {
            return Err(DecompressError::Truncated(ZSTD));
        }
    }
}

fn damaged(code: usize) -> DecompressError {
    said(get_error_name(code))
}

fn said(what: &'static str) -> DecompressError {
    DecompressError::Damaged { encoding: ZSTD, what }
}
