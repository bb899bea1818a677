"""The command `gateway purge`: forget stored responses, in every worker of a running gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import new_id
from gateway.cli import admin_option, ask_running, site_option


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--prefix", "prefixes", multiple=True, metavar="URL", help="All that begins so; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="All with this Surrogate-Key or Cache-Tag; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@site_option
@admin_option
def purge(
    urls: tuple[str, ...],
    prefixes: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    target: str | None,
    path: Path | None,
) -> None:
    """Forget stored responses: those to a URL, all under a prefix, with a tag, or all there are."""
    if not (urls or prefixes or tags or everything):
        raise click.UsageError("say what: a URL, --prefix, --tag or --all")
    what = {"urls": list(urls), "prefixes": list(prefixes), "tags": list(tags), "all": everything}
    reply = ask_running("purge", target, path, **what, id=new_id())
    count = reply["result"]["purged"]
    click.echo(f"{count} stored response{'' if count == 1 else 's'} forgotten, counted in each worker")
