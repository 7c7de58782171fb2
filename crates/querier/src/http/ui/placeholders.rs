//! What Jaeger UI's page has for servers to replace: settings, version, what the server can do, where it lies.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::UiError;
use super::base_path::BasePath;

/// The line that a script takes the place of.
const SCRIPT_LINE: &str = "JAEGER_CONFIG_JS";

/// What a UI is told beside what every server tells it.
pub(super) enum Config {
    Json(Map<String, Value>),
    Script(String),
}

impl Config {
    /// By the file's name.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, UiError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("json") => serde_json::from_str(text)
                .map(Self::Json)
                .map_err(|source| UiError::ConfigJson { path: path.to_owned(), source }),
            Some("js") if !defines_config(text) => Err(UiError::ConfigFunction(path.to_owned())),
            Some("js") if text.to_ascii_lowercase().contains("</script") => {
                Err(UiError::ConfigEndsScript(path.to_owned()))
            }
            Some("js") => Ok(Self::Script(text.trim().to_owned())),
            _ => Err(UiError::ConfigKind(path.to_owned())),
        }
    }
}

/// `function UIConfig()`, with whatever space is between.
fn defines_config(script: &str) -> bool {
    script.match_indices("function").any(|(at, word)| {
        let rest = &script[at + word.len()..];
        let Some(rest) = rest.trim_start().strip_prefix("UIConfig") else { return false };
        rest.split_whitespace().collect::<String>().starts_with("(){")
    })
}

/// The page with what is true of this server.
pub(super) fn replaced(page: &str, config: Option<&Config>, base_path: &BasePath) -> String {
    // Archived traces are marked, rates are computed of spans, services need not be named; nothing talks.
    let capabilities = json!({
        "archiveStorage": true,
        "metricsStorage": true,
        "searchWithoutServiceName": true,
        "aiAssistant": false,
    });
    let version = format!("siltstone-{}", env!("CARGO_PKG_VERSION"));
    let version = json!({"gitCommit": "", "gitVersion": version, "buildDate": ""});
    let mut page = page.replace("<base href=\"/\"", &format!("<base href=\"{base_path}/\""));
    for (name, value) in [
        ("VERSION", &version),
        ("STORAGE_CAPABILITIES", &capabilities),
        ("BACKEND_CAPABILITIES", &capabilities),
    ] {
        page = assigned(&page, name, &in_script(value));
    }
    match config {
        None => page,
        Some(Config::Json(settings)) => {
            assigned(&page, "CONFIG", &in_script(&Value::Object(settings.clone())))
        }
        Some(Config::Script(script)) => {
            let lines = page
                .split_inclusive('\n')
                .map(|line| if is_script_line(line) { format!("{script}\n") } else { line.to_owned() });
            lines.collect()
        }
    }
}

/// `JAEGER_X = DEFAULT_X;` with a value in place of the default.
fn assigned(page: &str, name: &str, value: &str) -> String {
    let (variable, default) = (format!("JAEGER_{name}"), format!("DEFAULT_{name};"));
    let mut all = String::with_capacity(page.len() + value.len());
    let mut parts = page.split(&variable);
    all.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = part.trim_start_matches(' ').strip_prefix('=').map(|rest| rest.trim_start_matches(' '));
        all.push_str(&variable);
        match rest.and_then(|rest| rest.strip_prefix(&default)) {
            Some(rest) => {
                all.push_str(&format!(" = {value};"));
                all.push_str(rest);
            }
            None => all.push_str(part),
        }
    }
    all
}

fn is_script_line(line: &str) -> bool {
    let comment = line.trim_start().strip_prefix("//");
    comment.is_some_and(|comment| comment.trim_start().to_ascii_uppercase().starts_with(SCRIPT_LINE))
}

/// JSON that neither ends a script nor begins another one.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Jaeger UI has them, of either age.
    const PAGE: &str = "<base href=\"/\" data-inject-target=\"BASE_URL\" />\n<script>\n\
        // JAEGER_CONFIG_JS\n\
        const JAEGER_CONFIG = DEFAULT_CONFIG;\n\
        const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;\n\
        const JAEGER_BACKEND_CAPABILITIES=DEFAULT_BACKEND_CAPABILITIES;\n\
        const JAEGER_VERSION  =  DEFAULT_VERSION;\n\
        return JAEGER_CONFIG;\n</script>\n";

    fn config(name: &str, text: &str) -> Result<Config, UiError> {
        Config::read(Path::new(name), text)
    }

    fn value_of<'a>(page: &'a str, name: &str) -> &'a str {
        let (_, rest) = page.split_once(&format!("JAEGER_{name} = ")).unwrap();
        rest.split_once(";\n").unwrap().0
    }

    #[test]
    fn should_say_what_is_true_of_this_server() {
        let page = replaced(PAGE, None, &"/jaeger/ui".parse().unwrap());
        assert!(page.starts_with("<base href=\"/jaeger/ui/\" data-inject-target"), "{page}");
        for name in ["STORAGE_CAPABILITIES", "BACKEND_CAPABILITIES"] {
            let told: Value = serde_json::from_str(value_of(&page, name)).unwrap();
            assert_eq!(
                told,
                json!({"archiveStorage": true, "metricsStorage": true, "searchWithoutServiceName": true,
                       "aiAssistant": false})
            );
        }
        let version: Value = serde_json::from_str(value_of(&page, "VERSION")).unwrap();
        assert_eq!(version["gitVersion"], concat!("siltstone-", env!("CARGO_PKG_VERSION")));
        // Without settings the UI keeps its own.
        assert!(page.contains("// JAEGER_CONFIG_JS\nconst JAEGER_CONFIG = DEFAULT_CONFIG;"));
        assert!(replaced(PAGE, None, &BasePath::default()).starts_with("<base href=\"/\" data"));
    }

    #[test]
    fn should_put_settings_where_the_page_wants_them() {
        let json = config("ui.JSON", "{\"menu\": [\"</script><b>\"], \"a\": 1}").unwrap();
        let page = replaced(PAGE, Some(&json), &BasePath::default());
        assert_eq!(page.matches("</script>").count(), 1, "{page}");
        let told: Value = serde_json::from_str(value_of(&page, "CONFIG")).unwrap();
        assert_eq!(told, json!({"menu": ["</script><b>"], "a": 1}));
        assert!(page.contains("return JAEGER_CONFIG;"));
        let script = "\nfunction  UIConfig( ) {\n  return {a: 1};\n}\n";
        let page = replaced(PAGE, Some(&config("ui.js", script).unwrap()), &BasePath::default());
        let expected =
            "<script>\nfunction  UIConfig( ) {\n  return {a: 1};\n}\nconst JAEGER_CONFIG = DEFAULT";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn should_say_what_is_wrong_with_settings() {
        for (name, text, says) in [
            ("ui.json", "[1]", "`ui.json` are no JSON object: "),
            ("ui.json", "{", "`ui.json` are no JSON object: "),
            ("ui.js", "const UIConfig = 1; function Other() {}", "must define `function UIConfig()`"),
            ("ui.js", "function UIConfig() { return '</SCRIPT>' }", "`</script` in them"),
            ("ui.yaml", "a: 1", "must be a file .json or .js"),
            ("ui", "", "must be a file .json or .js"),
        ] {
            let error = config(name, text).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
