"""The page: three files of the package, held in memory, that ask for nothing from outside."""

from importlib.resources import files

from starlette.responses import Response

ASSETS = ("page.js", "page.css")
_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CONTENT = {
    name: files("googlenet.serve").joinpath("static").joinpath(name).read_bytes()
    for name in ("index.html", *ASSETS)
}


def asset(name: str) -> Response:
    """One of the files."""
    headers = {"content-security-policy": POLICY}
    return Response(_CONTENT[name], headers=headers, media_type=_KINDS[name.rpartition(".")[2]])
