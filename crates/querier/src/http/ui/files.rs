//! Files of a UI's folder: none from outside of it, whatever a path or a link says; read piece by piece, and not on
//! the threads of sockets.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::task::spawn_blocking;

use super::UiError;

const FOLDER: &str = "static";
const PIECE_BYTES: usize = 64 << 10;
/// Built UIs have a hash in their files' names: a new version asks for others.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// What files are, by the ends of their names.
const KINDS: [(&str, &str); 20] = [
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("otf", "font/otf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
];

/// The files of a UI.
#[derive(Debug)]
pub(super) struct Files {
    /// Without links.
    folder: Arc<Path>,
}

/// A file that is being answered.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    bytes: u64,
    tag: HeaderValue,
    kind: &'static str,
}

impl Files {
    pub(super) fn of_folder(dir: &Path) -> Result<Self, UiError> {
        let path = dir.join(FOLDER);
        match path.canonicalize() {
            Ok(folder) => Ok(Self { folder: folder.into() }),
            Err(source) => Err(UiError::Read { what: "the UI's folder", path, source }),
        }
    }

    /// None: there is no such file, or none that may be seen.
    pub(super) async fn open(&self, path: String) -> io::Result<Option<Opened>> {
        let folder = Arc::clone(&self.folder);
        spawn_blocking(move || open(&folder, &path)).await.map_err(io::Error::other)?
    }
}

fn open(folder: &Path, path: &str) -> io::Result<Option<Opened>> {
    let Some(below) = names(path) else { return Ok(None) };
    let there = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Ok(None),
        _ => Err(error),
    };
    // Links within the folder are followed, and none that leads out of it.
    let real = match folder.join(below).canonicalize() {
        Ok(real) if real.starts_with(folder) => real,
        Ok(_) => return Ok(None),
        Err(error) => return there(error),
    };
    // Before it is opened: to open a pipe waits for whoever writes to it.
    if !real.metadata()?.is_file() {
        return Ok(None);
    }
    let file = File::open(&real)?;
    let metadata = file.metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let tag = format!("\"{:x}-{changed:x}\"", metadata.len());
    let tag = HeaderValue::try_from(tag).map_err(io::Error::other)?;
    Ok(Some(Opened { file, bytes: metadata.len(), tag, kind: kind_of(path) }))
}

/// The path, if it has nothing but names, none of which is hidden.
fn names(path: &str) -> Option<PathBuf> {
    let is_name = |name: &str| {
        let mut components = Path::new(name).components();
        let is_plain = matches!(components.next(), Some(Component::Normal(plain)) if plain == name);
        is_plain && components.next().is_none() && !name.starts_with('.') && !name.contains(['\0', '\\'])
    };
    path.split('/').map(|name| is_name(name).then_some(name)).collect()
}

fn kind_of(path: &str) -> &'static str {
    let end = path.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    let known = KINDS.iter().find(|(known, _)| *known == end);
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

impl Opened {
    pub(super) fn answer(self, asked: &HeaderMap) -> Response {
        let tag = self.tag.clone();
        let mut answer = if is_known(asked, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let head =
                [(CONTENT_TYPE, HeaderValue::from_static(self.kind)), (CONTENT_LENGTH, self.bytes.into())];
            (head, Body::from_stream(pieces(self.file, self.bytes))).into_response()
        };
        let headers = answer.headers_mut();
        headers.insert(ETAG, tag);
        headers.insert(CACHE_CONTROL, KEPT);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }
}

/// So many bytes of a file. One that has become shorter breaks off.
fn pieces(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, bytes), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = move || {
            let wanted = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let mut piece = vec![0; wanted];
            file.read_exact(&mut piece)?;
            Ok::<_, io::Error>((Bytes::from(piece), (file, left - wanted as u64)))
        };
        spawn_blocking(read).await.map_err(io::Error::other)?.map(Some)
    })
}

/// Whether the client has that version.
pub(super) fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes())
}
