//! The requests that are answered: the page, and the WebSocket that it opens. Everything else is refused.
//!
//! A page from elsewhere that is open in the same browser can send requests here, and can give a name of its own this address (DNS
//! rebinding). So the host must be a name of this computer, the origin that same host, and the token right.

use httparse::{EMPTY_HEADER, Status};

use super::token;

/// Bytes of a request, its headers in all.
pub const REQUEST_MAX_BYTES: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not whole yet.
    More,
    /// The page, for the host of this name and port.
    Page(String),
    /// The WebSocket: its key, and how many bytes the request has.
    Socket(String, usize),
    /// Nothing: why, as status and reason.
    Refused(u16, &'static str),
}

const BAD: Verdict = Verdict::Refused(400, "Bad Request");
const FORBIDDEN: Verdict = Verdict::Refused(403, "Forbidden");

/// Judges what has come of a request.
pub fn judge(bytes: &[u8], secret: &str) -> Verdict {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() < REQUEST_MAX_BYTES => return Verdict::More,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Verdict::Refused(431, "Request Header Fields Too Large");
        }
        Err(_) => return BAD,
    };
    let (Some(method), Some(target)) = (request.method, request.path) else { return BAD };
    let headers = &*request.headers;
    let Some(host) = header(headers, "host") else { return BAD };
    let origin = header(headers, "origin");
    let is_ours = |origin: &str| origin.strip_prefix("http://") == Some(host);
    if !is_local(host) || !origin.is_none_or(is_ours) {
        return FORBIDDEN;
    }
    if method != "GET" {
        return Verdict::Refused(405, "Method Not Allowed");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let given = query.split('&').find_map(|part| part.strip_prefix("token=")).unwrap_or_default();
    match path {
        "/" | "/socket" if !token::same(given.as_bytes(), secret.as_bytes()) => FORBIDDEN,
        "/" => Verdict::Page(host.to_string()),
        "/socket" => match upgrade(headers) {
            Some(key) => Verdict::Socket(key.to_string(), length),
            None => Verdict::Refused(426, "Upgrade Required"),
        },
        _ => Verdict::Refused(404, "Not Found"),
    }
}

/// The one header of this name, as text.
fn header<'h>(headers: &[httparse::Header<'h>], name: &str) -> Option<&'h str> {
    let mut all = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    let only = all.next().filter(|_| all.next().is_none())?;
    std::str::from_utf8(only.value).ok()
}

/// Whether a Host header names this computer, whatever its port: a tunnel has one of its own.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The key of a request for a WebSocket (RFC 6455, 4.2.1).
fn upgrade<'h>(headers: &[httparse::Header<'h>]) -> Option<&'h str> {
    let has = |name: &str, wanted: &str| {
        let words = header(headers, name).unwrap_or_default().split(',');
        words.into_iter().any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let is =
        has("upgrade", "websocket") && has("connection", "upgrade") && has("sec-websocket-version", "13");
    header(headers, "sec-websocket-key").filter(|key| is && key.len() == 24 && key.ends_with("=="))
}

/// The answer that refuses.
pub fn refusal(status: u16, reason: &str) -> Vec<u8> {
    let version = if status == 426 { "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n" } else { "" };
    let body = format!("{status} {reason}\n");
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{version}\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer that has the page. It may load nothing and talk to nobody but `host`; `nonce` marks its script and style.
pub fn page(host: &str, nonce: &str) -> Vec<u8> {
    let body = include_str!("page.html")
        .replace("/* style */", include_str!("page.css"))
        .replace("/* script */", include_str!("page.js"))
        .replace("NONCE", nonce);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer that begins a WebSocket.
pub fn switch(key: &str) -> Vec<u8> {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use fencepost_random::Random;

    use super::*;

    const SOCKET: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn asked(line: &str, headers: &str) -> Verdict {
        judge(format!("{line} HTTP/1.1\r\n{headers}\r\n").as_bytes(), "secret")
    }

    #[test]
    fn the_page_is_for_who_has_the_token() {
        let host = "Host: 127.0.0.1:8000\r\n";
        assert_eq!(asked("GET /?token=secret", host), Verdict::Page("127.0.0.1:8000".into()));
        for target in ["/", "/?token=", "/?token=secre", "/?token=secrets", "/?t=secret", "/socket?token=x"] {
            assert_eq!(asked(&format!("GET {target}"), host), FORBIDDEN, "{target}");
        }
        assert_eq!(asked("GET /other?token=secret", host), Verdict::Refused(404, "Not Found"));
        assert_eq!(asked("POST /?token=secret", host), Verdict::Refused(405, "Method Not Allowed"));
    }

    #[test]
    fn only_names_of_this_computer_are_answered() {
        let with = |host: &str| asked("GET /?token=secret", &format!("Host: {host}\r\n"));
        for host in ["localhost", "LocalHost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8000"] {
            assert_eq!(with(host), Verdict::Page(host.into()));
        }
        for host in
            ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost:x", "10.0.0.1", ""]
        {
            assert_eq!(with(host), FORBIDDEN, "{host}");
        }
        assert_eq!(asked("GET /?token=secret", ""), BAD, "no host");
        assert_eq!(asked("GET /?token=secret", "Host: localhost\r\nHost: localhost\r\n"), BAD, "two hosts");
    }

    #[test]
    fn a_socket_is_for_our_own_page() {
        let with = |more: &str| {
            let headers = format!("Host: localhost:8000\r\n{SOCKET}{more}");
            asked("GET /socket?token=secret", &headers)
        };
        assert!(matches!(with(""), Verdict::Socket(..)));
        assert!(matches!(with("Origin: http://localhost:8000\r\n"), Verdict::Socket(..)));
        for origin in ["http://evil.example", "http://localhost:8001", "https://localhost:8000", "null"] {
            assert_eq!(with(&format!("Origin: {origin}\r\n")), FORBIDDEN, "{origin}");
        }
        let plain = asked("GET /socket?token=secret", "Host: localhost:8000\r\n");
        assert_eq!(plain, Verdict::Refused(426, "Upgrade Required"));
    }

    /// The example of RFC 6455, 1.3.
    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        let answer = String::from_utf8(switch("dGhlIHNhbXBsZSBub25jZQ==")).expect("text");
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
    }

    #[test]
    fn a_request_that_does_not_end_is_refused() {
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(REQUEST_MAX_BYTES));
        assert_eq!(judge(&endless.as_bytes()[..100], "secret"), Verdict::More);
        assert!(matches!(
            judge(&endless.as_bytes()[..REQUEST_MAX_BYTES], "secret"),
            Verdict::Refused(431, _)
        ));
        let headers = "X: y\r\n".repeat(HEADERS_MAX + 1);
        assert!(matches!(asked("GET /", &headers), Verdict::Refused(431, _)));
    }

    #[test]
    fn a_damaged_request_gets_an_answer_and_never_the_page() {
        let whole = format!("GET /socket?token=secret HTTP/1.1\r\nHost: localhost:8000\r\n{SOCKET}\r\n");
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.below(256) as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            assert!(!matches!(judge(&bytes, "secret"), Verdict::Page(_)));
        }
    }
}
