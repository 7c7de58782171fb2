//! Each flaw that a store may have is found by the check that is there for it.

use std::fmt;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    None,
    CreateReplaces,
    CreateSaysThatItWon,
    CreateFailsOtherwise,
    RemembersDeletedKeys,
    ReadsTheFirstVersion,
    SuffixFromTheStart,
    ReadBearsAnotherKey,
    LosesEmptyObjects,
    ListsOneTooFew,
    ListsOnePage,
    ListsInReverse,
    OffsetIncluded,
    OffsetIgnored,
    ListsSiblings,
    ListsLevelsWhole,
    LosesCase,
    KeepsWhatIsDeleted,
    FailsOnDeletingNothing,
    DeletesOne,
    ShowsParts,
    TimeOfLongAgo,
    TimeRunsBackwards,
}

/// A store in memory with one flaw.
#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    store: InMemory,
    written: Mutex<Vec<Key>>,
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flawed({:?})", self.flaw)
    }
}

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn named(&self, location: &Key) -> Key {
        if self.has(Flaw::LosesCase) { Key::from(location.as_ref().to_lowercase()) } else { location.clone() }
    }

    /// What is listed, with the flaws that can be put on it afterwards.
    fn show(&self, mut listed: Vec<ObjectMeta>) -> BoxStream<'static, Result<ObjectMeta>> {
        let written = self.written.lock().unwrap();
        match self.flaw {
            Flaw::ListsOneTooFew => drop(listed.pop()),
            Flaw::ListsOnePage => listed.truncate(1_000),
            Flaw::ListsInReverse => listed.reverse(),
            Flaw::TimeOfLongAgo => {
                listed.iter_mut().for_each(|object| object.last_modified -= Duration::from_secs(3_600));
            }
            Flaw::TimeRunsBackwards => {
                for object in &mut listed {
                    let place = written.iter().position(|key| *key == object.location).unwrap_or(0);
                    object.last_modified -= Duration::from_secs(2) * place as u32;
                }
            }
            _ => {}
        }
        stream::iter(listed.into_iter().map(Ok)).boxed()
    }

    fn all(&self, prefix: Option<&Key>) -> Vec<ObjectMeta> {
        let listed = match (prefix, self.flaw) {
            (Some(prefix), Flaw::ListsSiblings) => {
                let prefix = prefix.to_string();
                let whole = self.store.list(None);
                whole.try_filter(move |meta| ready(meta.location.as_ref().starts_with(&prefix))).boxed()
            }
            (prefix, _) => self.store.list(prefix),
        };
        listed.try_collect().now_or_never().unwrap().unwrap()
    }
}

#[async_trait]
impl ObjectStore for Flawed {
    async fn put_opts(&self, location: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let location = &self.named(location);
        let is_create = matches!(options.mode, PutMode::Create);
        let is_there = self.store.head(location).await.is_ok();
        let was_written = self.written.lock().unwrap().contains(location);
        self.written.lock().unwrap().push(location.clone());
        if self.has(Flaw::LosesEmptyObjects) && payload.content_length() == 0 {
            return Ok(PutResult { e_tag: None, version: None });
        }
        match self.flaw {
            Flaw::CreateReplaces if is_create => self.store.put(location, payload).await,
            Flaw::CreateSaysThatItWon if is_create && is_there => {
                Ok(PutResult { e_tag: None, version: None })
            }
            Flaw::CreateFailsOtherwise if is_create && is_there => {
                Err(Error::NotImplemented { operation: "a create".to_owned(), implementer: self.to_string() })
            }
            Flaw::RemembersDeletedKeys if is_create && was_written => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "once".into() })
            }
            Flaw::ReadsTheFirstVersion if is_there => Ok(PutResult { e_tag: None, version: None }),
            _ => self.store.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.store.put_multipart_opts(location, options).await?;
        if self.has(Flaw::ShowsParts) {
            self.store.put(location, "part".into()).await?;
            return Ok(Box::new(Visible(upload)));
        }
        Ok(upload)
    }

    async fn get_opts(&self, location: &Key, mut options: GetOptions) -> Result<GetResult> {
        if let (Flaw::SuffixFromTheStart, Some(GetRange::Suffix(wanted))) = (self.flaw, &options.range) {
            options.range = Some(GetRange::Bounded(0..*wanted));
        }
        let mut got = self.store.get_opts(&self.named(location), options).await?;
        got.meta.location = location.clone();
        if self.has(Flaw::ReadBearsAnotherKey) {
            got.meta.location = Key::from(format!("prefix/{location}"));
        }
        Ok(got)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let locations: Vec<Key> = locations.try_collect().now_or_never().unwrap().unwrap();
        let mut answers = Vec::new();
        for (number, location) in locations.into_iter().enumerate() {
            let is_there = self.store.head(&location).now_or_never().unwrap().is_ok();
            answers.push(match self.flaw {
                Flaw::KeepsWhatIsDeleted => Ok(location),
                Flaw::DeletesOne if number > 0 => Ok(location),
                Flaw::FailsOnDeletingNothing if !is_there => {
                    Err(Error::Generic { store: "flawed", source: "nothing there".into() })
                }
                _ => {
                    let deleted = self.store.delete(&location).now_or_never().unwrap();
                    deleted.map(|()| location)
                }
            });
        }
        stream::iter(answers).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.show(self.all(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Key>, offset: &Key) -> BoxStream<'static, Result<ObjectMeta>> {
        let mut listed = self.all(prefix);
        match self.flaw {
            Flaw::OffsetIgnored => {}
            Flaw::OffsetIncluded => listed.retain(|object| object.location >= *offset),
            _ => listed.retain(|object| object.location > *offset),
        }
        self.show(listed)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let mut level = self.store.list_with_delimiter(prefix).await?;
        if self.has(Flaw::ListsLevelsWhole) {
            level.objects = self.all(prefix);
        }
        Ok(level)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// An upload that was seen from the start, and stays when it is aborted.
#[derive(Debug)]
struct Visible(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for Visible {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.0.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.0.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.0.abort().await
    }
}

fn flawed(flaw: Flaw) -> Flawed {
    Flawed { flaw, store: InMemory::new(), written: Mutex::default() }
}

type Check = for<'a> fn(&'a dyn ObjectStore) -> LocalBoxFuture<'a, ()>;

fn fails(flaw: Flaw, check: Check) -> bool {
    let store = flawed(flaw);
    AssertUnwindSafe(check(&store)).catch_unwind().now_or_never().is_none_or(|done| done.is_err())
}

#[test]
fn should_find_no_flaw_where_there_is_none() {
    let store = flawed(Flaw::None);
    check_all(&store, Promises::ALL).now_or_never().unwrap();
}

#[test]
fn should_find_each_flaw() {
    let checks: [(Flaw, Check); 26] = [
        (Flaw::CreateReplaces, |store| creating::should_create_once_of_many(store).boxed_local()),
        (Flaw::CreateReplaces, |store| creating::should_say_that_it_exists_and_keep_it(store).boxed_local()),
        (Flaw::CreateSaysThatItWon, |store| creating::should_create_once_of_many(store).boxed_local()),
        (Flaw::CreateFailsOtherwise, |store| creating::should_create_once_of_many(store).boxed_local()),
        (Flaw::RemembersDeletedKeys, |store| {
            creating::should_create_again_after_a_deletion(store).boxed_local()
        }),
        (Flaw::ReadsTheFirstVersion, |store| creating::should_replace_whole(store).boxed_local()),
        (Flaw::ReadsTheFirstVersion, |store| reading::should_read_what_was_just_written(store).boxed_local()),
        (Flaw::ReadBearsAnotherKey, |store| reading::should_read_ranges(store).boxed_local()),
        (Flaw::SuffixFromTheStart, |store| reading::should_read_the_end(store).boxed_local()),
        (Flaw::LosesEmptyObjects, |store| reading::should_keep_empty_objects(store).boxed_local()),
        (Flaw::LosesEmptyObjects, |store| {
            reading::should_read_nothing_as_the_end_of_nothing(store).boxed_local()
        }),
        (Flaw::ListsOneTooFew, |store| {
            listing::should_list_what_was_just_written(store, Promises::ALL).boxed_local()
        }),
        (Flaw::ListsOnePage, |store| {
            listing::should_list_and_delete_more_than_one_page(store, Promises::ALL).boxed_local()
        }),
        (Flaw::ListsInReverse, |store| {
            listing::should_list_and_delete_more_than_one_page(store, Promises::ALL).boxed_local()
        }),
        (Flaw::OffsetIncluded, |store| {
            listing::should_list_from_an_offset_on(store, Promises::ALL).boxed_local()
        }),
        (Flaw::OffsetIgnored, |store| {
            listing::should_list_from_an_offset_on(store, Promises::ALL).boxed_local()
        }),
        (Flaw::ListsSiblings, |store| listing::should_not_list_siblings_of_a_prefix(store).boxed_local()),
        (Flaw::ListsLevelsWhole, |store| listing::should_list_one_level(store).boxed_local()),
        (Flaw::LosesCase, |store| listing::should_keep_strange_keys(store, Promises::ALL).boxed_local()),
        (Flaw::KeepsWhatIsDeleted, |store| {
            deleting::should_not_list_or_read_what_was_deleted(store).boxed_local()
        }),
        (Flaw::FailsOnDeletingNothing, |store| {
            deleting::should_delete_what_is_not_there(store).boxed_local()
        }),
        (Flaw::DeletesOne, |store| {
            listing::should_list_and_delete_more_than_one_page(store, Promises::ALL).boxed_local()
        }),
        (Flaw::ShowsParts, |store| uploading::should_show_an_upload_when_it_is_complete(store).boxed_local()),
        (Flaw::ShowsParts, |store| uploading::should_forget_an_upload_that_is_aborted(store).boxed_local()),
        (Flaw::TimeOfLongAgo, |store| times::should_tell_when_an_object_was_written(store).boxed_local()),
        (Flaw::TimeRunsBackwards, |store| times::should_not_run_backwards(store).boxed_local()),
    ];
    for (number, (flaw, check)) in checks.into_iter().enumerate() {
        assert!(fails(flaw, check), "{flaw:?} was not found by check {number}");
        assert!(!fails(Flaw::None, check), "check {number} fails without a flaw");
    }
}

#[test]
fn should_do_without_an_order_that_is_not_promised() {
    let promises = Promises { lists_in_key_order: false, ..Promises::ALL };
    check_all(&flawed(Flaw::ListsInReverse), promises).now_or_never().unwrap();
}
