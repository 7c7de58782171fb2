//! Who we are to AWS: the SDK's chain of sources, bridged into `object_store`.
//!
//! `object_store` has sources of its own, but knows neither profiles, nor SSO, nor assumed roles. The chain
//! knows all; it does not remember what it found, so that is done here:
//! - credentials are renewed some minutes before they expire, by one request, while others go on with the old;
//! - if that fails, the old are used as long as they are valid, and the chain is asked again a while later;
//! - without valid ones everybody waits for one answer of the chain, and gets its error if there is none:
//!   who comes after that answer has the chain asked again.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

/// A request that begins with credentials may be sent again for up to 90 s, and clocks differ.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(5 * 60);

/// Of what never expires: keys in a file may still be replaced by others.
const RENEW_LASTING: Duration = Duration::from_secs(15 * 60);

const RENEW_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Behind the chain is a network, or somebody's program. Its own timeouts are shorter.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The chain of AWS's SDK, as its other programs have it. Its TLS is that of `object_store`: rustls with ring,
/// because the SDK's own choice (aws-lc) needs cmake on some machines.
pub(super) fn chain(region: Option<String>) -> ConfigLoader {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
    let chain = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    match region {
        Some(region) => chain.region(Region::new(region)),
        None => chain,
    }
}

pub(super) fn region(chain: &SdkConfig) -> Option<String> {
    chain.region().map(ToString::to_string)
}

type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

pub(super) struct AwsCredentials {
    source: Option<SharedCredentialsProvider>,
    clock: Clock,
    known: Mutex<Known>,
    /// Held by whoever asks the chain.
    asking: AsyncMutex<()>,
}

/// What the chain has answered so far.
#[derive(Clone, Default)]
struct Known {
    answers: u64,
    /// What follows from the last answer: the old credentials, if they are valid still when there are no new.
    last: Option<Result<Found, NoCredentials>>,
}

#[derive(Clone)]
struct Found {
    credential: Arc<AwsCredential>,
    expiry: Option<SystemTime>,
    renew_at: SystemTime,
}

/// What a person has to know who has no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "no AWS credentials: set keys for the store, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
     AWS_PROFILE (after `aws sso login`, if the profile uses SSO), or give this machine or container a role; \
     what was tried: {why}"
)]
struct NoCredentials {
    why: String,
}

impl AwsCredentials {
    pub(super) fn from_chain(chain: &SdkConfig) -> Self {
        Self::new(chain.credentials_provider(), Box::new(wall_clock))
    }

    fn new(source: Option<SharedCredentialsProvider>, clock: Clock) -> Self {
        AwsCredentials { source, clock, known: Mutex::default(), asking: AsyncMutex::new(()) }
    }

    async fn get(&self) -> Result<Arc<AwsCredential>, NoCredentials> {
        let on_arrival = self.known();
        let held = on_arrival.last.and_then(Result::ok);
        if let Some(found) = held.as_ref().filter(|found| self.is_fresh(found)) {
            return Ok(Arc::clone(&found.credential));
        }
        let _asking = match (held.filter(|found| self.is_valid(found)), self.asking.try_lock()) {
            (_, Ok(asking)) => asking,
            (Some(found), Err(_)) => return Ok(found.credential),
            (None, Err(_)) => self.asking.lock().await,
        };
        // Somebody may have asked while we waited. Its error is ours too: were each to ask again, the last of
        // many would wait for as many timeouts.
        let known = self.known();
        match &known.last {
            Some(Ok(found)) if self.is_fresh(found) => return Ok(Arc::clone(&found.credential)),
            Some(Err(error)) if known.answers > on_arrival.answers => return Err(error.clone()),
            _ => {}
        }
        let answer = self.ask().await;
        self.learn(answer, known.last.and_then(Result::ok))
    }

    fn learn(
        &self,
        answer: Result<Credentials, NoCredentials>,
        old: Option<Found>,
    ) -> Result<Arc<AwsCredential>, NoCredentials> {
        let learned = match (answer, old.filter(|old| self.is_valid(old))) {
            (Ok(credentials), _) => Ok(self.found_now(&credentials)),
            (Err(_), Some(old)) => Ok(Found { renew_at: (self.clock)() + RENEW_AGAIN_AFTER_FAILURE, ..old }),
            (Err(error), None) => Err(error),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { answers: known.answers + 1, last: Some(learned.clone()) };
        learned.map(|found| found.credential)
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_fresh(&self, found: &Found) -> bool {
        (self.clock)() < found.renew_at && self.is_valid(found)
    }

    fn is_valid(&self, found: &Found) -> bool {
        found.expiry.is_none_or(|expiry| (self.clock)() < expiry)
    }

    async fn ask(&self) -> Result<Credentials, NoCredentials> {
        let no_credentials = |why| NoCredentials { why };
        let Some(source) = &self.source else {
            return Err(no_credentials("the chain of the AWS SDK has no sources".to_owned()));
        };
        match timeout(CHAIN_TIMEOUT, source.provide_credentials()).await {
            Ok(Ok(credentials)) if credentials.expiry().is_some_and(|expiry| expiry <= (self.clock)()) => {
                Err(no_credentials("those that were found have expired, by this machine's clock".to_owned()))
            }
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(no_credentials(with_causes(&error))),
            Err(_) => Err(no_credentials(format!("no answer within {} s", CHAIN_TIMEOUT.as_secs()))),
        }
    }

    /// Short-lived ones are renewed when half of their time is over.
    fn found_now(&self, credentials: &Credentials) -> Found {
        let now = (self.clock)();
        let renew_at = match credentials.expiry() {
            Some(expiry) => {
                let left = expiry.duration_since(now).unwrap_or_default();
                expiry - RENEW_BEFORE_EXPIRY.min(left / 2)
            }
            None => now + RENEW_LASTING,
        };
        let credential = Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        });
        Found { credential, expiry: credentials.expiry(), renew_at }
    }
}

/// The SDK's errors say little themselves: what happened is among their causes, on several lines.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[expect(clippy::disallowed_methods, reason = "AWS says in wall time when its credentials expire")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[async_trait]
impl CredentialProvider for AwsCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.get()
            .await
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
