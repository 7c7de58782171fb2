//! The one page of a UI.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::UiError;
use super::base_path::BasePath;
use super::files::is_known;
use super::placeholders::{Config, replaced};

/// Our own: one file, no framework, nothing from elsewhere.
const OUR_OWN: &str = include_str!("index.html");

const MOST_PAGE_BYTES: u64 = 8 << 20;
const MOST_CONFIG_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Page {
    html: Bytes,
    tag: HeaderValue,
    /// Of our own page: it needs nothing but its script, its style and our answers.
    policy: Option<HeaderValue>,
}

impl Page {
    pub(super) fn of_our_own(base_path: &BasePath) -> Result<Self, UiError> {
        let html = replaced(OUR_OWN, None, base_path);
        let policy = HeaderValue::try_from(policy(&html))?;
        Ok(Self { policy: Some(policy), ..Self::new(html)? })
    }

    pub(super) fn of_folder(
        dir: &Path,
        config: Option<&Path>,
        base_path: &BasePath,
    ) -> Result<Self, UiError> {
        let html = read("the UI's page", &dir.join("index.html"), MOST_PAGE_BYTES)?;
        let config = match config {
            Some(path) => Some(Config::read(path, &read("the UI's settings", path, MOST_CONFIG_BYTES)?)?),
            None => None,
        };
        Self::new(replaced(&html, config.as_ref(), base_path))
    }

    fn new(html: String) -> Result<Self, UiError> {
        let tag = HeaderValue::try_from(format!("\"{:016x}\"", xxh3_64(html.as_bytes())))?;
        Ok(Self { html: Bytes::from(html), tag, policy: None })
    }

    /// Never taken from a cache unasked: it names the files of this version.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let mut answer = if is_known(asked, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(CONTENT_TYPE, "text/html; charset=utf-8")], self.html.clone()).into_response()
        };
        let headers = answer.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(policy) = &self.policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        answer
    }
}

/// What the page's script may do: just what it does. Names of spans and services come from anybody.
fn policy(html: &str) -> String {
    let (script, style) = (hash_within(html, "script"), hash_within(html, "style"));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Of the first element of that name.
fn hash_within(html: &str, name: &str) -> String {
    let opened = html.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    let (within, _) = opened.split_once(&format!("</{name}>")).unwrap_or_default();
    format!("sha256-{}", STANDARD.encode(Sha256::digest(within.as_bytes())))
}

fn read(what: &'static str, path: &Path, most: u64) -> Result<String, UiError> {
    let failed = |source| UiError::Read { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > most {
        return Err(UiError::TooLarge { what, path: path.to_owned(), bytes, most });
    }
    let mut read = Vec::new();
    // It may have grown since.
    file.take(most).read_to_end(&mut read).map_err(failed)?;
    String::from_utf8(read).map_err(|_| UiError::NotText { what, path: path.to_owned() })
}
