//! Objects in parts are seen whole or not at all.

use futures::future::join;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::{get, is_not_found, key, listed};

/// S3 takes none that is smaller, except for the last.
const PART: usize = 5 << 20;

fn part(letter: u8) -> PutPayload {
    vec![letter; PART].into()
}

pub async fn should_show_an_upload_when_it_is_complete(store: &dyn ObjectStore) {
    let mut upload = store.put_multipart(&key("uploading/whole/1")).await.unwrap();
    upload.put_part(part(b'a')).await.unwrap();
    upload.put_part("end".into()).await.unwrap();
    assert!(is_not_found(&get(store, "uploading/whole/1").await));
    assert_eq!(listed(store, "uploading/whole").await, [""; 0]);
    upload.complete().await.unwrap();

    let bytes = get(store, "uploading/whole/1").await.unwrap();
    assert_eq!(bytes.len(), PART + 3);
    assert!(bytes[..PART].iter().all(|byte| *byte == b'a') && bytes.ends_with(b"end"));
    assert_eq!(listed(store, "uploading/whole").await, ["uploading/whole/1"]);
}

pub async fn should_forget_an_upload_that_is_aborted(store: &dyn ObjectStore) {
    let mut upload = store.put_multipart(&key("uploading/aborted/1")).await.unwrap();
    upload.put_part(part(b'a')).await.unwrap();
    upload.abort().await.unwrap();
    assert!(is_not_found(&get(store, "uploading/aborted/1").await));
    assert_eq!(listed(store, "uploading/aborted").await, [""; 0]);
}

pub async fn should_take_parts_in_any_order(store: &dyn ObjectStore) {
    let mut upload = store.put_multipart(&key("uploading/order/1")).await.unwrap();
    let (first, second, third) =
        (upload.put_part(part(b'1')), upload.put_part(part(b'2')), upload.put_part("3".into()));
    let (third, second) = join(third, second).await;
    for outcome in [third, second, first.await] {
        outcome.unwrap();
    }
    upload.complete().await.unwrap();
    let bytes = get(store, "uploading/order/1").await.unwrap();
    assert_eq!((bytes.len(), bytes[0], bytes[PART], bytes[2 * PART]), (2 * PART + 1, b'1', b'2', b'3'));
}
