//! MinIO: a store that speaks S3.
//!
//! Its health endpoint says ready while S3 requests still get 503: so the first listing decides.

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, RetryConfig};

use super::process::{Server, ServerError};

/// One server with one empty bucket.
#[derive(Debug)]
pub struct Minio {
    server: Server,
}

impl Minio {
    pub const BUCKET: &str = "siltstone-test";
    pub const ACCESS_KEY_ID: &str = "siltstone";
    pub const SECRET_ACCESS_KEY: &str = "siltstone-secret";

    pub async fn start(program: PathBuf) -> Result<Self, ServerError> {
        let command = |port: u16, data: &Path| {
            // A folder in its data is a bucket. If it cannot be made, the first listing says so.
            let _ = std::fs::create_dir(data.join(Self::BUCKET));
            let mut command = Command::new(&program);
            command
                .env("MINIO_ROOT_USER", Self::ACCESS_KEY_ID)
                .env("MINIO_ROOT_PASSWORD", Self::SECRET_ACCESS_KEY)
                .env("MINIO_BROWSER", "off")
                .env("MINIO_UPDATE", "off")
                .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
                .arg(data);
            command
        };
        Ok(Minio { server: Server::start(command, answers).await? })
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.server.port)
    }
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

async fn answers(port: u16) -> bool {
    let Ok(bucket) = bucket(port) else { return false };
    !matches!(bucket.list(None).next().await, Some(Err(_)))
}

fn bucket(port: u16) -> object_store::Result<AmazonS3> {
    AmazonS3Builder::new()
        .with_endpoint(endpoint(port))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(Minio::BUCKET)
        .with_access_key_id(Minio::ACCESS_KEY_ID)
        .with_secret_access_key(Minio::SECRET_ACCESS_KEY)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
}
