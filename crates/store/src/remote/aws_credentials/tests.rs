//! Renewing by a clock of ours, from a source that does what it is told; and the chain itself, on a profile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use futures::future::join_all;
use siltstone_testkit::VirtualClock;
use tokio::sync::Notify;

use super::*;

const START: u64 = 1_800_000_000_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Numbers the credentials that it gives, or fails, and can be made to wait.
#[derive(Debug)]
struct Source {
    clock: VirtualClock,
    lifetime: Mutex<Option<Duration>>,
    fails: Mutex<bool>,
    asked: AtomicU64,
    waits: Mutex<Option<Arc<Notify>>>,
}

impl Source {
    fn lasting(lifetime: Option<Duration>) -> Arc<Self> {
        Arc::new(Source {
            clock: VirtualClock::starting_at(START),
            lifetime: Mutex::new(lifetime),
            fails: Mutex::new(false),
            asked: AtomicU64::new(0),
            waits: Mutex::new(None),
        })
    }

    fn credentials(self: &Arc<Self>) -> AwsCredentials {
        let clock = self.clock.clone();
        let provider = SharedCredentialsProvider::new(Told(Arc::clone(self)));
        AwsCredentials::new(Some(provider), Box::new(move || wall(&clock)))
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn set_failing(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }

    async fn answer(&self) -> Result<Credentials, CredentialsError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let waits = self.waits.lock().unwrap().clone();
        if let Some(gate) = waits {
            gate.notified().await;
        }
        if *self.fails.lock().unwrap() {
            return Err(CredentialsError::provider_error("the role may not be assumed"));
        }
        let expiry = self.lifetime.lock().unwrap().map(|lifetime| wall(&self.clock) + lifetime);
        Ok(Credentials::new(format!("id-{number}"), "secret", Some("token".to_owned()), expiry, "test"))
    }
}

#[derive(Debug)]
struct Told(Arc<Source>);

impl ProvideCredentials for Told {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.0.answer())
    }
}

fn wall(clock: &VirtualClock) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(clock.now())
}

async fn id(credentials: &AwsCredentials) -> String {
    credentials.get_credential().await.unwrap().key_id.clone()
}

#[tokio::test]
async fn should_pass_on_all_three_parts() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credential = source.credentials().get_credential().await.unwrap();
    assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("id-1", "secret"));
    assert_eq!(credential.token.as_deref(), Some("token"));
}

#[tokio::test]
async fn should_renew_before_expiry_and_not_earlier() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    assert_eq!(id(&credentials).await, "id-1");
    source.clock.advance(54 * MINUTE);
    assert_eq!(id(&credentials).await, "id-1");
    source.clock.advance(MINUTE);
    assert_eq!(id(&credentials).await, "id-2");
    assert_eq!(id(&credentials).await, "id-2");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn should_renew_short_lived_credentials_at_half_of_their_time() {
    let source = Source::lasting(Some(4 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    source.clock.advance(MINUTE);
    assert_eq!(id(&credentials).await, "id-1", "not at every request");
    source.clock.advance(MINUTE);
    assert_eq!(id(&credentials).await, "id-2");
}

#[tokio::test]
async fn should_look_again_for_keys_that_never_expire_and_keep_them_if_that_fails() {
    let source = Source::lasting(None);
    let credentials = source.credentials();
    id(&credentials).await;
    source.clock.advance(14 * MINUTE);
    assert_eq!(id(&credentials).await, "id-1");
    source.clock.advance(MINUTE);
    assert_eq!(id(&credentials).await, "id-2");
    source.set_failing(true);
    source.clock.advance(24 * 60 * MINUTE);
    assert_eq!(id(&credentials).await, "id-2");
}

#[tokio::test]
async fn should_ask_once_for_many_who_wait() {
    let source = Source::lasting(Some(60 * MINUTE));
    let gate = Arc::new(Notify::new());
    *source.waits.lock().unwrap() = Some(Arc::clone(&gate));
    let credentials = source.credentials();
    let all = join_all((0..50).map(|_| id(&credentials)));
    let (ids, ()) = tokio::join!(all, async { gate.notify_one() });
    assert!(ids.iter().all(|id| id == "id-1"), "{ids:?}");
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn should_give_one_error_to_many_who_wait() {
    let source = Source::lasting(None);
    source.set_failing(true);
    let gate = Arc::new(Notify::new());
    *source.waits.lock().unwrap() = Some(Arc::clone(&gate));
    let credentials = source.credentials();
    let all = join_all((0..50).map(|_| credentials.get_credential()));
    let (answers, ()) = tokio::join!(all, async {
        *source.waits.lock().unwrap() = None;
        gate.notify_one();
    });
    for answer in answers {
        let said = answer.unwrap_err().to_string();
        assert!(said.contains("the role may not be assumed"), "{said}");
    }
    assert_eq!(source.asked(), 1);
    source.set_failing(false);
    assert_eq!(id(&credentials).await, "id-2", "who comes later asks again");
}

#[tokio::test]
async fn should_not_take_credentials_that_have_expired_already() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    *source.lifetime.lock().unwrap() = Some(Duration::ZERO);
    source.clock.advance(55 * MINUTE);
    assert_eq!(id(&credentials).await, "id-1", "the old are valid still");
    source.clock.advance(5 * MINUTE);
    let said = credentials.get_credential().await.unwrap_err().to_string();
    assert!(said.contains("have expired"), "{said}");
}

/// The chain may take its time over an answer.
#[tokio::test]
async fn should_not_use_the_old_when_they_expire_while_renewing_fails() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    source.set_failing(true);
    source.clock.advance(55 * MINUTE);
    let gate = Arc::new(Notify::new());
    *source.waits.lock().unwrap() = Some(Arc::clone(&gate));
    let (answer, ()) = tokio::join!(credentials.get_credential(), async {
        source.clock.advance(5 * MINUTE);
        gate.notify_one();
    });
    answer.unwrap_err();
}

#[tokio::test]
async fn should_go_on_with_the_old_while_one_renews() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    source.clock.advance(56 * MINUTE);
    let gate = Arc::new(Notify::new());
    *source.waits.lock().unwrap() = Some(Arc::clone(&gate));
    let others = async {
        let ids = join_all((0..50).map(|_| id(&credentials))).await;
        gate.notify_one();
        ids
    };
    let (renewed, ids) = tokio::join!(id(&credentials), others);
    assert_eq!(renewed, "id-2");
    assert!(ids.iter().all(|id| id == "id-1"), "{ids:?}");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn should_keep_the_old_when_renewing_fails_and_not_ask_all_the_time() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    source.set_failing(true);
    source.clock.advance(55 * MINUTE);
    for _ in 0..10 {
        assert_eq!(id(&credentials).await, "id-1");
    }
    assert_eq!(source.asked(), 2);
    source.clock.advance(RENEW_AGAIN_AFTER_FAILURE);
    assert_eq!(id(&credentials).await, "id-1");
    assert_eq!(source.asked(), 3);
    source.set_failing(false);
    source.clock.advance(RENEW_AGAIN_AFTER_FAILURE);
    assert_eq!(id(&credentials).await, "id-4");
}

#[tokio::test]
async fn should_not_use_the_old_when_they_have_expired() {
    let source = Source::lasting(Some(60 * MINUTE));
    let credentials = source.credentials();
    id(&credentials).await;
    source.set_failing(true);
    source.clock.advance(55 * MINUTE);
    id(&credentials).await;
    source.clock.advance(5 * MINUTE);
    assert!(credentials.get_credential().await.is_err());
    source.set_failing(false);
    assert_eq!(id(&credentials).await, "id-4");
}

#[tokio::test]
async fn should_say_what_failed_and_what_to_do() {
    let source = Source::lasting(None);
    source.set_failing(true);
    let said = source.credentials().get_credential().await.unwrap_err().to_string();
    assert!(said.contains("the role may not be assumed") && said.contains("aws sso login"), "{said}");

    let none = AwsCredentials::new(None, Box::new(|| UNIX_EPOCH));
    let said = none.get_credential().await.unwrap_err().to_string();
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}

#[tokio::test]
async fn should_survive_a_caller_who_gives_up_while_asking() {
    let source = Source::lasting(Some(60 * MINUTE));
    let gate = Arc::new(Notify::new());
    *source.waits.lock().unwrap() = Some(Arc::clone(&gate));
    let credentials = source.credentials();
    let given_up = timeout(Duration::ZERO, id(&credentials)).await;
    assert!(given_up.is_err());
    *source.waits.lock().unwrap() = None;
    assert_eq!(id(&credentials).await, "id-2");
}

#[tokio::test]
async fn should_take_keys_and_region_from_a_profile() {
    let home = tempfile::tempdir().unwrap();
    let (config, keys) = (home.path().join("config"), home.path().join("credentials"));
    std::fs::write(&config, "[profile traces]\nregion = eu-central-1\n").unwrap();
    let text = "[traces]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = geheim\n";
    std::fs::write(&keys, text).unwrap();
    let files = EnvConfigFiles::builder()
        .with_file(EnvConfigFileKind::Config, config)
        .with_file(EnvConfigFileKind::Credentials, &keys)
        .build();
    let of_profile = |name: &str| {
        chain(None).empty_test_environment().profile_files(files.clone()).profile_name(name).load()
    };

    let found = of_profile("traces").await;
    assert_eq!(region(&found).as_deref(), Some("eu-central-1"));
    let credential = AwsCredentials::from_chain(&found).get_credential().await.unwrap();
    assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("AKIAEXAMPLE", "geheim"));

    std::fs::write(&keys, "[traces]\naws_access_key_id = AKIAEXAMPLE\n").unwrap();
    let said = AwsCredentials::from_chain(&of_profile("traces").await).get_credential().await;
    let said = said.unwrap_err().to_string();
    assert!(said.contains("profile"), "the cause is named: {said}");
}
