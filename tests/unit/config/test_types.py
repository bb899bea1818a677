"""Durations, sizes, secrets and paths: what people write, and what it means."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from gateway import ConfigurationError, Duration, FilePath, PluginConfig, Secret, Size
from gateway.config.loader import validate
from gateway.config.types import nearest, parse_duration, parse_size

SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
BYTES = {"B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
duration = TypeAdapter(Duration).validate_python
size = TypeAdapter(Size).validate_python


class TestDurations:
    @pytest.mark.parametrize(
        ("written", "seconds"),
        [("5s", 5), ("250ms", 0.25), ("10m", 600), ("1.5h", 5400), ("1d", 86400), (" 2 s ", 2), ("0s", 0), (3, 3),
         (0.5, 0.5), (0, 0)],
    )  # fmt: skip
    def test_a_duration_is_seconds(self, written, seconds):
        assert duration(written) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "written",
        ["", "s", "5", "5 parsecs", "-5s", "5S", "1e3s", ".5s", "5.s", "5s5s", "five", "5,5s", "5µs", [], {}],
    )
    def test_what_is_no_duration_is_refused(self, written):
        with pytest.raises(ValidationError):
            duration(written)

    @pytest.mark.parametrize(
        "written", [float("inf"), float("-inf"), float("nan"), -1, -0.5, True, "1" * 400 + "s"]
    )
    def test_a_duration_is_finite_and_not_negative(self, written):
        with pytest.raises(ValidationError):
            duration(written)

    @pytest.mark.parametrize("read", [parse_duration, parse_size])
    @pytest.mark.parametrize("written", ["-5", "- 5", " -5"])
    def test_what_is_negative_is_told_so(self, read, written):
        unit = "s" if read is parse_duration else "kB"
        with pytest.raises(ValueError, match="must not be negative, as '"):
            read(f"{written}{unit}")
        with pytest.raises(ValueError, match="expected a"):
            read(f"{written} parsecs")

    @given(st.integers(0, 10**6), st.sampled_from(sorted(SECONDS)))
    def test_a_duration_is_its_number_times_its_unit(self, number, unit):
        assert parse_duration(f"{number}{unit}") == pytest.approx(float(number * SECONDS[unit]))

    @given(st.text(max_size=8))
    def test_any_text_is_a_duration_or_a_value_error(self, text):
        try:
            seconds = parse_duration(text)
        except ValueError:
            return
        assert isinstance(seconds, float)
        assert seconds >= 0


class TestSizes:
    @pytest.mark.parametrize(
        ("written", "count"),
        [
            ("16MiB", 16 * 2**20),
            ("64kB", 64000),
            ("1GiB", 2**30),
            ("1.5KiB", 1536),
            ("0B", 0),
            (7, 7),
            ("2 MB", 2 * 10**6),
        ],
    )
    def test_a_size_is_bytes(self, written, count):
        assert size(written) == count

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "5",
            "5b",
            "5K",
            "5KB",
            "5kb",
            "-1B",
            "1e3B",
            "many",
            1.5,
            -1,
            float("inf"),
            True,
            [],
            "9" * 400 + "B",
        ],
    )
    def test_what_is_no_size_is_refused(self, written):
        with pytest.raises(ValidationError):
            size(written)

    @given(st.decimals(0, 10**6, places=3, allow_nan=False), st.sampled_from(sorted(BYTES)))
    @example(Decimal("2.3"), "kB")
    @example(Decimal("4.35"), "MB")
    def test_a_size_is_its_number_times_its_unit_and_never_a_byte_off(self, number, unit):
        assert parse_size(f"{number}{unit}") == int(number * BYTES[unit])

    @given(st.integers(0, 2**70))
    def test_large_sizes_are_exact(self, number):
        assert parse_size(f"{number}B") == number


class Signed(PluginConfig):
    key: Secret


class LongKey(PluginConfig):
    key: Annotated[Secret, Field(min_length=32)]


def refused(model: type[PluginConfig], data: dict[str, object], base: str = "") -> str:
    with pytest.raises(ConfigurationError) as caught:
        validate(model, data, "site.toml", base)
    return str(caught.value)


class TestSecrets:
    def test_a_secret_comes_from_text_the_environment_or_a_file(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GATEWAY_TEST_KEY", "from-env")
        (tmp_path / "key").write_text("from-file\n")
        sources = ["from-text", {"env": "GATEWAY_TEST_KEY"}, {"file": str(tmp_path / "key")}]
        read = [Signed(key=source).key.get_secret_value() for source in sources]
        assert read == ["from-text", "from-env", "from-file"]

    def test_the_file_of_a_secret_is_looked_for_beside_the_site_file(self, tmp_path):
        (tmp_path / "key").write_text("s3cr3t")
        assert (
            validate(Signed, {"key": {"file": "key"}}, "site.toml", str(tmp_path)).key.get_secret_value()
            == "s3cr3t"
        )

    def test_a_secret_shows_itself_nowhere(self):
        config = Signed(key="s3cr3t")
        assert "s3cr3t" not in repr(config)
        assert "s3cr3t" not in config.model_dump_json()

    @pytest.mark.parametrize("source", ["env", "file", "text"])
    def test_a_secret_that_will_not_do_is_not_shown_either(self, source, monkeypatch, tmp_path):
        monkeypatch.setenv("GATEWAY_TEST_KEY", "s3cr3t")
        (tmp_path / "key").write_text("s3cr3t")
        written = {"env": {"env": "GATEWAY_TEST_KEY"}, "file": {"file": str(tmp_path / "key")}, "text": "s3cr3t"}
        message = refused(LongKey, {"key": written[source]})
        assert message.startswith("site.toml: key: ")
        assert "s3cr3t" not in message

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ({"env": "GATEWAY_ABSENT"}, "the environment variable GATEWAY_ABSENT is not set"),
            ({"file": "/absent"}, "the file /absent cannot be read: No such file or directory"),
            ({"evn": "X"}, 'expected a string, { env = "NAME" } or { file = "path" }'),
            ({"env": "X", "file": "y"}, 'expected a string, { env = "NAME" } or { file = "path" }'),
            ({"env": 5}, 'expected a string, { env = "NAME" } or { file = "path" }'),
            ({"file": 5}, 'expected a string, { env = "NAME" } or { file = "path" }'),
        ],
    )
    def test_a_secret_that_is_not_there_is_named(self, written, said):
        assert refused(Signed, {"key": written}) == f"site.toml: key: {said}"


class Located(PluginConfig):
    path: FilePath


def test_a_relative_path_starts_at_the_folder_of_the_site_file():
    assert validate(Located, {"path": "a/b"}, "w", "/etc/gateway").path == Path("/etc/gateway/a/b")
    assert validate(Located, {"path": "/a/b"}, "w", "/etc/gateway").path == Path("/a/b")
    assert Located(path="a/b").path == Path("a/b")


class TestModels:
    def test_a_configuration_is_frozen(self):
        with pytest.raises(ValidationError):
            Signed(key="a").key = "b"

    def test_an_unknown_key_is_refused_with_the_nearest(self):
        assert refused(Signed, {"key": "a", "keyy": "b"}) == "site.toml: unknown key 'keyy'; did you mean 'key'?"

    def test_an_unknown_key_that_resembles_none_lists_what_is_known(self):
        assert refused(Located, {"path": "a", "xyz": 1}) == "site.toml: unknown key 'xyz' (known: path)"

    def test_attribute_docstrings_describe_the_schema(self):
        class Documented(PluginConfig):
            rate: Duration = 5.0
            """How often."""

        schema = Documented.model_json_schema()
        assert schema["properties"]["rate"]["description"]
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("word", "said"),
    [("workerz", "; did you mean 'workers'?"), ("zzz", " (known: limits, workers)")],
)
def test_the_nearest_word_is_suggested_or_all_are_listed(word, said):
    assert nearest(word, ["workers", "limits"]) == said
    assert nearest(word, []) == ""
