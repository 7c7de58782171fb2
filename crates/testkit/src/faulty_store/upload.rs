//! Uploads in parts. A part, and the end of an upload, can be had only once; faults that would deliver one of
//! them again leave it at one delivery. A part that lands too late is the same as one that never does.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, PutPayload, PutResult, Result, UploadPart};

use super::plan::Fault;
use super::request::{Shared, Target};
use crate::operation::Operation;

pub(super) struct FaultyUpload<S> {
    /// None when its end has been held back.
    inner: Option<Box<dyn MultipartUpload>>,
    location: Path,
    began_unix_nanos: u64,
    shared: Arc<Shared<S>>,
}

impl<S: ObjectStore> FaultyUpload<S> {
    pub(super) fn new(inner: Box<dyn MultipartUpload>, location: &Path, shared: Arc<Shared<S>>) -> Self {
        let began_unix_nanos = shared.clock().now();
        FaultyUpload { inner: Some(inner), location: location.clone(), began_unix_nanos, shared }
    }

    fn target(&self, operation: Operation) -> Target {
        Target::new(operation, &self.location)
    }
}

impl<S> fmt::Debug for FaultyUpload<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyUpload").field("location", &self.location).finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: ObjectStore> MultipartUpload for FaultyUpload<S> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let target = self.target(Operation::MultipartPart);
        let (_, decision) = self.shared.decide(&target);
        let lost = match decision.fault {
            None | Some(Fault::DeliveredTwice | Fault::AgainLater | Fault::Delay(_)) => None,
            Some(
                fault @ (Fault::ErrorBefore | Fault::ErrorAfter | Fault::LandsLater | Fault::SaysExists),
            ) => Some(fault),
        };
        // The place of a part in the object is that of this call, so a part that arrives is handed on now.
        let part = match (&mut self.inner, lost) {
            (Some(inner), None | Some(Fault::ErrorAfter)) => Some(inner.put_part(data)),
            _ => None,
        };
        let shared = Arc::clone(&self.shared);
        async move {
            shared.rest(decision.delay).await;
            if let Some(part) = part {
                part.await?;
            }
            lost.map_or(Ok(()), |fault| Err(target.error(fault)))
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let target = self.target(Operation::MultipartComplete);
        let (number, decision) = self.shared.decide(&target);
        self.shared.rest(decision.delay).await;
        let Some(mut inner) = self.inner.take() else { return Err(target.error(Fault::LandsLater)) };
        let (shared, location, began) =
            (Arc::clone(&self.shared), self.location.clone(), self.began_unix_nanos);
        if let Some(fault @ (Fault::ErrorBefore | Fault::SaysExists)) = decision.fault {
            self.inner = Some(inner);
            return Err(target.error(fault));
        }
        if let Some(fault @ Fault::LandsLater) = decision.fault {
            let effect = async move {
                inner.complete().await?;
                shared.landed(&location, began);
                Ok(())
            };
            self.shared.hold_back(number, &target, effect.boxed());
            return Err(target.error(fault));
        }
        let completed = inner.complete().await;
        self.inner = Some(inner);
        if completed.is_ok() {
            shared.landed(&location, began);
        }
        match decision.fault {
            Some(fault @ Fault::ErrorAfter) => Err(target.error(fault)),
            _ => completed,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        let target = self.target(Operation::MultipartAbort);
        let (_, decision) = self.shared.decide(&target);
        self.shared.rest(decision.delay).await;
        match (&mut self.inner, decision.fault) {
            (None, _) => Err(target.error(Fault::LandsLater)),
            (Some(_), Some(fault @ Fault::ErrorBefore)) => Err(target.error(fault)),
            (Some(inner), Some(fault @ Fault::ErrorAfter)) => {
                drop(inner.abort().await);
                Err(target.error(fault))
            }
            (Some(inner), _) => inner.abort().await,
        }
    }
}
