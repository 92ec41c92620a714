"""The page: three files of the package, held in memory, which load nothing from other servers."""

from importlib.resources import files

from starlette.responses import Response

ASSETS = {"page.js": "text/javascript", "page.css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MEDIA_TYPES = {"index.html": "text/html", **ASSETS}
_CONTENT = {
    name: files("googlenet.serve").joinpath("static").joinpath(name).read_bytes() for name in _MEDIA_TYPES
}


def asset(name: str) -> Response:
    """One of the files."""
    headers = {"content-security-policy": POLICY}
    return Response(_CONTENT[name], headers=headers, media_type=_MEDIA_TYPES[name])
