//! Definitions: what the broker is set up to be, as one file, out and in.

use std::collections::HashMap;

use axum::Json;
use leveret_protocol::admin::definitions::{Definitions, Differences};

use super::*;
use crate::definitions::{self, Plan};

pub(super) fn routes() -> Vec<Route> {
    const IMPORT: &str = "Makes the broker what the definitions say, or refuses them as a whole. Takes JSON, or a form \
                          with the file in the field `file`.";
    let exports = |path| {
        get(path, Who::Administrator, "Everything that the broker is set up to be.", export)
            .query(DOWNLOAD)
            .gives::<Definitions>()
    };
    let imports = |path| {
        post(path, Who::Administrator, IMPORT, import)
            .query(DRY_RUN)
            .takes::<Definitions>()
            .gives::<Differences>()
            .or_nothing()
    };
    vec![
        exports("/api/definitions"),
        imports("/api/definitions"),
        // Its name of long ago, which old tools use.
        exports("/api/all-configuration"),
        imports("/api/all-configuration"),
        get(
            "/api/definitions/{vhost}",
            Who::Administrator,
            "What is in one vhost, without its name.",
            export_vhost,
        )
        .query(DOWNLOAD)
        .gives::<Definitions>(),
        post(
            "/api/definitions/{vhost}",
            Who::Administrator,
            "Makes a vhost hold what the definitions of one vhost say, or refuses them as a whole.",
            import_vhost,
        )
        .query(DRY_RUN)
        .takes::<Definitions>()
        .gives::<Differences>()
        .or_nothing(),
    ]
}

const DOWNLOAD: &[(&str, &str)] = &[("download", "A browser keeps the answer as a file of this name.")];
const DRY_RUN: &[(&str, &str)] = &[("dry_run", "`true` answers with the differences, and changes nothing.")];

type Parameters = axum::extract::Query<HashMap<String, String>>;

async fn export(State(broker): State<Arc<Broker>>, parameters: Parameters) -> Answer {
    answer(broker, move |broker| Ok(download(&parameters, Json(definitions::export(broker))))).await
}

async fn export_vhost(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    parameters: Parameters,
) -> Answer {
    answer(broker, move |broker| {
        let vhost = broker.vhost(&vhost).ok_or_else(|| ApiError::not_found("Not Found"))?;
        Ok(download(&parameters, Json(definitions::export_vhost(broker, &vhost))))
    })
    .await
}

fn download(parameters: &Parameters, body: Json<Definitions>) -> Response {
    let mut response = body.into_response();
    if let Some(name) = parameters.get("download") {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = name.chars().filter(is_plain).take(100).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={name}")) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
    }
    response
}

async fn import(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    parameters: Parameters,
    InUpload(defined): InUpload,
) -> Answer {
    carry_out(broker, visitor, defined, None, is_dry(&parameters)).await
}

async fn import_vhost(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(vhost): InPath<String>,
    parameters: Parameters,
    InUpload(defined): InUpload,
) -> Answer {
    if broker.vhost(&vhost).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    carry_out(broker, visitor, defined, Some(vhost), is_dry(&parameters)).await
}

fn is_dry(parameters: &Parameters) -> bool {
    parameters.get("dry_run").is_some_and(|value| value == "true")
}

async fn carry_out(
    broker: Arc<Broker>,
    visitor: Visitor,
    defined: Definitions,
    into: Option<String>,
    dry_run: bool,
) -> Answer {
    let work = move |broker: &Arc<Broker>| {
        let plan = Plan::new(broker, defined, into.as_deref())
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        if dry_run {
            let differences: &Differences = plan.differences();
            return Ok((Some(Json(differences.clone())), Default::default()));
        }
        let ticket = plan.carry_out(broker, visitor.user().name())?;
        Ok::<_, ApiError>((None, ticket))
    };
    let (differences, ticket) = take_time(broker.clone(), work).await?;
    if let Some(differences) = differences {
        return Ok(differences.into_response());
    }
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Definitions in a body: as they are, or as a file in a form.
struct InUpload(Definitions);

impl<S: Send + Sync> FromRequest<S> for InUpload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<InUpload, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let boundary = kind.and_then(boundary).map(str::to_owned);
        let body = Bytes::from_request(request, state).await.map_err(|_| too_large())?;
        let json = match &boundary {
            None => &body[..],
            Some(boundary) => {
                file_in_form(&body, boundary).ok_or_else(|| ApiError::bad_request("the form has no file"))?
            }
        };
        // Editors put a mark in front of UTF-8.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json).trim_ascii();
        if json.first() != Some(&b'{') {
            return Err(ApiError::bad_request("not_json"));
        }
        serde_json::from_slice(json)
            .map(InUpload)
            .map_err(|error| ApiError::bad_request(format!("not_json: {error}")))
    }
}

/// What separates the parts of a form.
fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"'))
}

/// The content of the field `file` (RFC 7578).
fn file_in_form<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let find =
        |text: &[u8], wanted: &[u8]| text.windows(wanted.len().max(1)).position(|found| found == wanted);
    let separator = format!("--{boundary}");
    let end = format!("\r\n{separator}");
    let mut rest = &body[find(body, separator.as_bytes())? + separator.len()..];
    loop {
        let head_end = find(rest, b"\r\n\r\n")?;
        let (head, content) = (&rest[..head_end], &rest[head_end + 4..]);
        let content_end = find(content, end.as_bytes())?;
        if find(head, b"name=\"file\"").is_some() {
            return Some(&content[..content_end]);
        }
        rest = &content[content_end + end.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_a_form() {
        let boundary = boundary("multipart/form-data; charset=x; boundary=\"AaB\"").expect("a boundary");
        let field = |name: &str, content: &str| {
            format!("--AaB\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let form = format!("{}{}--AaB--\r\n", field("other", "x"), field("file", "{\"a\":\r\n1}"));
        assert_eq!(file_in_form(form.as_bytes(), boundary), Some(&b"{\"a\":\r\n1}"[..]));
        for broken in ["", "--AaB", "--AaB\r\n\r\n", "--AaB\r\nname=\"file\"\r\n\r\n{}", &field("other", "x")]
        {
            assert_eq!(file_in_form(broken.as_bytes(), boundary), None, "{broken}");
        }
        assert_eq!(super::boundary("application/json"), None);
        assert_eq!(super::boundary("application/json; charset=utf-8"), None);
    }
}
