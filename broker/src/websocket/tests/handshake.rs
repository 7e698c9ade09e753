//! Requests and their answers, as nats-server 2.15.1 gives them; origins, cookies, bounds.

use super::*;

/// What is answered to `request`, which is refused.
fn refused(request: &[u8], rules: &Rules, is_tls: bool) -> (Refusal, String) {
    let pipe = Arc::new(Pipe::default());
    pipe.send(request);
    match try_open(&pipe, rules, is_tls) {
        Some(Err(AcceptError::Refused(refusal))) => {
            assert!(lock(&pipe.0).is_shut, "the answer is all");
            (refusal, String::from_utf8(pipe.receive()).unwrap())
        }
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(request)),
    }
}

fn granted(request: &[u8], rules: &Rules, is_tls: bool) -> (Accepted, String) {
    let pipe = Arc::new(Pipe::default());
    pipe.send(request);
    let accepted = try_open(&pipe, rules, is_tls).unwrap().unwrap();
    (accepted, String::from_utf8(pipe.receive()).unwrap())
}

#[test]
fn a_request_may_come_in_pieces() {
    let whole = [request(""), frame(0x82, b"PING\r\n")].concat();
    for step in [1, 7, 50] {
        let pipe = Arc::new(Pipe::default());
        lock(&pipe.0).step = step;
        let rules = Rules::default();
        let mut accepting = pin!(accept(pipe.clone(), &rules, false));
        let mut cx = Context::from_waker(Waker::noop());
        for piece in whole[..whole.len() - 12].chunks(3) {
            assert!(accepting.as_mut().poll(&mut cx).is_pending());
            pipe.send(piece);
        }
        pipe.send(&whole[whole.len() - 12..]);
        pipe.set_room(10);
        assert!(accepting.as_mut().poll(&mut cx).is_pending());
        pipe.set_room(usize::MAX);
        let Poll::Ready(Ok(accepted)) = accepting.as_mut().poll(&mut cx) else { panic!("not open") };
        assert_eq!(read_all(&accepted.stream, 100).0, b"PING\r\n");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(String::from_utf8(pipe.receive()).unwrap(), answer);
    }
}

#[test]
fn what_was_agreed_on_is_in_the_answer() {
    let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let deflate =
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    let plain = Rules::default();
    let own = [("X-One".to_owned(), "1".to_owned()), ("X-Two".to_owned(), "b c".to_owned())];
    let rich = Rules { compression: true, headers: own.to_vec(), ..Rules::default() };
    let offer = "Sec-WebSocket-Extensions: foo, Permessage-Deflate; client_max_window_bits\r\n";
    for (rules, more, wanted) in [
        (&plain, "", String::new()),
        (&plain, offer, String::new()),
        (&plain, "Nats-No-Masking: true\r\n", "Nats-No-Masking: true\r\n".to_owned()),
        (&plain, "Nats-No-Masking: yes\r\n", String::new()),
        (&rich, "Sec-WebSocket-Extensions: x-deflate\r\n", "X-One: 1\r\nX-Two: b c\r\n".to_owned()),
        (&rich, offer, format!("{deflate}X-One: 1\r\nX-Two: b c\r\n")),
    ] {
        assert_eq!(granted(&request(more), rules, false).1, format!("{start}{wanted}\r\n"));
    }
}

#[test]
fn requests_in_other_shapes_are_granted() {
    let usual = String::from_utf8(request("")).unwrap();
    for (from, to) in [
        ("GET / ", "GET /some/path?x=/mqtt "),
        ("GET / ", "GET http://b.example/path "),
        ("HTTP/1.1", "HTTP/1.0"),
        ("\r\n", "\n"),
        ("Connection: Upgrade", "connection: keep-alive, upgrade"),
        ("Upgrade: websocket", "UPGRADE: h2c, WebSocket"),
        // The last digit has bits that stand for nothing.
        ("ZQ==", "ZR=="),
    ] {
        granted(usual.replace(from, to).as_bytes(), &Rules::default(), false);
    }
}

/// The same as nats-server's in all but what the module says.
#[test]
fn refusals_are_answered() {
    let full = |line: &str, len, body: &str| {
        format!(
            "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let bad = full("400 Bad Request", 12, "Bad Request\n");
    let not_found = full("404 Not Found", 10, "Not Found\n");
    let method = full("405 Method Not Allowed", 19, "Method Not Allowed\n");
    let usual = String::from_utf8(request("")).unwrap();
    for (from, to, status, answer) in [
        ("GET /", "POST /", 405, &method),
        ("GET /", "HEAD /", 405, &full("405 Method Not Allowed", 19, "")),
        ("GET /", "GET /mqtt", 404, &not_found),
        ("GET /", "POST /a/leafnode?x", 404, &not_found),
        ("Host: a.example", "Host:", 400, &bad),
        ("HTTP/1.1\r\nHost: a.example", "HTTP/1.0", 400, &bad),
        ("Upgrade: websocket\r\n", "", 400, &bad),
        ("Upgrade: websocket", "Upgrade: websockets", 400, &bad),
        ("Connection: Upgrade\r\n", "", 400, &bad),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400, &bad),
        ("dGhlIHNhbXBsZSBub25jZQ==", "abc", 400, &bad),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWFi", 400, &bad),
        ("Version: 13", "Version: 8", 400, &bad),
    ] {
        let (refusal, said) = refused(usual.replacen(from, to, 1).as_bytes(), &Rules::default(), false);
        assert_eq!((refusal.status(), &said), (status, answer), "{from} -> {to}: {refusal}");
    }
}

#[test]
fn what_is_no_http_is_answered_as_such() {
    let bare = |line: &str| {
        format!("HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{line}")
    };
    let usual = String::from_utf8(request("")).unwrap();
    let crowd = request(&"X: y\r\n".repeat(64));
    let vast = request(&format!("X: {}\r\n", "y".repeat(20_000)));
    let too_long = bare("431 Request Header Fields Too Large");
    for (asked, answer) in [
        (b"CONNECT {}\r\nPING\r\n\r\n".to_vec(), bare("400 Bad Request")),
        (b"\x16\x03\x01\x00\r\n\r\n".to_vec(), bare("400 Bad Request")),
        (b"GET / HTTP/1.1\r\nfoo bar\r\n\r\n".to_vec(), bare("400 Bad Request")),
        (usual.replace("GET /", "GET foo").into(), bare("400 Bad Request")),
        (request("Host: b.example\r\n"), bare("400 Bad Request")),
        (usual.replace("Host: a.example\r\n", "").into(), bare("400 Bad Request: missing required Host header")),
        (
            usual.replace("HTTP/1.1", "HTTP/2.0").into(),
            bare("505 HTTP Version Not Supported: unsupported protocol version"),
        ),
        (crowd, too_long.clone()),
        (vast, too_long),
    ] {
        assert_eq!(refused(&asked, &Rules::default(), false).1, answer);
    }
}

#[test]
fn a_client_that_leaves_or_never_ends_is_no_websocket() {
    let pipe = Arc::new(Pipe::default());
    pipe.send(HEAD.as_bytes());
    assert!(try_open(&pipe, &Rules::default(), false).is_none());
    lock(&pipe.0).has_client_left = true;
    assert!(matches!(try_open(&pipe, &Rules::default(), false), Some(Err(AcceptError::Left))));
    let endless = [HEAD.as_bytes(), b"X: ", &[b'y'; 100_000]].concat();
    let pipe = Arc::new(Pipe::default());
    pipe.send(&endless);
    assert!(matches!(try_open(&pipe, &Rules::default(), false), Some(Err(AcceptError::Refused(Refusal::TooLong)))));
    assert_eq!(endless.len() - lock(&pipe.0).to_server.len(), 16 << 10, "no more is taken than may be kept");
}

#[test]
fn pages_have_to_come_from_where_they_may() {
    let origins = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let any = Rules::default();
    let same = Rules { same_origin: true, ..Rules::default() };
    let list = Rules { allowed_origins: origins(&["http://B.example", "https://c.example:444/x"]), ..Rules::default() };
    let both = Rules { same_origin: true, ..list.clone() };
    let cases: [(&Rules, &str, bool, bool); 25] = [
        (&any, "http://evil.example", false, true),
        (&any, "null", false, true),
        (&same, "", false, true),
        (&same, "http://a.example", false, true),
        (&same, "http://A.Example:80", false, true),
        (&same, "http://a.example:81", false, false),
        (&same, "https://a.example", false, false),
        (&same, "https://a.example", true, true),
        (&same, "https://a.example:443", true, true),
        (&same, "http://a.example:443", true, false),
        (&same, "http://a.example.evil", false, false),
        (&same, "http://a.example@evil", false, false),
        (&same, "null", false, false),
        (&same, "file:///a", false, false),
        (&same, "http://a.example:x", false, false),
        (&same, "http://a.example:80:80", false, false),
        (&list, "", false, true),
        (&list, "http://b.example", false, true),
        (&list, "http://b.example:80", true, true),
        (&list, "https://b.example", false, false),
        (&list, "https://c.example:444", false, true),
        (&list, "https://c.example", false, false),
        (&list, "http://a.example", false, false),
        (&both, "http://b.example", false, false),
        (&both, "http://a.example", false, false),
    ];
    for (rules, origin, is_tls, is_allowed) in cases {
        for name in ["Origin", "Sec-WebSocket-Origin"] {
            let asked = request(&format!("{name}: {origin}\r\n"));
            if is_allowed {
                granted(&asked, rules, is_tls);
            } else {
                let (refusal, answer) = refused(&asked, rules, is_tls);
                assert!(matches!(refusal, Refusal::Origin(_)), "{origin}: {refusal}");
                assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.ends_with("\r\n\r\nForbidden\n"));
            }
        }
    }
    assert!("ftp://a".parse::<Origin>().is_err_and(|error| error.to_string().contains("\"ftp://a\" is no origin")));
    for text in ["http://", "a.example", "http://[::1", "http://[::1]x", "http://a:99999"] {
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
    assert_eq!("http://[::1]:80".parse::<Origin>(), "http://[::1]".parse());
}

#[test]
fn cookies_hold_what_the_rules_say() {
    let named = |name: &str| Some(name.to_owned());
    let rules = Rules {
        jwt_cookie: named("j"),
        user_cookie: named("u"),
        pass_cookie: named("p"),
        token_cookie: named("t"),
        ..Rules::default()
    };
    let is = |jwt: Option<&str>, user: Option<&str>, pass: Option<&str>, token: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Cookies { jwt: owned(jwt), user: owned(user), pass: owned(pass), token: owned(token) }
    };
    for (fields, cookies) in [
        ("", is(None, None, None, None)),
        (
            "Cookie: j=a.b-c_d; x=y; u=me\r\nCookie: p=\"quo ted\" ; t=\r\n",
            is(Some("a.b-c_d"), Some("me"), Some("quo ted"), Some("")),
        ),
        ("Cookie: j=1; j=2; u=a=b; J=3\r\n", is(Some("2"), Some("a=b"), None, None)),
        ("Cookie: j=a\"b; u=a\\b; p=ü;; ;=; t\r\n", is(None, None, None, Some(""))),
    ] {
        assert_eq!(granted(&request(fields), &rules, false).0.cookies, cookies, "{fields}");
        assert_eq!(granted(&request(fields), &Rules::default(), false).0.cookies, Cookies::default());
    }
}

#[test]
fn a_proxy_says_whom_it_speaks_for() {
    for (fields, ip) in [
        ("", None),
        ("X-Forwarded-For: 1.2.3.4\r\n", Some("1.2.3.4")),
        ("X-Forwarded-For: fe80::1\r\nX-Forwarded-For: 1.2.3.4\r\n", Some("fe80::1")),
        ("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n", None),
        ("X-Forwarded-For: somebody\r\n", None),
    ] {
        let (accepted, _) = granted(&request(fields), &Rules::default(), false);
        assert_eq!(accepted.client_ip, ip.map(|ip| ip.parse().unwrap()), "{fields}");
    }
}
