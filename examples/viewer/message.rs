//! What comes in and what goes out, apart from how it travels.

use std::fmt::Write as _;
use std::pin::Pin;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tilekeep::{Error, ErrorKind};

/// What a client asks for.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    /// As the request line has it.
    pub(crate) method: String,
    /// Parts of the path, decoded.
    pub(crate) path: Vec<String>,
    /// Pairs of the query, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// The name by which the client reached the server, with its port.
    pub(crate) host: String,
    /// What the client has already: the header If-None-Match.
    pub(crate) has: Option<String>,
    /// Which of a page's views it is for: the header X-View.
    pub(crate) view: Option<String>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// Takes path and query apart. `None` where they are no text in UTF-8.
    pub(crate) fn new(method: &str, path: &str, query: Option<&str>) -> Option<Self> {
        let parts = path.strip_prefix('/')?.split('/');
        let path = parts.map(|part| decoded(part, false)).collect::<Option<_>>()?;
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(key, true)?, decoded(value, true)?))
        };
        Some(Self {
            method: method.to_owned(),
            path,
            query: pairs.map(pair).collect::<Option<_>>()?,
            ..Self::default()
        })
    }

    /// The value of a key of the query.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Text of a URL without its escapes; in queries `+` is a space. An escape without two digits stays as it is.
fn decoded(text: &str, in_query: bool) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail.first_chunk().and_then(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) if in_query => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The answer to what a client asks.
pub(crate) enum Answer {
    Now(Reply),
    /// It takes a while. Whoever drops it takes back what was asked for.
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: body.into() }.with("content-type", content_type)
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::new("application/json", value.to_string()).with("cache-control", "no-store")
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        let body = json!({ "error": message.into() });
        Self { status, ..Self::json(&body) }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::refused(StatusCode::NOT_FOUND, format!("not found: {what}"))
    }

    pub(crate) fn not_allowed(allowed: &str) -> Self {
        Self::refused(StatusCode::METHOD_NOT_ALLOWED, format!("the method is none of {allowed}")).with("allow", allowed)
    }

    /// The client has it already.
    pub(crate) fn unchanged() -> Self {
        Self { status: StatusCode::NOT_MODIFIED, headers: Vec::new(), body: Bytes::new() }
    }
}

impl From<Error> for Reply {
    /// What the caller did wrong is said in the library's words; everything else is the server's failure.
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::LimitExceeded | ErrorKind::Unsupported => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            // Another try may do better.
            ErrorKind::Cancelled | ErrorKind::Changed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::refused(status, error.to_string())
    }
}

/// A number as an entity tag.
pub(crate) fn etag(number: u128) -> String {
    format!("\"{number:032x}\"")
}

/// Whether one of the tags that the client has is `tag`.
pub(crate) fn is_known(has: Option<&str>, tag: &str) -> bool {
    let known = |other: &str| other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag;
    has.is_some_and(|has| has.split(',').any(|other| known(other.trim())))
}

/// Text as part of a URL.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_come_apart() {
        let ask = Ask::new("GET", "/a%2Fb/c%20d+e/", Some("style=%7B%22gamma%22%3A+2%7D&x&y=%zz%+1%2")).unwrap();
        assert_eq!(ask.path, ["a/b", "c d+e", ""]);
        assert_eq!(ask.value("style"), Some(r#"{"gamma": 2}"#));
        assert_eq!((ask.value("x"), ask.value("y"), ask.value("z")), (Some(""), Some("%zz% 1%2"), None));
        assert!(Ask::new("GET", "/%FF", None).is_none());
        assert!(Ask::new("GET", "*", None).is_none());
        assert_eq!(Ask::new("GET", "/", None).unwrap().path, [""]);
    }

    #[test]
    fn text_survives_a_url() {
        let style = r#"{"bands": [{"palette": "viridis", "min": -1.5}]} & ü%"#;
        let query = format!("style={}", escaped(style));
        assert_eq!(Ask::new("GET", "/", Some(&query)).unwrap().value("style"), Some(style));
    }

    #[test]
    fn tags_are_known_in_any_spelling_of_the_header() {
        let tag = etag(0xA);
        assert!([tag.as_str(), "*", &format!("\"b\", W/{tag}")].iter().all(|has| is_known(Some(has), &tag)));
        assert!(!is_known(None, &tag) && !is_known(Some("\"b\""), &tag));
    }
}
