//! Creating what is not there: the step that decides who wins.

use futures::future::{join, join_all};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutResult, Result};

use super::{get, is_not_found, key, put};

/// At once, on one key.
const RIVALS: usize = 16;
const ROUNDS: usize = 10;

async fn create(store: &dyn ObjectStore, text: &str, content: &str) -> Result<PutResult> {
    store.put_opts(&key(text), content.to_owned().into(), PutMode::Create.into()).await
}

/// Of many who create the same key exactly one wins, the others are told so, and the winner's content stays.
pub async fn should_create_once_of_many(store: &dyn ObjectStore) {
    for round in 0..ROUNDS {
        let text = format!("creating/many/{round:02}");
        let contents: Vec<String> = (0..RIVALS).map(|rival| format!("{rival} ").repeat(500)).collect();
        let outcomes = join_all(contents.iter().map(|content| create(store, &text, content))).await;
        let winners: Vec<usize> = (0..RIVALS).filter(|rival| outcomes[*rival].is_ok()).collect();
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(_) | Err(Error::AlreadyExists { .. })), "{outcome:?}");
        }
        assert_eq!(winners.len(), 1, "winners of round {round}: {winners:?}");
        assert_eq!(get(store, &text).await.unwrap(), contents[winners[0]]);
    }
}

pub async fn should_say_that_it_exists_and_keep_it(store: &dyn ObjectStore) {
    put(store, "creating/exists", "first").await;
    let outcome = create(store, "creating/exists", "second").await;
    assert!(matches!(outcome, Err(Error::AlreadyExists { .. })), "{outcome:?}");
    assert_eq!(get(store, "creating/exists").await.unwrap(), "first");
}

pub async fn should_create_again_after_a_deletion(store: &dyn ObjectStore) {
    create(store, "creating/again", "first").await.unwrap();
    store.delete(&key("creating/again")).await.unwrap();
    assert!(is_not_found(&get(store, "creating/again").await));
    create(store, "creating/again", "second").await.unwrap();
    assert_eq!(get(store, "creating/again").await.unwrap(), "second");
}

/// Whoever reads while an object is replaced gets one or the other, never a mixture.
pub async fn should_replace_whole(store: &dyn ObjectStore) {
    let (old, new) = ("o".repeat(100_000), "n".repeat(150_000));
    put(store, "creating/replaced", &old).await;
    let reads = join_all((0..20).map(|_| get(store, "creating/replaced")));
    let (reads, ()) = join(reads, put(store, "creating/replaced", &new)).await;
    for read in reads {
        let read = read.unwrap();
        assert!(read == old || read == new, "a mixture of {} bytes", read.len());
    }
    assert_eq!(get(store, "creating/replaced").await.unwrap(), new);
}
