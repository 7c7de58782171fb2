//! What a browser gets, and below which path of the port all of it lies: a page of our own, or a folder with a
//! built UI such as Jaeger's.
//!
//! A UI of one page has addresses of its own (`/search`, `/trace/…`), so that every path that is neither the API's
//! nor a file's answers the page.

// Where on the port.
pub mod base_path;
// The page, and what is written into it for this server.
mod page;
mod placeholders;
// The files beside it.
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use base_path::BasePath;
use files::Files;
use page::Page;

const TEXT: &str = "text/plain; charset=utf-8";
/// Below these there is no page: who asks for what there is not, is told so.
const WITHOUT_PAGE: [&str; 2] = ["/api", "/static"];

/// What is served to browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UiSettings {
    pub base_path: BasePath,
    /// With a built UI: `index.html` and `static/`. Without it, our own page.
    pub dir: Option<PathBuf>,
    /// What that UI is told: JSON, or JavaScript with a function `UIConfig`.
    pub config: Option<PathBuf>,
}

/// Why a UI cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    #[error("{what} `{}` cannot be read: {source}", path.display())]
    Read { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{what} `{}` has {bytes} bytes, and may have {most}", path.display())]
    TooLarge { what: &'static str, path: PathBuf, bytes: u64, most: u64 },
    #[error("{what} `{}` is no text in UTF-8", path.display())]
    NotText { what: &'static str, path: PathBuf },
    #[error("the UI's settings `{}` must be a file .json or .js", .0.display())]
    ConfigKind(PathBuf),
    #[error("the UI's settings `{}` are no JSON object: {source}", path.display())]
    ConfigJson { path: PathBuf, source: serde_json::Error },
    #[error("the UI's settings `{}` must define `function UIConfig()`, which returns them", .0.display())]
    ConfigFunction(PathBuf),
    #[error("the UI's settings `{}` have `</script` in them, which would end the script they are put into", .0.display())]
    ConfigEndsScript(PathBuf),
    #[error("a header cannot be written: {0}")]
    Header(#[from] http::header::InvalidHeaderValue),
}

/// What is served to browsers, read.
#[derive(Debug)]
pub struct Ui {
    base_path: BasePath,
    page: Page,
    files: Option<Files>,
}

impl Ui {
    /// Reads the page, and blocks meanwhile. What changes of it later is seen after the next start.
    pub fn open(settings: &UiSettings) -> Result<Self, UiError> {
        let base_path = settings.base_path.clone();
        let Some(dir) = &settings.dir else {
            return Ok(Self { page: Page::of_our_own(&base_path)?, base_path, files: None });
        };
        let page = Page::of_folder(dir, settings.config.as_deref(), &base_path)?;
        Ok(Self { base_path, page, files: Some(Files::of_folder(dir)?) })
    }
}

/// `api`, with a UI beside it, below the base path.
pub fn with_ui(api: Router, ui: Ui) -> Router {
    let ui = Arc::new(ui);
    let inside = api
        .route("/static/{*path}", get(static_file).with_state(Arc::clone(&ui)))
        .fallback_service(any_other.with_state(Arc::clone(&ui)));
    match ui.base_path.as_str() {
        "" => inside,
        base_path => Router::new()
            .nest(base_path, inside)
            // With a slash behind it, it is no path of what is nested.
            .route(&format!("{base_path}/"), get(page).with_state(Arc::clone(&ui)))
            .fallback_service(outside.with_state(ui)),
    }
}

async fn static_file(State(ui): State<Arc<Ui>>, Path(path): Path<String>, asked: HeaderMap) -> Response {
    let Some(files) = &ui.files else { return not_found() };
    match files.open(path).await {
        Ok(Some(file)) => file.answer(&asked),
        Ok(None) => not_found(),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("the file cannot be read: {error}\n")),
    }
}

async fn page(State(ui): State<Arc<Ui>>, asked: HeaderMap) -> Response {
    ui.page.answer(&asked)
}

async fn any_other(State(ui): State<Arc<Ui>>, method: Method, uri: Uri, asked: HeaderMap) -> Response {
    let is_below = |prefix: &&str| {
        uri.path().strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if WITHOUT_PAGE.iter().any(is_below) {
        return not_found();
    }
    if ![Method::GET, Method::HEAD].contains(&method) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "a page can only be read\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    ui.page.answer(&asked)
}

/// Whoever set a base path has something else before us, or should know.
async fn outside(State(ui): State<Arc<Ui>>) -> Response {
    let said = format!("404 page not found: all of this server is below {}/\n", ui.base_path.as_str());
    text(StatusCode::NOT_FOUND, said)
}

/// As Jaeger says it.
fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned())
}

fn text(status: StatusCode, said: String) -> Response {
    (status, [(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, "nosniff")], said).into_response()
}

#[cfg(test)]
mod tests;
