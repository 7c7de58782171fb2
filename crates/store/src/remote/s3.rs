//! S3, and what speaks its protocol: MinIO, Ceph, R2 and others.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};

use super::aws_credentials::{self, AwsCredentials};
use super::{Below, client, retries};
use crate::open::Why;
use crate::settings::{Addressing, Endpoint, S3Keys, S3Settings, SettingsError};
use crate::url::Place;

/// What others than AWS expect to see in a signature.
const REGION_AT_AN_ENDPOINT: &str = "us-east-1";

pub(crate) async fn open(place: &Place, settings: &S3Settings) -> Result<Arc<dyn ObjectStore>, Why> {
    let endpoint = settings.endpoint.as_deref().map(Endpoint::parse).transpose()?;
    refuse_directory_buckets(&place.bucket, endpoint.as_ref())?;

    let mut builder = AmazonS3Builder::new();
    let mut region = settings.region.clone();
    if let Some(keys) = &settings.keys {
        builder = with_keys(builder, keys);
    }
    if settings.keys.is_none() || (region.is_none() && endpoint.is_none()) {
        let chain = aws_credentials::chain(region).load().await;
        region = aws_credentials::region(&chain);
        if settings.keys.is_none() {
            builder = builder.with_credentials(Arc::new(AwsCredentials::from_chain(&chain)));
        }
    }
    let region = region.or(endpoint.as_ref().map(|_| REGION_AT_AN_ENDPOINT.to_owned()));
    let region = region.ok_or_else(|| SettingsError::NoRegion(place.bucket.clone()))?;

    builder = builder
        .with_bucket_name(&place.bucket)
        .with_region(region)
        // Creating what must not be there (`If-None-Match: *`) is what the catalog rests on.
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retries())
        .with_client_options(client(endpoint.as_ref().is_some_and(Endpoint::is_http)));
    builder = address(builder, &place.bucket, endpoint.as_ref(), settings.addressing);
    Ok(Arc::new(Below::new(builder.build()?, place.prefix.clone())))
}

/// They have a protocol of their own, for which the catalog is not made.
fn refuse_directory_buckets(bucket: &str, endpoint: Option<&Endpoint<'_>>) -> Result<(), SettingsError> {
    let by_name = bucket.ends_with("--x-s3") || bucket.ends_with("--xa-s3");
    let by_endpoint = endpoint.is_some_and(|endpoint| endpoint.rest.contains("s3express"));
    if by_name || by_endpoint { Err(SettingsError::DirectoryBucket(bucket.to_owned())) } else { Ok(()) }
}

fn with_keys(builder: AmazonS3Builder, keys: &S3Keys) -> AmazonS3Builder {
    let builder = builder
        .with_access_key_id(&keys.access_key_id)
        .with_secret_access_key(keys.secret_access_key.reveal());
    match &keys.session_token {
        Some(token) => builder.with_token(token.reveal()),
        None => builder,
    }
}

/// To `object_store` an endpoint by host is one that has the bucket in it already.
fn address(
    builder: AmazonS3Builder,
    bucket: &str,
    endpoint: Option<&Endpoint<'_>>,
    addressing: Option<Addressing>,
) -> AmazonS3Builder {
    let otherwise =
        if endpoint.is_some() || bucket.contains('.') { Addressing::Path } else { Addressing::VirtualHost };
    let by_host = addressing.unwrap_or(otherwise) == Addressing::VirtualHost;
    let builder = builder.with_virtual_hosted_style_request(by_host);
    match endpoint {
        Some(Endpoint { scheme, rest }) if by_host => {
            builder.with_endpoint(format!("{scheme}://{bucket}.{rest}"))
        }
        Some(endpoint) => builder.with_endpoint(endpoint.to_string()),
        None => builder,
    }
}

#[cfg(test)]
mod tests;
