//! Requests and answers as JSON, with binary tensors behind it.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::VERSION;
use super::tensor::{Data, Tensor};
use crate::failure::Failure;
use crate::http::body::parse_now;

/// Bytes of the JSON in front of binary tensors.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// An input tensor.
#[derive(Deserialize, ToSchema)]
pub(crate) struct InputTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub datatype: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// Elements, nested or flat; absent where they are binary.
    #[schema(value_type = Option<Vec<Value>>)]
    pub data: Option<Value>,
}

/// An output that is wanted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct WantedOutput {
    pub name: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// A request.
#[derive(Deserialize, ToSchema)]
pub(crate) struct InferRequest {
    pub id: Option<String>,
    /// `task` names the head that answers, `truncate` says whether texts are cut.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    pub inputs: Vec<InputTensor>,
    #[serde(default)]
    pub outputs: Vec<WantedOutput>,
}

/// A request that was read.
pub(super) struct Read {
    pub id: Option<String>,
    pub parameters: Map<String, Value>,
    pub tensors: Vec<Tensor>,
    pub outputs: Vec<Wanted>,
    /// Whether outputs are binary where none is named.
    pub binary: bool,
}

/// An output that is wanted.
pub(super) struct Wanted {
    pub name: String,
    pub binary: bool,
}

/// Reads a request.
///
/// # Errors
/// 400: what is no such request.
pub(super) fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Read, Failure> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Failure::media_type("compressed requests are not read; send them as they are"));
    }
    let (json, mut rest) = match headers.get(HEADER_LENGTH) {
        None => (&bytes[..], &[][..]),
        Some(length) => {
            let length = length.to_str().ok().and_then(|length| length.parse().ok());
            let split = length.and_then(|length| bytes.split_at_checked(length));
            split.ok_or_else(|| Failure::malformed("`Inference-Header-Content-Length` is no length within the body"))?
        }
    };
    let request: InferRequest = parse_now(json).map_err(|failure| Failure::malformed(failure.message))?;
    known(&request.parameters, "the request", &["task", "truncate", "binary_data_output"])?;
    let mut tensors = Vec::with_capacity(request.inputs.len());
    for InputTensor { name, shape, datatype, parameters, data } in request.inputs {
        known(&parameters, &format!("input `{name}`"), &["binary_data_size"])?;
        let size = parameters.get("binary_data_size");
        tensors.push(match (data, size) {
            (Some(list), None) => Tensor::from_json(name, shape, &datatype, &list)?,
            (None, Some(size)) => {
                let wrong = || Failure::malformed(format!("input `{name}`: `binary_data_size` is not within the body"));
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(wrong)?;
                let (own, after) = rest.split_at_checked(size).ok_or_else(wrong)?;
                rest = after;
                Tensor::from_bytes(name, shape, &datatype, own)?
            }
            _ => {
                let message = format!("input `{name}`: either `data` or `parameters.binary_data_size` is expected");
                return Err(Failure::malformed(message));
            }
        });
    }
    if !rest.is_empty() {
        return Err(Failure::malformed(format!("{} bytes behind the last tensor belong to none", rest.len())));
    }
    let binary = is_set(&request.parameters, "binary_data_output")?.unwrap_or(false);
    let wanted = |output: WantedOutput| {
        known(&output.parameters, &format!("output `{}`", output.name), &["binary_data"])?;
        Ok(Wanted { binary: is_set(&output.parameters, "binary_data")?.unwrap_or(binary), name: output.name })
    };
    let outputs = request.outputs.into_iter().map(wanted).collect::<Result<_, Failure>>()?;
    Ok(Read { id: request.id, parameters: request.parameters, tensors, outputs, binary })
}

/// # Errors
/// 400: `owner` has a parameter that changes nothing here.
fn known(parameters: &Map<String, Value>, owner: &str, known: &[&str]) -> Result<(), Failure> {
    match parameters.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let known = known.join(", ");
            Err(Failure::malformed(format!("{owner}: there is no parameter `{key}`; parameters: {known}")))
        }
        None => Ok(()),
    }
}

/// # Errors
/// 400: it is no truth value.
fn is_set(parameters: &Map<String, Value>, key: &str) -> Result<Option<bool>, Failure> {
    let wrong = || Failure::malformed(format!("the parameter `{key}` is true or false"));
    parameters.get(key).map(|value| value.as_bool().ok_or_else(wrong)).transpose()
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    shape: &'a [usize],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Data>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

/// An answer of these tensors, each with whether it is binary.
///
/// # Errors
/// 500: it cannot be written.
pub(super) fn write(model: &str, id: Option<String>, outputs: Vec<(Tensor, bool)>) -> Result<Response, Failure> {
    let binary: Vec<Option<Vec<u8>>> =
        outputs.iter().map(|(tensor, binary)| binary.then(|| tensor.data.to_bytes())).collect();
    let described = outputs.iter().zip(&binary).map(|((tensor, _), bytes)| Output {
        name: &tensor.name,
        shape: &tensor.shape,
        datatype: tensor.data.datatype(),
        parameters: bytes.as_ref().map(|bytes| BinarySize { binary_data_size: bytes.len() }),
        data: bytes.is_none().then_some(&tensor.data),
    });
    let answer = Answer { model_name: model, model_version: VERSION, id, outputs: described.collect() };
    let mut bytes = serde_json::to_vec(&answer)
        .map_err(|error| Failure::internal(format!("the answer cannot be written: {error}")))?;
    let any_binary = binary.iter().any(Option::is_some);
    let length = bytes.len();
    bytes.extend(binary.into_iter().flatten().flatten());
    let mut response = Response::new(Body::from(bytes));
    let kind = if any_binary { "application/octet-stream" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if any_binary {
        response.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}
