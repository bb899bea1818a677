"""`gateway check` says in one line what is wrong: the file, the key path, what was expected, the nearest key."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main

SITE = """
listeners = [{ bind = "127.0.0.1:0" }]
upstreams.app = { endpoints = ["http://127.0.0.1:9"] }
"""

HOOKS = """
from gateway import PluginConfig, hookimpl

class UnknownHook:
    @hookimpl
    def on_requests(self, exchange): ...

class Unmarked:
    def on_request(self, exchange): ...

class WrongParameters:
    @hookimpl
    def on_request(self, request): ...

class Configured:
    class Config(PluginConfig):
        header: str = "x-a"
        max_bytes: int = 5
    def __init__(self, config): ...
    @hookimpl
    def on_request(self, exchange): ...

class Settled:
    class Config(PluginConfig):
        header: str = "x-a"
    @hookimpl
    def on_request(self, exchange): ...

class Vague:
    class Config(PluginConfig):
        size: int = 1
        rate: "Rate | None" = None
    def __init__(self, config): ...
    @hookimpl
    def on_request(self, exchange): ...

class Idle:
    def handle(self, request): ...

class Future:
    api = 2

class One:
    def choose(self, exchange, endpoints): ...
    @hookimpl
    def register(self, registry):
        registry.add_balancer("mine", One)

class Two:
    def choose(self, exchange, endpoints): ...
    @hookimpl
    def register(self, registry):
        registry.add_balancer("mine", Two)

class Hook:
    @hookimpl
    def on_request(self, exchange): ...
    @hookimpl
    def on_response(self, exchange, response): ...
    @hookimpl(trylast=True)
    def on_complete(self, exchange): ...

class Other(Hook): ...
"""


@pytest.fixture
def check(site, monkeypatch, tmp_path):
    """Run `gateway check site.toml` beside the hooks above."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooks.py").write_text(HOOKS)

    def run(text: str) -> Result:
        site(text)
        return CliRunner().invoke(main, ["check", "site.toml"])

    return run


def complaint(result: Result) -> str:
    """The one line of a check that failed."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("gateway: ")
    return line.removeprefix("gateway: ")


class TestPlugins:
    @pytest.mark.parametrize(
        ("plugins", "said"),
        [
            ('"./hooks.py:UnknownHook"', "on_requests is no hook; did you mean 'on_request'?"),
            ('"./hooks.py:Unmarked"', "on_request has a hook's name but no @hookimpl; put @hookimpl above it"),
            ('"./hooks.py:WrongParameters"', "on_request takes (self, exchange), not (self, request)"),
            ('{ use = "./hooks.py:Configured", heeder = "x" }', "unknown key 'heeder'; did you mean 'header'?"),
            ('{ use = "./hooks.py:Hook", header = "x" }', "Hook has no settings, but got header"),
            ('"./hooks.py:Future"', "made for plugin API 2, this gateway has API 1"),
            ('"./hooks.py:Absent"', "has no class 'Absent'"),
            ('"./hooks.py:Idle"', "has no hook, so it would do nothing; name a method on_request, on_response or"),
            ('"./hooks.py:Settled"', "its __init__ takes the settings: def __init__(self, config)"),
            ('"./hooks.py:Vague"', "Config.rate: 'Rate' is not defined; import it, or define it, at the top"),
        ],
    )
    def test_a_wrong_plugin_is_named_with_file_and_mend(self, check, plugins, said):
        line = complaint(check(f'{SITE}plugins = ["./hooks.py:Other", {plugins}]'))
        assert line.startswith("site.toml: plugins[1]: ")
        assert plugins.rpartition(":")[2].partition('"')[0] in line
        assert plugins.partition("./")[2].partition(":")[0] in line
        assert said in line

    def test_a_plugin_file_that_is_not_there_is_named_with_its_folder(self, check, tmp_path):
        line = complaint(check(f'{SITE}plugins = ["./absent.py:Hook"]'))
        assert line == f"site.toml: plugins[0]: {tmp_path}/absent.py: no such file"

    def test_a_wrong_value_of_a_plugin_has_its_key_path(self, check):
        line = complaint(check(f'{SITE}plugins = [{{ use = "./hooks.py:Configured", max_bytes = "many" }}]'))
        assert line.startswith("site.toml: plugins[0]: plugin './hooks.py:Configured': max_bytes: ")
        assert line.endswith("expected a whole number, not text")

    def test_a_plugin_of_a_route_is_named_by_its_route(self, check):
        line = complaint(check(f'{SITE}[[routes]]\nupstream = "app"\nplugins = ["./hooks.py:Future"]'))
        assert line.startswith("site.toml: routes[0].plugins[0]: plugin 'Future'")

    def test_a_plugin_of_a_table_is_named_by_its_key(self, check):
        line = complaint(check(f'{SITE}[plugins."./hooks.py:Configured"]\nheeder = 1'))
        assert line.startswith("site.toml: plugins../hooks.py:Configured: ")

    def test_two_plugins_with_one_strategy_name_are_both_named(self, check):
        line = complaint(check(f'{SITE}plugins = ["./hooks.py:One", "./hooks.py:Two"]'))
        assert line == (
            "site.toml: plugins[1]: balancer 'mine' is claimed by plugin 'One' (site.toml: plugins[0])"
            " and by plugin 'Two': load only one of them"
        )

    def test_a_file_without_a_class_brings_the_classes_that_are_in_it(self, check, tmp_path):
        line = complaint(check(f'{SITE}plugins = ["./hooks.py"]'))
        assert line.startswith(
            "site.toml: plugins[0]: name the class in the file, too, as in './hooks.py:UnknownHook'"
        )
        assert " (it has UnknownHook, Unmarked, " in line
        (tmp_path / "none.py").write_text("")
        line = complaint(check(f'{SITE}plugins = ["./none.py"]'))
        assert line.endswith("name the class in the file, too, as in './none.py:ClassName'")
        assert complaint(check(f'{SITE}plugins = ["./absent.py"]')).endswith("absent.py: no such file")

    @pytest.mark.parametrize(
        "line", ["import helper", "from helper import x", "from .helper import x", "import parts"]
    )
    def test_a_file_that_imports_its_neighbour_is_told_that_it_is_alone(self, check, tmp_path, line):
        (tmp_path / "helper.py").write_text("x = 1")
        (tmp_path / "parts").mkdir()
        (tmp_path / "hooks.py").write_text(f"{line}\n")
        told = complaint(check(f'{SITE}plugins = ["./hooks.py:Hook"]'))
        assert told.endswith(
            "; a local plugin is one file: put it into this one, or make a package of both and install that"
        )

    def test_what_pydantic_says_of_a_file_is_one_line_without_a_link_and_its_place_is_in_the_file(
        self, check, tmp_path
    ):
        (tmp_path / "hooks.py").write_text(
            "from gateway import PluginConfig\nclass Own: ...\nclass A(PluginConfig):\n    own: Own\n"
        )
        line = complaint(check(f'{SITE}plugins = ["./hooks.py:A"]'))
        assert "hooks.py line 3: PydanticSchemaGenerationError: " in line
        assert "https://" not in line

    def test_a_file_that_wants_to_exit_is_a_mistake(self, check, tmp_path):
        (tmp_path / "hooks.py").write_text("raise SystemExit(0)\n")
        assert "hooks.py line 1: SystemExit: 0" in complaint(check(f'{SITE}plugins = ["./hooks.py:A"]'))


BALANCERS = """
from gateway import hookimpl

class Registering:
    @hookimpl
    def register(self, registry):
        registry.add_balancer("mine", self.made)

class Empty(Registering):
    class made: ...

class Parameters(Registering):
    class made:
        def choose(self, endpoints): ...

class Asynchronous(Registering):
    class made:
        async def choose(self, exchange, endpoints): ...

class Learning(Registering):
    class made:
        def choose(self, exchange, endpoints): ...
        def ended(self): ...

class Instance(Registering):
    class Made:
        def choose(self, exchange, endpoints): ...
    made = Made()

class Late(Registering):
    class made:
        choose = None
        def __init__(self): self.choose = lambda endpoints: None

class Raising(Registering):
    class made:
        def choose(self, exchange, endpoints): return endpoints[7]

class Text(Registering):
    class made:
        def choose(self, exchange, endpoints): return endpoints[0].name
"""

MINE = 'listeners = [{ bind = ":0" }]\nupstreams.a = { endpoints = ["http://127.0.0.1:9"], balancer = "mine" }\n'


class TestBalancers:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            (
                "Empty",
                "plugins[0]: balancer 'mine' of plugin 'Empty' has no method choose(self, exchange, endpoints)",
            ),
            ("Late", "plugin 'Late' (site.toml: plugins[0]): choose takes (exchange, endpoints), not (endpoints)"),
            ("Parameters", "choose takes (self, exchange, endpoints), not (self, endpoints)"),
            ("Asynchronous", "balancer 'mine' of plugin 'Asynchronous': choose is synchronous: write def"),
            ("Learning", "balancer 'mine' of plugin 'Learning': ended takes (self, attempt), not (self)"),
            ("Instance", "plugins[0]: balancer 'mine' of plugin 'Instance': expected a class, not <gateway_local"),
        ],
    )
    def test_one_that_is_none_is_named(self, check, tmp_path, name, said):
        (tmp_path / "hooks.py").write_text(BALANCERS)
        line = complaint(check(f'{MINE}plugins = ["./hooks.py:{name}"]'))
        assert line.startswith("site.toml: ")
        assert said in line

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("Raising", "failed in choose: IndexError('tuple index out of range')"),
            ("Text", "chose '127.0.0.1:9', which is not an Endpoint"),
        ],
    )
    def test_one_that_fails_is_explained(self, check, tmp_path, name, said):
        (tmp_path / "hooks.py").write_text(BALANCERS)
        assert check(f'{MINE}plugins = ["./hooks.py:{name}"]').exit_code == 0
        result = CliRunner().invoke(main, ["explain", "site.toml", "GET /"])
        assert result.exit_code == 0
        assert f"Refused 500: balancer 'mine' of upstream 'a' {said}" in result.stdout


class TestSites:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("workerz = 2", "site.toml: unknown key 'workerz'; did you mean 'workers'?"),
            ("workers = 0", "site.toml: workers: input should be greater than or equal to 1, not 0"),
            ("limits = { max_bdy = 1 }", "site.toml: limits: unknown key 'max_bdy'; did you mean 'max_body'?"),
            (
                'limits = { max_body = "16 parsecs" }',
                'site.toml: limits.max_body: expected a size such as "16MiB" or "64KiB", not \'16 parsecs\'',
            ),
            (
                'drain_timeout = "soon"',
                'site.toml: drain_timeout: expected a duration such as "5s", "250ms" or "10m", not \'soon\'',
            ),
            ("drain_timeout = -1", "site.toml: drain_timeout: must not be negative"),
            ('plugins = "headers"', "site.toml: plugins: expected a list or a table of plugins, not text"),
            (
                'trusted_proxies = ["10.0.0.0/99"]',
                'site.toml: trusted_proxies[0]: expected a network such as "10.0.0.0/8", or an address',
            ),
            ('routes = [{ upstream = "ap" }]', "site.toml: routes[0].upstream: no upstream 'ap'; did you mean"),
            ('user = "nobodies"', "site.toml: user: there is no user 'nobodies' on this machine"),
        ],
    )
    def test_a_wrong_value_is_named_with_file_and_key_path(self, check, text, said):
        assert complaint(check(SITE + text)).startswith(said)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('listeners = [{ bnid = "127.0.0.1:0" }]', "listeners[0]: unknown key 'bnid'; did you mean 'bind'?"),
            ('listeners = [{ bind = "example.com:80" }]', 'listeners[0].bind: expected "ADDRESS:PORT"'),
            (
                'listeners = [{ bind = "127.0.0.1:0", tls = { cert = "c" } }]',
                "listeners[0].tls: cert and key belong together: name both",
            ),
            (
                'listeners = [{ bind = ":80" }, { bind = "[::]:80" }, { bind = "0.0.0.0:80" }]',
                "site.toml: listeners[2].bind: the same as listeners[0].bind",
            ),
            (
                'listeners = [{ bind = "127.0.0.1:80" }, { bind = ":80" }]',
                "listeners[1].bind: 0.0.0.0:80 cannot be bound beside 127.0.0.1:80, listeners[0].bind",
            ),
            (
                'listeners = [{ bind = "unix:/run/a" }, { bind = "unix:/run/a" }]',
                "listeners[1].bind: the same as listeners[0].bind",
            ),
            ("listeners = []", "listeners: needs at least 1 entry"),
            ("workers = 1", "listeners: is missing"),
            (
                'listeners = [{ bind = ":0" }]\nupstreams.a.endpoints = ["ftp://x"]',
                "upstreams.a.endpoints[0].url: scheme 'ftp' is not http or https",
            ),
            (
                'listeners = [{ bind = ":0" }]\nupstreams.a = { endpoints = ["http://x"], balancer = "frist" }',
                "upstreams.a.balancer: balancer 'frist' is not loaded; did you mean 'first'?",
            ),
            ('profile = "no-such"\nlisteners = [{ bind = ":0" }]', "profile 'no-such' is not installed"),
            ('profile = "./absent.toml"', "absent.toml: no such file"),
            ("a = = 1", "not TOML: Invalid value (at line 1, column 5): a = …"),
            ('plugins = ["a"]\nplugins.b = {}', "(the same key stands there twice, or both as a list and"),
            ("workers = 1\nworkers = 2\n", "(at line 2, column 12): workers = …"),
        ],
    )
    def test_a_wrong_site_is_named(self, check, text, said):
        assert said in complaint(check(text))

    def test_a_user_is_known_to_check_whoever_may_become_that(self, check, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert check(f'{SITE}user = "root"').exit_code == 0

    @pytest.mark.parametrize(
        "text",
        [
            'plugins = ["./a.py:A"]\nplugins.b.file = "x.log"',
            'plugins = ["a"]\n[plugins.b]\nfile = "x"\n[upstreams.app]\nx = 1',
            'plugins = [\n  "a",\n  { use = "c", x = 1 },\n]\nplugins.b.file = "x"',
            'plugins.b.file = "x"\nplugins = [\n  "a",\n  { use = "c", x = 1 },\n]',
            '[plugins.b]\nx = 1\n[[plugins]]\nuse = "a"',
            '[[routes]]\nplugins = ["a"]\nplugins.b.x = 1',
            '[[routes]]\nplugins = ["a"]\n[routes.plugins.b]\nx = 1',
        ],
    )
    def test_plugins_as_a_list_and_as_tables_get_the_way_out(self, check, text):
        line = complaint(check(text))
        assert 'either all in a list, as in plugins = ["./my_hook.py:AddHeader", { use = "access-log"' in line
        assert 'or all in tables, as in plugins."./my_hook.py:AddHeader" = {}' in line

    def test_another_key_that_stands_there_twice_has_nothing_to_do_with_plugins(self, check):
        assert "plugins" not in complaint(check('plugins = ["a"]\nworkers = 1\nworkers = 2'))

    def test_several_mistakes_are_all_told(self, check):
        result = check(f'{SITE}workers = 0\ndrain_timeout = "soon"')
        assert result.exit_code == 2
        assert "workers" in result.stderr
        assert "drain_timeout" in result.stderr

    def test_a_mistake_of_the_profile_is_not_put_down_to_the_site(self, check, tmp_path):
        (tmp_path / "mine.toml").write_text("workers = 0")
        assert complaint(check(f'profile = "./mine.toml"\n{SITE}')).startswith("profile ./mine.toml: workers: ")


def test_check_shows_the_pipeline_of_each_route_in_both_directions(check):
    result = check(f'{SITE}plugins = ["./hooks.py:Hook", "./hooks.py:Other"]')
    assert (result.exit_code, result.stderr) == (0, "")
    assert "on_request: Hook → Other" in result.stdout
    assert "on_response: Other ← Hook" in result.stdout
    assert "from client to upstream: Hook → Other" in result.stdout
    assert "The configuration is valid." in result.stdout


WEIGHED = """
plugins = ["balancing"]
listeners = [{ bind = "127.0.0.1:0" }]
[upstreams.app]
endpoints = ["http://127.0.0.1:9", { url = "http://127.0.0.1:8", weight = 3 }]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('balancer = "round-robin"', "the balancer 'round-robin' takes no notice of weight;"),
        ("slow_start = '5s'", "the balancer 'first' takes no notice of weight and slow_start;"),
        ('slow_start = "5s"\nbalancer = { use = "round-robin" }', "takes no notice of weight and slow_start;"),
    ],
)
def test_check_says_that_a_balancer_takes_no_notice_of_weights_and_which_one_would(check, text, said):
    result = check(WEIGHED + text)
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Note: ")]
    assert line.startswith("Note: upstreams.app: ")
    assert said in line
    assert line.endswith("; 'weighted-round-robin' would")


@pytest.mark.parametrize(
    "text",
    [
        WEIGHED + 'slow_start = "5s"\nbalancer = "least-connections"',
        WEIGHED.replace("weight = 3", "weight = 0") + 'balancer = "round-robin"',
        WEIGHED.replace("weight = 3", "weight = 1"),
    ],
)
def test_check_has_nothing_to_note_where_weights_count_or_are_all_alike(check, text):
    result = check(text)
    assert result.exit_code == 0
    assert "Note" not in result.stdout


def test_check_shows_no_secret(check, tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "s3cr3t")
    (tmp_path / "hooks.py").write_text(
        "from gateway import PluginConfig, Secret, hookimpl\n"
        "class Signed:\n"
        "    class Config(PluginConfig):\n"
        "        key: Secret\n"
        "    def __init__(self, config): assert config.key.get_secret_value() == 's3cr3t'\n"
        "    @hookimpl\n"
        "    def on_request(self, exchange): ...\n"
    )
    result = check(SITE + 'plugins = [{ use = "./hooks.py:Signed", key = { env = "KEY" } }]')
    assert result.exit_code == 0
    assert "s3cr3t" not in result.output
