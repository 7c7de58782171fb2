//! Settings as they are meant: parsed, checked against each other, in plain structs.

// What the compactor is told, and the querier.
mod compact;
mod query;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use siltstone_ask::Retention;
use siltstone_ingest::limits::{ByteCount, Keep, LimitKeys, LimitSettings, TenantLimits, UnitError};
use siltstone_ingest::receive::connections::Bounds;
use siltstone_ingest::receive::otlp;
use siltstone_store::{Addressing, AzureKey, S3Keys, Secret, Settings as StoreSettings, StoreUrl};

use super::layers::{Layers, SettingsError, Written};
use super::list::{self, Kind};
use crate::admin::deletions::LEAST_TOKEN_BYTES;
pub use compact::Compact;
pub use query::Query;

/// What the program does.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub role: Role,
    /// The folder of what this machine keeps.
    pub data: PathBuf,
    pub store: StoreUrl,
    pub store_settings: StoreSettings,
    pub log: String,
    pub drain_deadline: Duration,
    pub listen: Listen,
    /// None: nobody deletes over HTTP.
    pub admin_token: Option<Secret>,
    pub ingest: Ingest,
    pub query: Query,
    pub compact: Compact,
    /// How long traces are kept of tenants that have no rules of their own; none: for ever.
    pub retention: Option<Retention>,
    /// What may be a mistake in the settings: to be logged.
    pub doubts: Vec<String>,
}

/// Which part of Siltstone a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Every part that there is.
    All,
    Ingest,
    Query,
    Compact,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Compact => "compact",
        }
    }

    pub(crate) fn ingests(self) -> bool {
        matches!(self, Self::All | Self::Ingest)
    }

    pub(crate) fn queries(self) -> bool {
        matches!(self, Self::All | Self::Query)
    }

    pub(crate) fn compacts(self) -> bool {
        matches!(self, Self::All | Self::Compact)
    }
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
    pub live: SocketAddr,
    pub query: SocketAddr,
    pub query_grpc: SocketAddr,
    pub jaeger_storage: SocketAddr,
    pub admin: SocketAddr,
}

/// What the ingester is told.
#[derive(Clone, Debug)]
pub struct Ingest {
    pub durability: Durability,
    /// Where other processes reach its live spans; none: where it listens.
    pub advertise: Option<String>,
    pub memory_bytes: usize,
    /// What the log may hold on the disk.
    pub log_bytes: u64,
    pub large_tenant_age: Duration,
    pub small_tenant_age: Duration,
    pub otlp: otlp::Settings,
    pub connections: Bounds,
    pub limits: TenantLimits,
}

/// What an acknowledged request survives by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Wal,
    Object,
}

impl Resolved {
    pub(crate) fn from_layers(layers: &Layers) -> Result<Self, SettingsError> {
        let values = Values { own: None, layers };
        check_all(layers)?;
        let data = values.needed("data", |text| Ok(PathBuf::from(text)))?;
        Ok(Self {
            role: match values.text("role") {
                Some("ingest") => Role::Ingest,
                Some("query") => Role::Query,
                Some("compact") => Role::Compact,
                _ => Role::All,
            },
            store: store_url(&values, &data)?,
            store_settings: store_settings(&values)?,
            log: values.text("log").unwrap_or_default().to_owned(),
            drain_deadline: values.needed("drain_deadline", duration)?,
            listen: Listen {
                otlp_grpc: values.needed("listen.otlp_grpc", address)?,
                otlp_http: values.needed("listen.otlp_http", address)?,
                live: values.needed("listen.live", address)?,
                query: values.needed("listen.query", address)?,
                query_grpc: values.needed("listen.query_grpc", address)?,
                jaeger_storage: values.needed("listen.jaeger_storage", address)?,
                admin: values.needed("listen.admin", address)?,
            },
            admin_token: admin_token(&values)?,
            ingest: ingest(&values)?,
            query: query::query(&values)?,
            compact: compact::compact(&values)?,
            retention: values
                .given("retention", |text| text.parse().map_err(|error| format!("is `{text}`: {error}")))?,
            data,
            doubts: layers.doubts.clone(),
        })
    }
}

fn admin_token(values: &Values<'_>) -> Result<Option<Secret>, SettingsError> {
    let Some(token) = values.text("admin.token").filter(|token| !token.is_empty()) else { return Ok(None) };
    match token.len() < LEAST_TOKEN_BYTES {
        true => Err(values
            .complaint("admin.token", "is shorter than 16 characters, and could be tried out".to_owned())),
        false => Ok(Some(Secret::new(token))),
    }
}

/// Words are checked wherever they stand, so that none is misunderstood.
fn check_all(layers: &Layers) -> Result<(), SettingsError> {
    for setting in list::ALL {
        let (Kind::Word(words), Some(written)) = (setting.kind, layers.values.get(setting.name)) else {
            continue;
        };
        if words.contains(&written.text.as_str()) || written.text.is_empty() {
            continue;
        }
        let what = format!("cannot be `{}`: write {}", written.text, words.join(" or "));
        return Err(complaint(setting.name, written, what));
    }
    Ok(())
}

fn ingest(values: &Values<'_>) -> Result<Ingest, SettingsError> {
    let is_object = values.text("ingest.durability") == Some("object");
    let memory_bytes = values.needed("ingest.memory", size)?;
    let otlp = otlp::Settings {
        request_bytes: values.needed("ingest.request_bytes", size)?,
        uncompressed_bytes: values.needed("ingest.uncompressed_bytes", size)?,
        read_deadline: values.needed("ingest.read_deadline", duration)?,
        tenants: values.needed("ingest.tenants", switch)?,
        cors_origins: values
            .text("ingest.cors_origins")
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    let least_bytes = otlp.most_memory_bytes();
    if least_bytes > memory_bytes {
        let what = format!(
            "is less than the {} MiB that one request may need: twice what ingest.request_bytes and \
             ingest.uncompressed_bytes are together",
            least_bytes.div_ceil(1 << 20)
        );
        return Err(values.complaint("ingest.memory", what));
    }
    let own = values.layers.tenants.iter().map(|(tenant, own)| {
        let values = Values { own: Some(own), layers: values.layers };
        Ok((tenant.to_string(), limits(&values)?))
    });
    let limits = LimitSettings { default: limits(values)?, tenants: own.collect::<Result<_, _>>()? };
    Ok(Ingest {
        durability: if is_object { Durability::Object } else { Durability::Wal },
        advertise: advertise(values)?,
        memory_bytes,
        large_tenant_age: values.needed("ingest.large_tenant_age", duration)?,
        small_tenant_age: values.needed("ingest.small_tenant_age", duration)?,
        log_bytes: values.needed("ingest.log_bytes", size)? as u64,
        otlp,
        connections: Bounds {
            connections: values.needed("ingest.connections", count)?,
            idle: values.needed("ingest.idle", duration)?,
        },
        // Its tenants' names were read as such.
        limits: limits.resolve().map_err(|error| values.complaint("limits.tenants", error.to_string()))?,
    })
}

fn advertise(values: &Values<'_>) -> Result<Option<String>, SettingsError> {
    let Some(text) = values.text("ingest.advertise").filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() => Ok(Some(text.to_owned())),
        _ => {
            let what = format!("cannot be `{text}`: write http://host:port");
            Err(values.complaint("ingest.advertise", what))
        }
    }
}

/// The limits that `values` name.
fn limits(values: &Values<'_>) -> Result<LimitKeys, SettingsError> {
    let bytes = |name| values.given(name, |text| text.parse::<ByteCount>().map_err(said));
    Ok(LimitKeys {
        bytes_per_second: bytes("limits.default.bytes_per_second")?,
        burst_bytes: bytes("limits.default.burst_bytes")?,
        live_bytes: bytes("limits.default.live_bytes")?,
        attribute_bytes: bytes("limits.default.attribute_bytes")?,
        spans_per_request: values.given("limits.default.spans_per_request", count)?,
        longest_keep: values
            .given("limits.default.longest_keep", |text| text.parse::<Keep>().map_err(said))?,
    })
}

fn store_url(values: &Values<'_>, data: &std::path::Path) -> Result<StoreUrl, SettingsError> {
    let Some(text) = values.text("store") else { return Ok(StoreUrl::Folder(data.join("objects"))) };
    text.parse().map_err(|error: siltstone_store::UrlError| {
        values.complaint("store", format!("names no store: {error}"))
    })
}

fn store_settings(values: &Values<'_>) -> Result<StoreSettings, SettingsError> {
    let text = |name| values.text(name).map(str::to_owned);
    let secret = |name| values.text(name).map(Secret::new);
    let mut settings = StoreSettings::default();
    settings.s3.endpoint = text("s3.endpoint");
    settings.s3.region = text("s3.region");
    settings.s3.addressing = values.text("s3.addressing").map(|word| match word {
        "path" => Addressing::Path,
        _ => Addressing::VirtualHost,
    });
    settings.s3.keys = match (text("s3.access_key_id"), secret("s3.secret_access_key")) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Some(S3Keys { access_key_id, secret_access_key, session_token: secret("s3.session_token") })
        }
        (None, None) => None,
        (Some(_), None) => {
            return Err(values.complaint("s3.access_key_id", "needs s3.secret_access_key".to_owned()));
        }
        (None, Some(_)) => {
            return Err(values.complaint("s3.secret_access_key", "needs s3.access_key_id".to_owned()));
        }
    };
    settings.gcs.endpoint = text("gcs.endpoint");
    settings.gcs.service_account = values.text("gcs.service_account").map(PathBuf::from);
    settings.azure.account = text("azure.account");
    settings.azure.endpoint = text("azure.endpoint");
    settings.azure.key = azure_key(values)?;
    Ok(settings)
}

fn azure_key(values: &Values<'_>) -> Result<Option<AzureKey>, SettingsError> {
    let text = |name| values.text(name).map(str::to_owned);
    let account = values.text("azure.account_key").map(Secret::new);
    let client_secret = values.text("azure.client_secret").map(Secret::new);
    let token_file = values.text("azure.token_file").map(PathBuf::from);
    match (account, text("azure.tenant_id"), text("azure.client_id"), client_secret, token_file) {
        (None, None, None, None, None) => Ok(None),
        (Some(key), None, None, None, None) => Ok(Some(AzureKey::Account(key))),
        (None, Some(tenant_id), Some(client_id), Some(client_secret), None) => {
            Ok(Some(AzureKey::Application { tenant_id, client_id, client_secret }))
        }
        (None, Some(tenant_id), Some(client_id), None, Some(token_file)) => {
            Ok(Some(AzureKey::Federated { tenant_id, client_id, token_file }))
        }
        _ => {
            let names = [
                "azure.account_key",
                "azure.client_secret",
                "azure.token_file",
                "azure.tenant_id",
                "azure.client_id",
            ];
            let name =
                names.into_iter().find(|name| values.text(name).is_some()).unwrap_or("azure.account_key");
            let what = "does not make one key with the others: give azure.account_key; or azure.tenant_id and \
                        azure.client_id with either azure.client_secret or azure.token_file";
            Err(values.complaint(name, what.to_owned()))
        }
    }
}

/// Values by name; a tenant's own come first.
struct Values<'a> {
    own: Option<&'a std::collections::BTreeMap<&'static str, Written>>,
    layers: &'a Layers,
}

impl Values<'_> {
    fn written(&self, name: &str) -> Option<&Written> {
        self.own.and_then(|own| own.get(name)).or_else(|| self.layers.values.get(name))
    }

    /// An empty text is none: that is how a variable or a file takes a value away.
    fn text(&self, name: &str) -> Option<&str> {
        self.written(name).map(|written| written.text.as_str()).filter(|text| !text.is_empty())
    }

    fn given<T>(&self, name: &str, parse: fn(&str) -> Result<T, String>) -> Result<Option<T>, SettingsError> {
        let parsed = self.text(name).map(parse).transpose();
        parsed.map_err(|what| self.complaint(name, what))
    }

    fn needed<T>(&self, name: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, SettingsError> {
        self.given(name, parse)?.ok_or_else(|| self.complaint(name, "must have a value".to_owned()))
    }

    fn complaint(&self, name: &str, what: String) -> SettingsError {
        match self.written(name) {
            Some(written) => complaint(name, written, what),
            None => SettingsError::Value { place: "the settings".to_owned(), name: name.to_owned(), what },
        }
    }
}

fn complaint(name: &str, written: &Written, what: String) -> SettingsError {
    SettingsError::Value { place: written.origin.to_string(), name: name.to_owned(), what }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    // A name would be looked up, and one name may mean several addresses.
    let literal = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    literal.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!(
            "is `{text}`: write an IP address and a port, such as 127.0.0.1:4318, 0.0.0.0:4318 or [::]:4318"
        )
    })
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("is `{text}`: write true or false")),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("is `{text}`: write a whole number from 1 on")),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let ByteCount(bytes) = text.parse().map_err(said)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes > 0 && bytes < usize::MAX => Ok(bytes),
        _ => Err(format!("is `{text}`, and must have a bound: write bytes from 1 on, as 512, 64KiB or 2GiB")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match text.parse().map_err(said)? {
        Keep(Some(duration)) if !duration.is_zero() => Ok(duration),
        Keep(_) => Err(format!("is `{text}`, and must end some time: write more than 0s")),
    }
}

/// None: for ever.
fn lookback(text: &str) -> Result<Option<Duration>, String> {
    match text.parse().map_err(said)? {
        Keep(Some(duration)) if duration.is_zero() => {
            Err(format!("is `{text}`: write more than 0s, or forever"))
        }
        Keep(duration) => Ok(duration),
    }
}

fn duration_or_none(text: &str) -> Result<Duration, String> {
    let Keep(duration) = text.parse().map_err(said)?;
    duration.ok_or_else(|| format!("is `{text}`, and must end some time"))
}

fn said(error: UnitError) -> String {
    format!("is wrong: {error}")
}
