//! Every setting: its name, default and meaning. The one source of flags, variables, the file's keys, the
//! output of `siltstone settings` and the page `docs/settings.md`.

use std::fmt::Write;

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A text that is not printed, and that no flag takes: others see a process's arguments.
    Secret,
    /// One of these words.
    Word(&'static [&'static str]),
    Address,
    Bytes,
    Count,
    Duration,
    Switch,
    /// In the file a list, elsewhere with commas.
    List,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// In the file: table and key.
    pub name: &'static str,
    pub kind: Kind,
    /// Empty: none.
    pub default: &'static str,
    pub meaning: &'static str,
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, kind, default, meaning }
}

/// In the order of the reference page. A name's first part is a table of the file.
pub(crate) const ALL: &[Setting] = &[
    setting("role", Kind::Word(&["all", "ingest", "query", "compact"]), "all", "What this process does."),
    setting(
        "data",
        Kind::Text,
        "./siltstone-data",
        "The folder of what this machine keeps: the log of accepted requests.",
    ),
    setting(
        "store",
        Kind::Text,
        "",
        "Where blocks are kept: file:./folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. \
         Without it, the folder `objects` in `data`.",
    ),
    setting(
        "log",
        Kind::Text,
        "info",
        "What is logged to standard error: error, warn, info, debug, trace, also by module \
         (`info,siltstone_ingest=debug`).",
    ),
    setting(
        "drain_deadline",
        Kind::Duration,
        "30s",
        "How long an orderly end may take; what is not flushed by then is read from the log at the next start.",
    ),
    setting(
        "retention",
        Kind::Text,
        "",
        "How long traces are kept of tenants that have no rules of their own (`siltstone retention set`), such as \
         `keep 7d; keep 90d where status = error`. Without it, for ever.",
    ),
    setting("listen.otlp_grpc", Kind::Address, "127.0.0.1:4317", "OTLP over gRPC. Port 0: any free one."),
    setting("listen.otlp_http", Kind::Address, "127.0.0.1:4318", "OTLP over HTTP."),
    setting(
        "listen.live",
        Kind::Address,
        "127.0.0.1:14317",
        "Internal: other processes of Siltstone read here what is in no block yet.",
    ),
    setting(
        "listen.query",
        Kind::Address,
        "127.0.0.1:16686",
        "Queries over HTTP: a page for people, Jaeger's interfaces, SQL at /api/sql. Jaeger's gRPC services too.",
    ),
    setting(
        "listen.query_grpc",
        Kind::Address,
        "127.0.0.1:16685",
        "Jaeger's query services over gRPC alone.",
    ),
    setting(
        "listen.jaeger_storage",
        Kind::Address,
        "127.0.0.1:17271",
        "Where Jaeger finds its store: its storage services over gRPC and, if this process ingests, OTLP.",
    ),
    setting(
        "listen.admin",
        Kind::Address,
        "127.0.0.1:13133",
        "/live, /ready, /metrics and /status; /api/siltstone/deletions with admin.token.",
    ),
    setting(
        "admin.token",
        Kind::Secret,
        "",
        "Whoever sends it as `Authorization: Bearer …` to the admin port may delete traces: 16 characters or more. \
         Without one nobody can there.",
    ),
    setting(
        "ingest.durability",
        Kind::Word(&["wal", "object"]),
        "wal",
        "What an acknowledged request survives by: `wal`, a log on this machine's disk; `object`, a log in the \
         store, so that the machine may be lost.",
    ),
    setting(
        "ingest.advertise",
        Kind::Text,
        "",
        "Where other processes reach `listen.live` of this one, such as http://10.0.0.7:14317. Without it, that \
         address as it is.",
    ),
    setting(
        "ingest.memory",
        Kind::Bytes,
        "512MiB",
        "What spans and requests may hold of memory. At the bound, senders are told to wait.",
    ),
    setting(
        "ingest.log_bytes",
        Kind::Bytes,
        "20GiB",
        "What the log may hold on the disk while the store is away. At the bound, senders are told to wait.",
    ),
    setting(
        "ingest.large_tenant_age",
        Kind::Duration,
        "30s",
        "How old spans become before they are flushed, of tenants that fill blocks by themselves.",
    ),
    setting(
        "ingest.small_tenant_age",
        Kind::Duration,
        "10m",
        "How old spans become before they are flushed, of all other tenants. They are safe, and found, meanwhile.",
    ),
    setting("ingest.request_bytes", Kind::Bytes, "20MiB", "The largest request, as it comes."),
    setting(
        "ingest.uncompressed_bytes",
        Kind::Bytes,
        "64MiB",
        "The largest request once decompressed, or turned from JSON into protobuf.",
    ),
    setting(
        "ingest.read_deadline",
        Kind::Duration,
        "30s",
        "How long the body of a request may take to arrive.",
    ),
    setting(
        "ingest.connections",
        Kind::Count,
        "1024",
        "Connections that are served at once, on each port. More wait to be taken in.",
    ),
    setting(
        "ingest.idle",
        Kind::Duration,
        "2m",
        "A connection that is silent for so long is closed, unless it watches the health of the server.",
    ),
    setting(
        "ingest.tenants",
        Kind::Switch,
        "false",
        "Whether requests must say whose spans they hold, in the header X-Scope-OrgID (or x-tenant). If not, \
         all spans are one tenant's and the header is ignored.",
    ),
    setting(
        "ingest.cors_origins",
        Kind::List,
        "",
        "Web pages whose scripts may send: origins such as https://shop.example, with `*` for any part of a \
         host, or `*` alone for all.",
    ),
    setting(
        "query.deadline",
        Kind::Duration,
        "60s",
        "How long a query may take. This and the bounds below make a query fail alone, and say which it met.",
    ),
    setting(
        "query.concurrent",
        Kind::Count,
        "16",
        "Queries that run at once. Others wait, and tenants take turns.",
    ),
    setting(
        "query.queue",
        Kind::Count,
        "256",
        "Queries that may wait, of all tenants together. More are refused.",
    ),
    setting(
        "query.memory",
        Kind::Bytes,
        "512MiB",
        "What an SQL statement may hold in memory. Beyond it, sorts and groups go to the disk; what cannot, fails.",
    ),
    setting("query.spill_bytes", Kind::Bytes, "10GiB", "What all of them may put on the disk, in `data`."),
    setting(
        "query.traces",
        Kind::Count,
        "100000",
        "Traces that a search for the longest ones may have to compare.",
    ),
    setting("query.spans", Kind::Count, "2000000", "Spans of whole traces that an answer may have."),
    setting(
        "query.groups",
        Kind::Count,
        "1000000",
        "Values, operations and steps that a count may tell apart.",
    ),
    setting(
        "query.cache",
        Kind::Bytes,
        "512MiB",
        "What is kept in memory of blocks that were read, at most: three eighths for pages that were read more than \
         once, decompressed; seven sixteenths for metadata, dictionaries and origins; the rest for pages as they are \
         stored, and filters.",
    ),
    setting("query.connections", Kind::Count, "1024", "Connections that are served at once. More wait."),
    setting("query.idle", Kind::Duration, "2m", "A connection that is silent for so long is closed."),
    setting(
        "query.base_path",
        Kind::Text,
        "",
        "The path below which everything on `listen.query` lies over HTTP, such as /jaeger: for a proxy that has \
         other things beside it.",
    ),
    setting(
        "query.ui_dir",
        Kind::Text,
        "",
        "A folder with a built UI, such as Jaeger's: `index.html` and `static/`. Also the flag --ui-dir. Without \
         it, a page of our own.",
    ),
    setting(
        "query.ui_config",
        Kind::Text,
        "",
        "What that UI is told: a file .json, or .js with a function `UIConfig`, as Jaeger UI documents them.",
    ),
    setting(
        "query.names_lookback",
        Kind::Duration,
        "forever",
        "Jaeger's lists of services and operations are of spans that started so long ago at most. `forever` looks at \
         all there is, which takes its time where there is much.",
    ),
    setting(
        "query.max_clock_skew_adjust",
        Kind::Duration,
        "0s",
        "In Jaeger's answers, spans of other hosts are moved by so much at most to fit into their parents. 0s: none is.",
    ),
    setting("compact.jobs", Kind::Count, "1", "Merges at the same time."),
    setting(
        "compact.memory",
        Kind::Bytes,
        "128MiB",
        "What all of them may hold in memory, beside dictionaries and opened pages of the blocks that are read.",
    ),
    setting(
        "compact.pause",
        Kind::Duration,
        "60s",
        "How long a compactor waits when there is nothing to do. Each look is one listing of the log.",
    ),
    setting(
        "compact.sweep_every",
        Kind::Duration,
        "10m",
        "How often objects that nobody needs any more are deleted.",
    ),
    setting(
        "limits.default.bytes_per_second",
        Kind::Bytes,
        "unlimited",
        "What a tenant may send a second, uncompressed, on average.",
    ),
    setting(
        "limits.default.burst_bytes",
        Kind::Bytes,
        "",
        "What a tenant may send at once, uncompressed. Without it, what may come in ten seconds.",
    ),
    setting(
        "limits.default.live_bytes",
        Kind::Bytes,
        "unlimited",
        "What a tenant's spans that are in no block yet may hold of memory.",
    ),
    setting("limits.default.attribute_bytes", Kind::Bytes, "256KiB", "The largest attribute, key and value."),
    setting(
        "limits.default.spans_per_request",
        Kind::Count,
        "1000000",
        "The spans that one request may have.",
    ),
    setting(
        "limits.default.query_bytes",
        Kind::Bytes,
        "64GiB",
        "What one query of a tenant may read from the store.",
    ),
    setting(
        "limits.default.longest_keep",
        Kind::Duration,
        "forever",
        "Spans that started longer ago than that are refused.",
    ),
    setting("s3.endpoint", Kind::Text, "", "Of a store that is not AWS, such as http://127.0.0.1:9000."),
    setting("s3.region", Kind::Text, "", "Without it, what AWS's usual chain says."),
    setting(
        "s3.addressing",
        Kind::Word(&["path", "virtual_host"]),
        "",
        "Where a request names the bucket. Without it, in the path at an endpoint, else in the host.",
    ),
    setting(
        "s3.access_key_id",
        Kind::Text,
        "",
        "Without keys, AWS's usual chain: variables, profiles, roles.",
    ),
    setting("s3.secret_access_key", Kind::Secret, "", "With s3.access_key_id."),
    setting("s3.session_token", Kind::Secret, "", "Of temporary keys."),
    setting("gcs.endpoint", Kind::Text, "", "Of something else that speaks Google's XML protocol."),
    setting(
        "gcs.service_account",
        Kind::Text,
        "",
        "The file with a service account's key. Without it, Google's application default credentials.",
    ),
    setting("azure.account", Kind::Text, "", "The storage account: always needed for az://."),
    setting("azure.endpoint", Kind::Text, "", "Of a cloud of its own, or an emulator."),
    setting(
        "azure.account_key",
        Kind::Secret,
        "",
        "In base64. Without any key, the machine's managed identity.",
    ),
    setting("azure.tenant_id", Kind::Text, "", "Of an application in Entra ID."),
    setting("azure.client_id", Kind::Text, "", "Of an application in Entra ID."),
    setting("azure.client_secret", Kind::Secret, "", "Of an application in Entra ID."),
    setting(
        "azure.token_file",
        Kind::Text,
        "",
        "The file in which Kubernetes keeps a token (workload identity).",
    ),
];

pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// `ingest.request_bytes` → `ingest-request-bytes`; none for secrets.
    pub(crate) fn flag(&self) -> Option<String> {
        (self.kind != Kind::Secret).then(|| self.name.replace(['.', '_'], "-"))
    }

    pub(crate) fn variable(&self) -> String {
        format!("SILTSTONE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// How a value is written.
    pub(crate) fn unit(&self) -> String {
        match self.kind {
            Kind::Text => "text".to_owned(),
            Kind::Secret => "secret text".to_owned(),
            Kind::Word(words) => words.join(" or "),
            Kind::Address => "address:port".to_owned(),
            Kind::Bytes => "bytes: 512, 64KiB, 20MiB".to_owned(),
            Kind::Count => "number".to_owned(),
            Kind::Duration => "duration: 500ms, 30s, 1h30m, 90d".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::List => "list of texts".to_owned(),
        }
    }
}

/// For a terminal.
pub(crate) fn as_text() -> String {
    let mut text = String::new();
    for setting in ALL {
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} = {default}   ({})", setting.name, setting.unit());
        let flag = setting.flag().map_or_else(|| "no flag".to_owned(), |flag| format!("--{flag}"));
        let _ = writeln!(text, "    {}\n    {flag}, {}\n", setting.meaning, setting.variable());
    }
    text.push_str(TENANTS_OF_THEIR_OWN);
    text
}

/// The table of `docs/settings.md`.
pub(crate) fn as_markdown() -> String {
    let mut text = String::from("| setting | value | default | meaning |\n|---|---|---|---|\n");
    for setting in ALL {
        let default =
            if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        let _ =
            writeln!(text, "| `{}` | {} | {default} | {} |", setting.name, setting.unit(), setting.meaning);
    }
    text
}

const TENANTS_OF_THEIR_OWN: &str =
    "Limits of one tenant stand in the file only, and replace those in `limits` \
one by one:

    [tenants.team-a]
    bytes_per_second = \"5MiB\"
";
