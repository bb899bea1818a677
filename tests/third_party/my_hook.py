"""A plugin in a file of its own, beside the site file."""

from gateway import Exchange, Response, hookimpl


class AddHeader:
    """Tell every client who served it."""

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Set the header."""
        response.headers.set("x-served-by", "my-hook")
