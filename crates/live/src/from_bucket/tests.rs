use siltstone_ask::Window;
use siltstone_format::tenant::Tenant;
use tokio::sync::Notify;

use super::*;
use crate::question::Wanted;

/// No test waits for longer.
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(1);

/// Answers, with its number, once it is allowed to.
struct Fake {
    answer: Result<u64, &'static str>,
    may_answer: Notify,
    is_asked: Notify,
}

fn fake(answer: Result<u64, &'static str>, at_once: bool) -> Arc<Fake> {
    let fake = Fake { answer, may_answer: Notify::new(), is_asked: Notify::new() };
    if at_once {
        fake.may_answer.notify_one();
    }
    Arc::new(fake)
}

#[async_trait]
impl LiveSource for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    async fn ask(&self, _question: &Question) -> Result<Answer, LiveError> {
        self.is_asked.notify_one();
        self.may_answer.notified().await;
        match self.answer {
            Ok(min_root) => Ok(Answer { min_root, ..Answer::default() }),
            Err(why) => Err(LiveError::Refused { ingester: String::new(), why: why.to_owned() }),
        }
    }
}

/// Which answer it was: 1 is the ingester's, 2 the log's.
async fn ask(primary: &Arc<Fake>, bucket: &Arc<Fake>, patience: Duration) -> Result<u64, String> {
    let (primary, bucket) = (Arc::clone(primary) as _, Arc::clone(bucket) as _);
    let wanted = Wanted::Matching { filter: None, window: Window::ALL };
    let question = Question { tenant: Tenant::single(), wanted };
    let answer = OrFromBucket { primary, bucket, patience }.ask(&question).await;
    answer.map(|answer| answer.min_root).map_err(|error| error.to_string())
}

#[tokio::test]
async fn should_read_the_log_only_of_who_fails() {
    let bucket = fake(Ok(2), true);
    assert_eq!(ask(&fake(Ok(1), true), &bucket, LONG).await, Ok(1));
    assert_eq!(ask(&fake(Err("it is down"), true), &bucket, LONG).await, Ok(2));
    let missed = ask(&fake(Err("it is down"), true), &fake(Err("no log"), true), LONG).await;
    assert!(missed.as_ref().is_err_and(|missed| missed.contains("it is down")), "{missed:?}");
}

/// A host that is gone says nothing for as long as one waits.
#[tokio::test]
async fn should_read_the_log_of_who_is_silent_beside_waiting_for_it() {
    assert_eq!(ask(&fake(Ok(1), false), &fake(Ok(2), true), SHORT).await, Ok(2));
}

#[tokio::test]
async fn should_take_whichever_answer_comes_and_name_who_is_missed() {
    for (primary, bucket, expected) in [
        (Ok(1), Ok(2), Ok(1)),
        (Ok(1), Err("no log"), Ok(1)),
        (Err("it is down"), Ok(2), Ok(2)),
        (Err("it is down"), Err("no log"), Err("it is down")),
    ] {
        let (primary, bucket) = (fake(primary, false), fake(bucket, false));
        let in_turn = async {
            bucket.is_asked.notified().await;
            if bucket.answer.is_err() {
                bucket.may_answer.notify_one();
                tokio::task::yield_now().await;
            }
            primary.may_answer.notify_one();
            if primary.answer.is_err() {
                tokio::task::yield_now().await;
                bucket.may_answer.notify_one();
            }
        };
        let (answer, ()) = tokio::join!(ask(&primary, &bucket, SHORT), in_turn);
        match expected {
            Ok(number) => assert_eq!(answer, Ok(number)),
            Err(why) => assert!(answer.as_ref().is_err_and(|error| error.contains(why)), "{answer:?}"),
        }
    }
}
