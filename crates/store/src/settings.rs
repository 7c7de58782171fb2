//! What must be known of a store beside its URL. Plain values: whoever reads a configuration fills them in.
//!
//! Nothing here is read from the environment, and neither does the rest of this crate, with these exceptions,
//! where a cloud has its own way to tell a program who it is:
//! - S3 without keys: the chain of AWS's SDK (variables, profiles, SSO, roles, containers, instances);
//! - GCS without a service account: Google's application default credentials (the file that `gcloud` writes)
//!   or the machine's account;
//! - Azure without a key: the machine's managed identity;
//! - proxies: `HTTPS_PROXY` and its like hold for all of them.

use std::fmt;
use std::path::PathBuf;

/// One set for every kind: the URL says which of them counts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub s3: S3Settings,
    pub gcs: GcsSettings,
    pub azure: AzureSettings,
}

#[derive(Debug, Clone, Default)]
pub struct S3Settings {
    /// Of a store that is not AWS, such as `http://127.0.0.1:9000`. `http:` is allowed if it is written here.
    pub endpoint: Option<String>,
    /// Otherwise what the chain says; with an endpoint, and if the chain does not know or is not asked because
    /// of the keys, `us-east-1`: others than AWS do not look at it.
    pub region: Option<String>,
    /// Otherwise by path at an endpoint, and for buckets with a dot in their name, which no certificate of
    /// AWS covers; else by host.
    pub addressing: Option<Addressing>,
    /// Otherwise the chain of AWS's SDK.
    pub keys: Option<S3Keys>,
}

/// Where a request names the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`
    Path,
    /// `https://bucket.endpoint/key`
    VirtualHost,
}

#[derive(Debug, Clone)]
pub struct S3Keys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

#[derive(Debug, Clone, Default)]
pub struct GcsSettings {
    /// Of something else that speaks Google's XML protocol.
    pub endpoint: Option<String>,
    /// The file with a service account's key, as Google's console gives it.
    pub service_account: Option<PathBuf>,
}

#[derive(Debug, Clone, Default)]
pub struct AzureSettings {
    /// The storage account: always needed.
    pub account: Option<String>,
    /// Otherwise the machine's managed identity.
    pub key: Option<AzureKey>,
    /// Of a cloud of its own, or an emulator, whose endpoint ends with the account:
    /// `http://127.0.0.1:10000/devstoreaccount1`.
    pub endpoint: Option<String>,
}

#[derive(Debug, Clone)]
pub enum AzureKey {
    /// A key of the account, in base64.
    Account(Secret),
    /// An application's id with its secret, in a tenant of Entra ID.
    Application { tenant_id: String, client_id: String, client_secret: Secret },
    /// An application's id with a file in which Kubernetes keeps a token for it (workload identity).
    Federated { tenant_id: String, client_id: String, token_file: PathBuf },
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Settings that do not fit the URL, or each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("the endpoint `{0}` is not of the form https://host, or http://host for a store without TLS")]
    Endpoint(String),
    // Not repeated here, nor in the next: it may be a secret.
    #[error("keys do not belong into the endpoint, which is printed: give them as settings of their own")]
    CredentialsInEndpoint,
    #[error(
        "options and tokens do not belong into the endpoint (`{0}`): leave away what comes after the host"
    )]
    OptionsInEndpoint(char),
    #[error(
        "S3 directory buckets (S3 Express One Zone), as `{0}` is one, cannot hold a store: they list keys in no \
         order and from no given key on; use a general purpose bucket"
    )]
    DirectoryBucket(String),
    #[error(
        "the region of the bucket `{0}` is not known: set the region of the S3 store, or AWS_REGION, or \
         `region` in the AWS profile"
    )]
    NoRegion(String),
    #[error("the Azure account of the container `{0}` is not known: set the account of the Azure store")]
    NoAccount(String),
}

/// The scheme and what comes after it, of an endpoint.
pub(crate) struct Endpoint<'a> {
    pub scheme: &'static str,
    /// Host, port, and a path if there is one; no slash at the end.
    pub rest: &'a str,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, SettingsError> {
        // First of all, so that nothing below repeats a secret.
        if text.contains('@') {
            return Err(SettingsError::CredentialsInEndpoint);
        }
        if let Some(option) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(SettingsError::OptionsInEndpoint(option));
        }
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => ("https", rest),
            (_, Some(rest)) => ("http", rest),
            (None, None) => return Err(SettingsError::Endpoint(text.to_owned())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let is_strange = |c: char| c.is_whitespace() || c.is_control();
        if rest.is_empty() || rest.starts_with(['/', ':']) || rest.ends_with('/') || rest.contains(is_strange)
        {
            return Err(SettingsError::Endpoint(text.to_owned()));
        }
        Ok(Endpoint { scheme, rest })
    }

    pub(crate) fn is_http(&self) -> bool {
        self.scheme == "http"
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_endpoints_apart() {
        for (text, scheme, rest) in [
            ("https://minio.example", "https", "minio.example"),
            ("http://127.0.0.1:9000/", "http", "127.0.0.1:9000"),
            ("http://[::1]:9000", "http", "[::1]:9000"),
            ("http://127.0.0.1:10000/devstoreaccount1", "http", "127.0.0.1:10000/devstoreaccount1"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.scheme, endpoint.rest), (scheme, rest));
        }
    }

    #[test]
    fn should_refuse_what_is_no_endpoint() {
        for text in ["", "minio:9000", "https://", "https:///x", "ftp://host", "http://a b", "http://host//"]
        {
            assert_eq!(Endpoint::parse(text).err(), Some(SettingsError::Endpoint(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn should_refuse_secrets_without_repeating_them() {
        for text in [
            "http://user:geheim@host",
            "HTTP://user:geheim@host",
            "AKIAgeheim:geheim@minio:9000",
            "https://account.blob.core.windows.net/?sv=2024-11-04&sig=geheim",
            "account.blob.core.windows.net?sig=geheim",
            "https://host/#geheim",
        ] {
            let said = Endpoint::parse(text).err().unwrap().to_string();
            assert!(said.contains("endpoint") && !said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn should_not_print_secrets() {
        let keys = S3Keys {
            access_key_id: "AKIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("geheim"),
            session_token: Some(Secret::new("geheim")),
        };
        let settings = Settings {
            s3: S3Settings { keys: Some(keys), ..S3Settings::default() },
            azure: AzureSettings {
                key: Some(AzureKey::Account(Secret::new("geheim"))),
                ..AzureSettings::default()
            },
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("geheim"));
    }
}
