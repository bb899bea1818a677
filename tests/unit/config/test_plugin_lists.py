"""How lists of plugins change: override in place, add, put before or after, drop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigurationError
from gateway.config.merge import deep_merge
from gateway.config.plugin_lists import merge_plugins, without_places

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


def merged(inherited: object, changes: object) -> list[tuple[str, dict[str, object]]]:
    """The merged list as (name, configuration)."""
    below = merge_plugins([], inherited, "profile: plugins")
    return [(item["use"], item["config"]) for item in merge_plugins(below, changes, "site.toml: plugins")]


def names(inherited: object, changes: object) -> list[str]:
    return [name for name, _ in merged(inherited, changes)]


def refused(inherited: object, changes: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        merged(inherited, changes)
    return str(caught.value)


class TestPlaces:
    def loaded(self, inherited: object, changes: object) -> list[str]:
        below = merge_plugins([], inherited, "profile: plugins")
        return [item["use"] for item in without_places(merge_plugins(below, changes, "site.toml: plugins"))]

    def test_a_place_that_nobody_takes_is_none(self):
        assert self.loaded(["a", "b?", "c"], []) == ["a", "c"]

    @pytest.mark.parametrize("changes", [["b"], {"b": True}, {"b": {"rate": 1}}, [{"use": "b", "rate": 1}]])
    def test_who_is_named_takes_his_place(self, changes):
        assert self.loaded(["a", "b?", "c"], changes) == ["a", "b", "c"]

    def test_others_stand_before_and_behind_a_place(self):
        assert self.loaded(["a", "b?", "c"], {"d": {"before": "b"}, "e": {"after": "b"}}) == ["a", "d", "e", "c"]

    @pytest.mark.parametrize("changes", [["-b"], {"b": False}])
    def test_a_place_can_be_given_up(self, changes):
        assert self.loaded(["a", "b?", "c"], changes) == ["a", "c"]

    def test_who_is_there_does_not_wait_again(self):
        assert self.loaded(["a", "b"], ["b?"]) == ["a", "b"]
        assert self.loaded(["a", "b?"], ["b?"]) == ["a"]


class TestMeaning:
    def test_nothing_changes_nothing(self):
        assert names(["a", "b"], []) == names(["a", "b"], {}) == ["a", "b"]

    @pytest.mark.parametrize("changes", [["c"], {"c": True}, {"c": {}}, [{"use": "c"}]])
    def test_a_new_plugin_goes_nearest_to_the_upstream(self, changes):
        assert names(["a", "b"], changes) == ["a", "b", "c"]

    @pytest.mark.parametrize("changes", [["-a"], {"a": False}])
    def test_a_plugin_is_dropped(self, changes):
        assert names(["a", "b"], changes) == ["b"]

    @pytest.mark.parametrize("changes", [[{"use": "a", "rate": 2}], {"a": {"rate": 2}}])
    def test_a_plugin_that_is_there_keeps_its_place_and_gets_the_settings(self, changes):
        assert merged([{"use": "a", "rate": 1, "burst": 5}, "b"], changes) == [
            ("a", {"rate": 2, "burst": 5}), ("b", {}),
        ]  # fmt: skip

    def test_tables_of_settings_merge_and_lists_are_replaced(self):
        below = [{"use": "a", "set": {"x": 1, "y": 2}, "remove": ["p"]}]
        assert merged(below, {"a": {"set": {"y": 3}, "remove": ["q"]}}) == [
            ("a", {"set": {"x": 1, "y": 3}, "remove": ["q"]})
        ]

    @pytest.mark.parametrize(
        ("place", "order"),
        [({"before": "a"}, "cab"), ({"after": "a"}, "acb"), ({"before": "b"}, "acb"), ({"after": "b"}, "abc")],
    )
    def test_a_new_plugin_goes_where_it_is_put(self, place, order):
        assert names(["a", "b"], [{"use": "c", **place}]) == list(order)
        assert names(["a", "b"], {"c": place}) == list(order)

    def test_a_plugin_that_is_there_can_be_moved(self):
        assert names(["a", "b", "c"], {"a": {"after": "c"}}) == ["b", "c", "a"]
        assert names(["a", "b", "c"], {"c": {"before": "a"}}) == ["c", "a", "b"]

    def test_place_words_are_not_settings(self):
        assert merged(["a"], {"b": {"before": "a", "rate": 1}}) == [("b", {"rate": 1}), ("a", {})]

    def test_changes_are_applied_in_their_order(self):
        assert names(["a"], ["-a", "b", "a"]) == ["b", "a"]

    def test_a_dropped_plugin_comes_back_without_its_old_settings(self):
        assert merged([{"use": "a", "rate": 1}], ["-a", "a"]) == [("a", {})]

    def test_the_inherited_list_stays_as_it_is(self):
        below = merge_plugins([], [{"use": "a", "rate": 1}], "p")
        before = [dict(item) for item in below]
        merge_plugins(below, {"a": {"rate": 2}, "b": True}, "s")
        assert below == before

    def test_an_entry_remembers_where_it_was_named_last(self):
        below = merge_plugins([], ["a", "b"], "profile x: plugins")
        above = merge_plugins(below, {"b": {"rate": 1}}, "site.toml: plugins")
        assert [item["where"] for item in above] == ["profile x: plugins[0]", "site.toml: plugins.b"]


class TestMistakes:
    @pytest.mark.parametrize("changes", ["a", 5, None, True])
    def test_what_is_neither_list_nor_table_is_refused(self, changes):
        assert refused([], changes).startswith("site.toml: plugins: expected a list or a table of plugins, not ")

    @pytest.mark.parametrize("entry", [5, None, [], {}, {"rate": 1}, {"use": 5}])
    def test_an_entry_of_a_list_that_is_no_plugin_is_refused(self, entry):
        assert refused([], ["a", entry]).startswith('site.toml: plugins[1]: expected "name"')

    @pytest.mark.parametrize("value", [5, "yes", []])
    def test_a_value_of_a_table_that_says_nothing_is_refused(self, value):
        assert refused([], {"a": value}).startswith(
            "site.toml: plugins.a: expected a table of settings, true or false"
        )

    def test_dropping_what_is_not_there_suggests_what_is(self):
        assert refused(["headers"], ["-header"]) == (
            "site.toml: plugins[0]: 'header' is not in the list; did you mean 'headers'?"
        )

    @pytest.mark.parametrize("word", ["before", "after"])
    def test_a_place_beside_what_is_not_there_suggests_what_is(self, word):
        assert refused(["headers"], {"c": {word: "header"}}) == (
            f"site.toml: plugins.c: {word}: 'header' is not in the list; did you mean 'headers'?"
        )

    @pytest.mark.parametrize("place", [5, ["a"], {}, True])
    def test_a_place_that_is_no_name_is_refused(self, place):
        assert "site.toml: plugins.c: before: " in refused(["a"], {"c": {"before": place}})

    def test_before_and_after_exclude_each_other(self):
        assert refused(["a", "b"], {"c": {"before": "b", "after": "a"}}) == (
            "site.toml: plugins.c: before and after exclude each other"
        )

    @pytest.mark.parametrize("again", ["a", {"use": "a", "rate": 2}])
    def test_a_plugin_that_a_list_names_twice_is_refused_with_both_places(self, again):
        assert refused([], [{"use": "a", "rate": 1}, "b", again]) == (
            "site.toml: plugins[2]: 'a' is in this list already, at plugins[0]; name it once, with all its settings"
        )

    def test_a_plugin_may_be_named_again_after_it_was_dropped(self):
        assert merged([], [{"use": "a", "rate": 1}, "-a", "a"]) == [("a", {})]

    def test_a_plugin_cannot_be_put_beside_itself(self):
        assert "'a' is not in the list" in refused(["a", "b"], {"a": {"before": "a"}})


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True))
def test_a_plugin_is_never_in_a_list_twice_and_the_inherited_order_holds(inherited, added):
    before, after = names(inherited, []), names(inherited, added)
    assert len(set(after)) == len(after)
    assert after[: len(before)] == before
    assert set(after) == {*inherited, *added}


@given(st.lists(NAMES, unique=True), st.data())
def test_dropping_takes_one_and_leaves_the_order_of_the_rest(inherited, data):
    if inherited:
        gone = data.draw(st.sampled_from(inherited))
        assert names(inherited, [f"-{gone}"]) == [name for name in inherited if name != gone]


TABLES = st.recursive(
    st.dictionaries(NAMES, st.integers(0, 3), max_size=3), lambda inner: st.dictionaries(NAMES, inner, max_size=3)
)


@given(TABLES)
def test_an_empty_table_and_the_same_table_change_nothing(table):
    assert deep_merge(table, {}) == deep_merge({}, table) == deep_merge(table, table) == table


@given(TABLES, TABLES)
def test_the_upper_table_wins_and_neither_is_changed(under, over):
    kept = repr((under, over))
    result = deep_merge(under, over)
    assert repr((under, over)) == kept
    assert set(result) == {*under, *over}
    assert all(result[key] == value for key, value in over.items() if not isinstance(value, dict))
