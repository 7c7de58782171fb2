//! What a browser gets of the program: our own page, and a UI in a folder.

use crate::process::Process;

#[test]
fn should_show_a_page_without_any_settings() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start("all", &folder.path().join("data"), &folder.path().join("store"));
    for path in ["/", "/trace/5b8efff798038103d269b633813fc60c"] {
        let (head, body) = process.ask("query", &format!("GET {path}"), "");
        let head = head.to_ascii_lowercase();
        assert!(head.contains(" 200 ") && head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"), "{head}");
        assert!(body.contains("<base href=\"/\">") && body.contains("<title>Siltstone</title>"), "{body}");
    }
    let (head, body) = process.ask("query", "HEAD /", "");
    assert!(head.contains(" 200 ") && body.is_empty(), "{head}\n{body}");
    let (head, body) = process.ask("query", "GET /api/nothing", "");
    assert!(head.contains(" 404 ") && body == "404 page not found\n", "{head}\n{body}");
    process.end();
}

#[test]
fn should_serve_a_folder_below_a_base_path() {
    let folder = tempfile::tempdir().unwrap();
    let ui = folder.path().join("ui");
    std::fs::create_dir_all(ui.join("static")).unwrap();
    let page = "<base href=\"/\"><script>\n// JAEGER_CONFIG_JS\nJAEGER_CONFIG = DEFAULT_CONFIG;\n</script>";
    std::fs::write(ui.join("index.html"), page).unwrap();
    std::fs::write(ui.join("static/app.js"), "let app;").unwrap();
    let config = folder.path().join("ui.json");
    std::fs::write(&config, "{\"archiveEnabled\": true}").unwrap();
    let (ui, config) = (ui.to_str().unwrap(), config.to_str().unwrap());
    let more = ["--ui-dir", ui, "--query-ui-config", config, "--query-base-path", "/jaeger"];
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    let process = Process::start_with("all", &data, &store, &more);
    for path in ["/jaeger", "/jaeger/", "/jaeger/search"] {
        let (head, body) = process.ask("query", &format!("GET {path}"), "");
        assert!(head.contains(" 200 "), "{path}: {head}");
        assert!(body.starts_with("<base href=\"/jaeger/\">"), "{body}");
        assert!(body.contains("JAEGER_CONFIG = {\"archiveEnabled\":true};"), "{body}");
    }
    let (head, body) = process.ask("query", "GET /jaeger/static/app.js", "");
    assert!(head.to_ascii_lowercase().contains("content-type: text/javascript"), "{head}");
    assert_eq!(body, "let app;");
    let (head, body) = process.ask("query", "POST /jaeger/api/sql", "SELECT count(*) AS n FROM spans");
    assert!(head.contains(" 200 ") && body.contains("\"n\":0"), "{head}\n{body}");
    let (head, _) = process.ask("query", "GET /api/sql?q=SELECT+1", "");
    assert!(head.contains(" 404 "), "{head}");
    process.end();
}
