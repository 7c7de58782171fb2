//! Deleting over HTTP. It is for whoever has the token of the settings, and closed without one.
//!
//! ```text
//! POST /api/siltstone/deletions {"tenant", "traces" | "filter", "from_unix_nano", "to_unix_nano", "confirm"}
//! GET  /api/siltstone/deletions/<id>
//! ```

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use siltstone_ask::{Filter, Window};
use siltstone_format::id::{ObjectId, TraceId};
use siltstone_format::tenant::Tenant;

use super::{of_type, text};
use crate::delete::{Deleter, Deletion, Outcome, What};
use crate::receipt::receipt;

pub(super) const PATH: &str = "/api/siltstone/deletions";
/// A million trace ids, and some.
const MOST_BYTES: usize = 64 << 20;
/// Shorter ones can be tried out.
pub(crate) const LEAST_TOKEN_BYTES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    tenant: Option<String>,
    #[serde(default)]
    traces: Vec<String>,
    filter: Option<String>,
    from_unix_nano: Option<u64>,
    to_unix_nano: Option<u64>,
    #[serde(default)]
    confirm: bool,
}

impl Asked {
    fn read(self) -> Result<Deletion, String> {
        let tenant = match &self.tenant {
            Some(name) => name.parse().map_err(|error| format!("`tenant`: {error}"))?,
            None => Tenant::single(),
        };
        let has_window = self.from_unix_nano.is_some() || self.to_unix_nano.is_some();
        let what = match (&self.filter, self.traces.is_empty()) {
            (Some(filter), true) => What::Matching {
                filter: filter.parse::<Filter>().map_err(|error| format!("`filter`: {error}"))?,
                window: Window {
                    start: self.from_unix_nano.unwrap_or(Window::ALL.start),
                    end: self.to_unix_nano.unwrap_or(Window::ALL.end),
                },
            },
            (None, false) if !has_window => What::Traces(
                self.traces
                    .iter()
                    .map(|trace| trace.parse::<TraceId>().map_err(|error| format!("`traces`: {error}")))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err("say either `traces`, or `filter`, which may have a range of time".to_owned()),
        };
        Ok(Deletion { tenant, what, confirmed: self.confirm })
    }
}

/// Answers what begins with [`PATH`].
pub(super) async fn answer(
    token: Option<&str>,
    deleter: Option<&Arc<Deleter>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(token) = token else {
        return text(
            StatusCode::FORBIDDEN,
            "nothing is deleted over HTTP until the setting admin.token has a token\n".to_owned(),
        );
    };
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    if !is_same(given, token.as_bytes()) {
        tracing::warn!(target: "siltstone::audit", %method, path, "refused: no right token");
        return text(StatusCode::UNAUTHORIZED, "say `Authorization: Bearer …` with admin.token\n".to_owned());
    }
    let Some(deleter) = deleter else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "it has not started yet\n".to_owned());
    };
    match (method, path.strip_prefix(PATH).unwrap_or_default().trim_start_matches('/')) {
        (Method::POST, "") => delete(deleter, request).await,
        (Method::GET, "") => list(deleter).await,
        (Method::GET, id) => match id.parse::<ObjectId>() {
            Ok(id) => one(deleter, id).await,
            Err(_) => text(StatusCode::NOT_FOUND, format!("`{id}` is no id of a deletion\n")),
        },
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "there are POST, GET, and GET of an id\n".to_owned()),
    }
}

/// Takes as long whatever is given.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len());
    for (place, byte) in token.iter().enumerate() {
        differs = black_box(differs | (byte ^ given.get(place).copied().unwrap_or(0)));
    }
    differs == 0
}

async fn delete(deleter: &Arc<Deleter>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = match Limited::new(request.into_body(), MOST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}\n")),
    };
    let asked = serde_json::from_slice::<Asked>(&body).map_err(|error| error.to_string());
    let deletion = match asked.and_then(Asked::read) {
        Ok(deletion) => deletion,
        Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    match deleter.run_to_its_end(deletion).await {
        Ok(outcome) => of_type("application/json", format!("{:#}\n", as_json(&outcome))),
        Err(error) => text(StatusCode::CONFLICT, format!("{error}\n")),
    }
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let blocks_of = outcome.blocks_of.iter().map(|(trace, blocks)| (trace.to_string(), json!(blocks)));
    json!({
        "id": outcome.done.as_ref().map(|done| done.id.to_string()),
        "number": outcome.done.as_ref().and_then(|done| done.number),
        "deleted": outcome.done.is_some(),
        "tenant": outcome.request.tenant.as_str(),
        "traces": outcome.request.traces.len(),
        "blocks_that_may_hold": serde_json::Value::Object(blocks_of.collect()),
        "pages_unread": outcome.unread,
    })
}

async fn list(deleter: &Deleter) -> Response<Full<Bytes>> {
    match deleter.catalog.deletion_ids().await {
        Ok(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            of_type("application/json", format!("{:#}\n", json!({ "deletions": ids })))
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
    }
}

async fn one(deleter: &Deleter, id: ObjectId) -> Response<Full<Bytes>> {
    match receipt(deleter, id).await {
        Ok(Some(receipt)) => of_type("application/json", format!("{:#}\n", receipt.as_json())),
        Ok(None) => text(StatusCode::NOT_FOUND, format!("there is no deletion {id}\n")),
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_the_token_and_nothing_else() {
        let token = b"0123456789abcdef";
        assert!(is_same(token, token));
        for wrong in
            [&b""[..], b"0123456789abcde", b"0123456789abcdef0", b"0123456789abcdeF", b"x123456789abcdef"]
        {
            assert!(!is_same(wrong, token), "{wrong:?}");
        }
    }

    #[test]
    fn should_read_one_thing_that_is_to_be_deleted() {
        let read = |text: &str| serde_json::from_str::<Asked>(text).map_err(|error| error.to_string());
        let read = |text: &str| read(text).and_then(Asked::read);
        let trace = "5b8efff798038103d269b633813fc60c";
        let deletion = read(&format!(r#"{{"traces": ["{trace}"]}}"#)).unwrap();
        assert_eq!(deletion.what, What::Traces(vec![trace.parse().unwrap()]));
        assert!(!deletion.confirmed && deletion.tenant == Tenant::single());
        let deletion =
            read(r#"{"tenant": "a", "filter": "status = error", "to_unix_nano": 7, "confirm": true}"#);
        let deletion = deletion.unwrap();
        let window = Window { start: 0, end: 7 };
        assert_eq!(deletion.what, What::Matching { filter: "status = error".parse().unwrap(), window });
        assert!(deletion.confirmed);
        for wrong in [
            "{}".to_owned(),
            r#"{"traces": ["7"]}"#.to_owned(),
            r#"{"filter": "sevice_name = 1"}"#.to_owned(),
            format!(r#"{{"traces": ["{trace}"], "filter": "true"}}"#),
            format!(r#"{{"traces": ["{trace}"], "from_unix_nano": 7}}"#),
            format!(r#"{{"traces": ["{trace}"], "confrim": true}}"#),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
