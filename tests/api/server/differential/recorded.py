"""Requests as clients send them, recorded on loopback; the port is replaced."""

RECORDED = {
    "curl, GET": (b"GET /predict/ HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
    "curl, HEAD": (
        b"HEAD /predict/ HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
    ),
    "curl, POST": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 34\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "curl, chunked": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Transfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n"
        b"\r\n"
        b"22\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}\r\n'
        b"0\r\n"
        b"\r\n"
    ),
    "curl, Expect": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Expect: 100-continue\r\n"
        b"Content-Length: 34\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "curl, HTTP/1.0": (
        b"POST /predict/ HTTP/1.0\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Content-Length: 34\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "curl, h2c": (
        b"GET /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
        b"\r\n"
    ),
    "curl, h2c POST": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
        b"Content-Length: 34\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "curl, form": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: curl/7.88.1\r\n"
        b"Accept: */*\r\n"
        b"Content-Length: 137\r\n"
        b"Content-Type: multipart/form-data; boundary=------------------------33a45567ab15bfb4\r\n"
        b"\r\n"
        b"--------------------------33a45567ab15bfb4\r\n"
        b'Content-Disposition: form-data; name="a"\r\n'
        b"\r\n"
        b"b\r\n"
        b"--------------------------33a45567ab15bfb4--\r\n"
    ),
    "httpx, GET": (
        b"GET /jobs?limit=5 HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"Accept: */*\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\n"
        b"User-Agent: python-httpx/0.28.1\r\n"
        b"\r\n"
    ),
    "httpx, POST": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"Accept: */*\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\n"
        b"User-Agent: python-httpx/0.28.1\r\n"
        b"Content-Length: 34\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "httpx, stream": (
        b"POST /uploads HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"Accept: */*\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\n"
        b"User-Agent: python-httpx/0.28.1\r\n"
        b"Transfer-Encoding: chunked\r\n"
        b"\r\n"
        b"3\r\n"
        b"abc\r\n"
        b"4\r\n"
        b"defg\r\n"
        b"0\r\n"
        b"\r\n"
    ),
    "requests, POST": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: python-requests/2.34.2\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Accept: */*\r\n"
        b"Connection: keep-alive\r\n"
        b"Content-Length: 34\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "requests, stream": (
        b"POST /uploads HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: python-requests/2.34.2\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Accept: */*\r\n"
        b"Connection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n"
        b"\r\n"
        b"3\r\n"
        b"abc\r\n"
        b"4\r\n"
        b"defg\r\n"
        b"0\r\n"
        b"\r\n"
    ),
    "urllib": (
        b"POST /predict/ HTTP/1.1\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 34\r\n"
        b"Host: localhost:8000\r\n"
        b"User-Agent: Python-urllib/3.11\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "http.client": (
        b"PUT /models/iris/aliases/a HTTP/1.1\r\n"
        b"Host: localhost:8000\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: 34\r\n"
        b"Content-Type: application/json\r\n"
        b"\r\n"
        b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    ),
    "a health check": (b"OPTIONS / HTTP/1.0\r\n\r\n"),
}
