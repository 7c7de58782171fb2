use std::path::Path;
use std::time::Duration;

use super::list::{self, Kind};
use super::*;

fn with(text: &str) -> Result<Resolved, SettingsError> {
    let mut layers = Layers::defaults();
    layers.add_toml(Path::new("siltstone.toml"), text)?;
    Resolved::from_layers(&layers)
}

fn complaint(text: &str) -> String {
    with(text).expect_err(text).to_string()
}

#[test]
fn should_work_without_any_file() {
    let resolved = with("").unwrap();
    assert_eq!(resolved.role, Role::All);
    assert_eq!(resolved.store.to_string(), "file:./siltstone-data/objects");
    assert_eq!(resolved.listen.otlp_grpc.to_string(), "127.0.0.1:4317");
    assert_eq!(resolved.ingest.durability, Durability::Wal);
    // What the libraries take for usual, and what the program does, are the same.
    assert_eq!(resolved.ingest.otlp, siltstone_ingest::receive::otlp::Settings::default());
    assert_eq!(resolved.ingest.limits.everybody, siltstone_ingest::limits::Limits::default());
}

#[test]
fn should_read_every_kind_of_value() {
    let resolved = with(
        r#"
        role = "ingest"
        store = "s3://bucket/prefix"
        drain_deadline = "1h30m"
        [listen]
        otlp_http = "[::]:0"
        admin = "localhost:1"
        [ingest]
        memory = "512MiB"
        request_bytes = 1000
        tenants = true
        cors_origins = ["https://a.example", "https://b.example"]
        [s3]
        access_key_id = "AKIA"
        secret_access_key = "geheim"
        addressing = "path"
        [query]
        base_path = "/jaeger"
        ui_dir = "ui"
        ui_config = "ui.json"
        [limits.default]
        bytes_per_second = "1MiB"
        longest_keep = "30d"
        [limits.tenants.team-a]
        bytes_per_second = 5
    "#,
    )
    .unwrap();
    assert_eq!((resolved.role, resolved.drain_deadline), (Role::Ingest, Duration::from_secs(5_400)));
    assert_eq!(resolved.store.to_string(), "s3://bucket/prefix");
    assert_eq!(resolved.listen.otlp_http.to_string(), "[::]:0");
    assert_eq!(resolved.listen.admin.to_string(), "127.0.0.1:1");
    assert_eq!((resolved.ingest.memory_bytes, resolved.ingest.otlp.request_bytes), (512 << 20, 1_000));
    assert!(resolved.ingest.otlp.tenants);
    assert_eq!(resolved.ingest.otlp.cors_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(resolved.store_settings.s3.addressing, Some(siltstone_store::Addressing::Path));
    let limits = &resolved.ingest.limits;
    let own = limits.of(&"team-a".parse().unwrap());
    assert_eq!((limits.everybody.bytes_per_second, own.bytes_per_second), (1 << 20, 5));
    assert_eq!(own.longest_keep, Some(Duration::from_secs(30 * 86_400)));
    let ui = &resolved.query.ui;
    assert_eq!((ui.base_path.as_str(), ui.dir.as_deref()), ("/jaeger", Some(Path::new("ui"))));
    assert_eq!(ui.config.as_deref(), Some(Path::new("ui.json")));
    assert!(!format!("{resolved:?}").contains("geheim"));
}

#[test]
fn should_name_file_line_and_setting_in_complaints() {
    for (text, expected) in [
        (
            "[compact]\njobs = 5",
            "the default: `compact.memory` is less than 64 MiB for each of 5 jobs (compact.jobs)",
        ),
        ("role = \"x\"", "siltstone.toml:1: `role` cannot be `x`: write all or ingest"),
        (
            "\n[ingest]\nmemroy = 1",
            "siltstone.toml:3: there is no setting `ingest.memroy` (did you mean `ingest.memory`?)",
        ),
        (
            "[ingest]\nmemory = \"lots\"",
            "siltstone.toml:2: `ingest.memory` is wrong: `lots` is not a number of bytes",
        ),
        (
            "[ingest]\nmemory = \"168MiB\"",
            "siltstone.toml:2: `ingest.memory` is less than the 169 MiB that one",
        ),
        (
            "[ingest]\nmemory = \"unlimited\"",
            "siltstone.toml:2: `ingest.memory` is `unlimited`, and must have a bound",
        ),
        ("[ingest]\nread_deadline = \"forever\"", "siltstone.toml:2: `ingest.read_deadline` is `forever`"),
        (
            "[ingest]\nread_deadline = 5",
            "siltstone.toml:2: `ingest.read_deadline` must be written as duration",
        ),
        ("[ingest]\ntenants = \"yes\"", "siltstone.toml:2: `ingest.tenants` is `yes`: write true or false"),
        ("[ingest]\ncors_origins = \"a\"", "siltstone.toml:2: `ingest.cors_origins` must be written as list"),
        (
            "[ingest]\nconnections = 0",
            "siltstone.toml:2: `ingest.connections` is `0`: write a whole number from 1 on",
        ),
        (
            "[listen]\nadmin = \"13133\"",
            "siltstone.toml:2: `listen.admin` is `13133`: write an IP address and a port",
        ),
        ("store = \"ftp://x\"", "siltstone.toml:1: `store` names no store: "),
        ("[s3]\naccess_key_id = \"a\"", "siltstone.toml:2: `s3.access_key_id` needs s3.secret_access_key"),
        ("[azure]\nclient_id = \"a\"", "siltstone.toml:2: `azure.client_id` does not make one key"),
        ("\n\n[limits.tenants.\"a/b\"]\nx = 1", "siltstone.toml:3: `limits.tenants.a/b` cannot be a tenant"),
        ("[limits.tenants.a]\nlive = 1", "siltstone.toml:2: there is no setting `limits.default.live`"),
        ("[limits.tenants]\na = 1", "siltstone.toml:2: `limits.tenants.a` must be a table of limits"),
        (
            "[query]\nbase_path = \"/jaeger/\"",
            "siltstone.toml:2: `query.base_path` cannot be `/jaeger/`: write a path that begins with a slash",
        ),
        ("[query]\nui_config = \"ui.js\"", "siltstone.toml:2: `query.ui_config` is for the UI in a folder"),
        ("a = ", "siltstone.toml:1: "),
        ("data = \"\"", "`data` must have a value"),
    ] {
        let said = complaint(text);
        assert!(said.contains(expected), "{text}\n{said}\n{expected}");
    }
}

#[test]
fn should_let_variables_win_over_the_file_and_doubt_what_they_mean() {
    let mut layers = Layers::defaults();
    layers.add_toml(Path::new("f"), "[ingest]\nmemory = \"2GiB\"\ndurability = \"object\"").unwrap();
    let variables = [
        ("SILTSTONE_INGEST_MEMORY", "3GiB"),
        ("SILTSTONE_INGEST_CORS_ORIGINS", "https://a, https://b,"),
        ("SILTSTONE_INGEST_MEMROY", "1"),
        ("SILTSTONE_SERVICE_HOST", "10.0.0.1"),
        ("SILTSTONE_PORT_4317_TCP", "tcp://10.0.0.1:4317"),
        ("SILTSTONE_CONFIG", "f"),
        ("OTHER", "1"),
    ];
    layers.add_variables(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let resolved = Resolved::from_layers(&layers).unwrap();
    assert_eq!((resolved.ingest.memory_bytes, resolved.ingest.durability), (3 << 30, Durability::Object));
    assert_eq!(resolved.ingest.otlp.cors_origins, ["https://a", "https://b"]);
    let expected =
        "the variable SILTSTONE_INGEST_MEMROY is no setting (did you mean `SILTSTONE_INGEST_MEMORY`?)";
    assert_eq!(resolved.doubts, [expected]);
    let flag = Origin::Flag("ingest-memory".to_owned());
    layers.set(list::find("ingest.memory").unwrap(), "x".to_owned(), flag);
    let said = Resolved::from_layers(&layers).unwrap_err().to_string();
    assert!(said.starts_with("the flag --ingest-memory: `ingest.memory` is wrong"), "{said}");
}

#[test]
fn should_take_no_secrets_as_flags_and_give_each_setting_one_name() {
    let mut names: Vec<String> = list::ALL.iter().map(list::Setting::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), list::ALL.len());
    for setting in list::ALL {
        assert_eq!(setting.flag().is_none(), setting.kind == Kind::Secret);
        assert!(setting.meaning.ends_with('.'), "{}", setting.name);
    }
    // What the receivers' messages call their settings.
    for name in
        ["ingest.request_bytes", "ingest.uncompressed_bytes", "ingest.read_deadline", "ingest.tenants"]
    {
        assert!(list::find(name).is_some(), "{name}");
    }
}

#[test]
fn should_be_described_by_the_reference_page() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md")).unwrap();
    let table = list::as_markdown();
    assert!(
        page.contains(&table),
        "docs/settings.md has another table than `siltstone settings --markdown`:\n{table}"
    );
}
