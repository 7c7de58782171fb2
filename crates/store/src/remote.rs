//! Object stores behind a network: `object_store`'s, with bounded retries and timeouts, put right where their
//! answers differ.
//!
//! Each is built in a file of its own. Around it lies [`Below`], which keeps all keys below the prefix, and
//! for Azure [`SuffixByLength`].

// The stores,
pub(crate) mod azure;
pub(crate) mod gcs;
pub(crate) mod s3;
// who we are to AWS,
mod aws_credentials;
// and what is put right around all or some of them.
mod below;
mod suffix;

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, HeaderValue, RetryConfig};

use below::Below;
use suffix::SuffixByLength;

/// Of the whole request, with its body: a part of 16 MiB then needs 2.2 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Stores answer 503 for seconds when they are asked for much more than before. Whoever stands above tries
/// again too: here only what passes by itself is waited out.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 8,
        retry_timeout: Duration::from_secs(30),
    }
}

/// How requests are sent. `http:` only where an endpoint asked for it.
fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("siltstone/", env!("CARGO_PKG_VERSION"))))
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
        .with_allow_http(allow_http)
}
