use std::path::Path as FilePath;

use axum::body::{Body, to_bytes};
use http::Request;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(&name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn site(settings: &UiSettings) -> Router {
    let api = Router::new().route("/api/sql", get(async || "rows"));
    with_ui(api, Ui::open(settings).unwrap())
}

fn below(base_path: &str) -> UiSettings {
    UiSettings { base_path: base_path.parse().unwrap(), ..UiSettings::default() }
}

async fn ask(site: &Router, request: Request<Body>) -> Answered {
    let answer = site.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answered { status: head.status, headers: head.headers, body }
}

async fn read(site: &Router, path: &str) -> Answered {
    ask(site, Request::get(path).body(Body::empty()).unwrap()).await
}

/// A folder with a UI, and beside it what is nobody's business.
fn folder() -> (TempDir, UiSettings) {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("ui");
    let write = |path: &str, content: &[u8]| {
        let path = around.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("secret.txt", b"secret");
    write("ui/index.html", b"<base href=\"/\"><script>\nJAEGER_VERSION = DEFAULT_VERSION;\n</script>");
    write("ui/static/a b.js", b"let a;");
    write("ui/static/media/logo.SVG", b"<svg/>");
    write("ui/static/large", &[7; 200_000]);
    write("ui/static/empty.css", b"");
    write("ui/static/.hidden", b"hidden");
    #[cfg(unix)]
    for (to, name) in [("../../secret.txt", "out.txt"), ("a b.js", "in.js"), ("../..", "around")] {
        std::os::unix::fs::symlink(to, dir.join("static").join(name)).unwrap();
    }
    (around, UiSettings { dir: Some(dir), ..UiSettings::default() })
}

#[tokio::test]
async fn should_answer_our_own_page_wherever_there_is_nothing_else() {
    for (base_path, paths) in [
        ("", ["/", "/trace/0123", "/search?service=a", "/apiary"]),
        ("/jaeger", ["/jaeger", "/jaeger/", "/jaeger/trace/0123", "/jaeger/search"]),
    ] {
        let site = site(&below(base_path));
        for path in paths {
            let page = read(&site, path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert_eq!(page.header(CONTENT_TYPE), "text/html; charset=utf-8");
            assert_eq!(page.header(CACHE_CONTROL), "no-cache");
            assert_eq!(page.header(X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert!(page.text().contains(&format!("<base href=\"{base_path}/\">")), "{path}");
        }
        let rows = read(&site, &format!("{base_path}/api/sql")).await;
        assert_eq!((rows.status, rows.text()), (StatusCode::OK, "rows"));
        for path in ["/api", "/api/nothing", "/api/v3/nothing", "/static", "/static/", "/static/index.js"] {
            let nothing = read(&site, &format!("{base_path}{path}")).await;
            assert_eq!(
                (nothing.status, nothing.text()),
                (StatusCode::NOT_FOUND, "404 page not found\n"),
                "{path}"
            );
            assert_eq!(nothing.header(CONTENT_TYPE), TEXT);
        }
    }
}

#[tokio::test]
async fn should_say_where_everything_is_to_who_asks_outside_of_the_base_path() {
    let site = site(&below("/jaeger/ui"));
    for path in ["/", "/api/sql", "/jaeger", "/jaeger/uix"] {
        let outside = read(&site, path).await;
        assert_eq!(outside.status, StatusCode::NOT_FOUND, "{path}");
        assert!(outside.text().ends_with("all of this server is below /jaeger/ui/\n"), "{}", outside.text());
    }
}

#[tokio::test]
async fn should_let_our_own_page_do_nothing_but_what_it_does() {
    let page = read(&site(&below("")), "/").await;
    let policy = page.header(CONTENT_SECURITY_POLICY);
    for part in
        ["default-src 'none'; ", "script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // What the policy would not let through anyway: browsers would show half a page.
    let html = page.text();
    assert_eq!((html.matches("<script").count(), html.matches("<style").count()), (1, 1));
    for attribute in [" style=\"", " src=\"", " onclick=\"", " onload=\"", "innerHTML", "javascript:"] {
        assert!(!html.contains(attribute), "{attribute}");
    }
}

#[tokio::test]
async fn should_only_be_read() {
    let site = site(&below(""));
    let posted = ask(&site, Request::post("/search").body(Body::empty()).unwrap()).await;
    assert_eq!((posted.status, posted.header(ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    let head = ask(&site, Request::head("/search").body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn should_send_what_a_browser_has_no_second_time() {
    let (around, settings) = folder();
    let site = site(&settings);
    for path in ["/", "/static/large"] {
        let first = read(&site, path).await;
        let tag = first.header(ETAG).to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{tag}");
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let request = Request::get(path).header(IF_NONE_MATCH, known).body(Body::empty()).unwrap();
            let again = ask(&site, request).await;
            assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
            assert_eq!(again.header(ETAG), tag);
        }
        let request = Request::get(path).header(IF_NONE_MATCH, "\"other\"").body(Body::empty()).unwrap();
        assert_eq!(ask(&site, request).await.body, first.body);
    }
    let before = read(&site, "/static/large").await;
    std::fs::write(around.path().join("ui/static/large"), [8; 100_000]).unwrap();
    let after = read(&site, "/static/large").await;
    assert_ne!(before.header(ETAG), after.header(ETAG));
    assert_eq!(after.body, [8; 100_000]);
}

#[tokio::test]
async fn should_serve_the_files_of_a_folder() {
    let (_around, mut settings) = folder();
    for base_path in ["", "/jaeger"] {
        settings.base_path = base_path.parse().unwrap();
        let site = site(&settings);
        for (path, kind, content) in [
            ("a%20b.js", "text/javascript; charset=utf-8", &b"let a;"[..]),
            ("media/logo.SVG", "image/svg+xml", b"<svg/>"),
            ("large", "application/octet-stream", &[7; 200_000]),
            ("empty.css", "text/css; charset=utf-8", b""),
            #[cfg(unix)]
            ("in.js", "text/javascript; charset=utf-8", b"let a;"),
        ] {
            let file = read(&site, &format!("{base_path}/static/{path}")).await;
            assert_eq!((file.status, file.header(CONTENT_TYPE)), (StatusCode::OK, kind), "{path}");
            assert_eq!(file.header(CONTENT_LENGTH), content.len().to_string());
            assert_eq!(file.header(CACHE_CONTROL), "public, max-age=3600");
            assert_eq!(file.body, content);
        }
        let page = read(&site, &format!("{base_path}/search")).await;
        assert!(page.text().starts_with(&format!("<base href=\"{base_path}/\">")), "{}", page.text());
        assert!(page.text().contains("JAEGER_VERSION = {\"buildDate\":\"\""), "{}", page.text());
        // Its scripts are not ours to judge.
        assert_eq!(page.header(CONTENT_SECURITY_POLICY), "");
    }
}

#[tokio::test]
async fn should_serve_nothing_from_outside_of_the_folder() {
    let (_around, settings) = folder();
    let site = site(&settings);
    for path in [
        "../index.html",
        "../../secret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "..%2f..%2fsecret.txt",
        "media/../../../secret.txt",
        "..%5c..%5csecret.txt",
        "%2fetc/hostname",
        "/etc/hostname",
        "a%00.js",
        "out.txt",
        "around/secret.txt",
        "around/ui/index.html",
        ".hidden",
        "media",
        "media/",
        "./large",
        "large/",
        "nothing.js",
    ] {
        let refused = read(&site, &format!("/static/{path}")).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(refused.text(), "404 page not found\n", "{path}");
    }
    let long = "a".repeat(5_000);
    assert_eq!(read(&site, &format!("/static/{long}")).await.status, StatusCode::NOT_FOUND);
}

#[test]
fn should_say_what_is_wrong_with_a_folder() {
    let (around, settings) = folder();
    let page = around.path().join("ui/index.html");
    let config = |path: &FilePath| UiSettings { config: Some(path.to_owned()), ..settings.clone() };
    let said = |settings: &UiSettings| Ui::open(settings).unwrap_err().to_string();
    let missing = said(&config(FilePath::new("missing.json")));
    assert!(missing.starts_with("the UI's settings `missing.json` cannot be read: "), "{missing}");
    let kind = said(&config(&around.path().join("secret.txt")));
    assert!(kind.ends_with("must be a file .json or .js"), "{kind}");
    std::fs::write(&page, [0xff]).unwrap();
    assert_eq!(said(&settings), format!("the UI's page `{}` is no text in UTF-8", page.display()));
    std::fs::write(&page, vec![b' '; (8 << 20) + 1]).unwrap();
    assert!(said(&settings).ends_with("has 8388609 bytes, and may have 8388608"));
    std::fs::remove_file(&page).unwrap();
    assert!(said(&settings).contains("index.html` cannot be read: "));
    std::fs::write(&page, "").unwrap();
    std::fs::remove_dir_all(around.path().join("ui/static")).unwrap();
    assert!(said(&settings).contains("static` cannot be read: "));
}
