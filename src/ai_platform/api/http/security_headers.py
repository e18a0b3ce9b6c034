"""What every answer tells a browser, made once: nothing here is to be guessed, framed, kept, or run from elsewhere."""

Headers = list[tuple[bytes, bytes]]

_EVERYWHERE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
# An answer of the API is data: were a browser made to show it as a page, the page could do nothing.
API: Headers = [
    *_EVERYWHERE,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
# A page loads what this server has, and nothing else; Swagger UI's style sheet holds its icons as data.
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE: Headers = [
    *_EVERYWHERE,
    (b"content-security-policy", _PAGE_POLICY),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
# What a page is made of, the same until the next version of the platform.
ASSET: Headers = [*_EVERYWHERE, (b"cache-control", b"max-age=86400")]
