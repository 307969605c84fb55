//! The HTTP of a WebSocket handshake, seen from the server. tungstenite parses, checks and signs.

use std::fmt::Write;

use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::{
    handshake::{
        machine::TryParse,
        server::{Request as HttpRequest, create_response, write_response},
    },
    http::{
        HeaderValue, StatusCode,
        header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL},
    },
};

use crate::{script::Refusal, socket::BoxSocket};

const REQUEST_MAX: usize = 16 * 1024;

/// Returns the request and the bytes after it; or why there is none, for display.
pub(crate) async fn read_request(socket: &mut BoxSocket) -> Result<(HttpRequest, Vec<u8>), String> {
    let mut bytes = Vec::new();
    loop {
        let count = socket.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
        let parsed = HttpRequest::try_parse(&bytes).map_err(|error| error.to_string())?;
        if let Some((length, request)) = parsed {
            return Ok((request, bytes.split_off(length)));
        }
        if count == 0 {
            return Err(format!(
                "the client left after {} bytes, before its request was complete",
                bytes.len()
            ));
        }
        if bytes.len() > REQUEST_MAX {
            return Err(format!("the request is longer than {REQUEST_MAX} bytes"));
        }
    }
}

pub(crate) fn refusal(refusal: &Refusal) -> String {
    let reason =
        StatusCode::from_u16(refusal.status).ok().and_then(|status| status.canonical_reason());
    let mut head = format!("HTTP/1.1 {} {}\r\n", refusal.status, reason.unwrap_or("Refused"));
    for (name, value) in [("retry-after", &refusal.retry_after), ("location", &refusal.location)] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            _ = write!(head, "{name}: {value}\r\n");
        }
    }
    head + "connection: close\r\ncontent-length: 0\r\n\r\n"
}

/// Returns the bytes of the answer and the subprotocol in it; or what is wrong with the request,
/// for display.
pub(crate) fn upgrade(
    request: &HttpRequest,
    wanted: Option<&str>,
    extension: Option<&str>,
) -> Result<(Vec<u8>, Option<String>), String> {
    let mut response = create_response(request).map_err(|error| error.to_string())?;
    let subprotocol = match wanted {
        Some("") => None,
        Some(wanted) => Some(wanted.to_owned()),
        None => first_offered(request),
    };
    if let Some(subprotocol) = &subprotocol {
        let value = HeaderValue::from_str(subprotocol).map_err(|error| error.to_string())?;
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    if let Some(extension) = extension {
        let value = HeaderValue::from_str(extension).map_err(|error| error.to_string())?;
        response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| error.to_string())?;
    Ok((bytes, subprotocol))
}

fn first_offered(request: &HttpRequest) -> Option<String> {
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    (!first.is_empty()).then(|| first.to_owned())
}
