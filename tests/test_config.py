from mindvit.config import flatten


def test_groups_within_groups_get_dotted_names():
    content = {"a": 1, "b": {"c": None, "d": {"e": [2, {"f": 3}]}}, "g": {}}
    assert flatten(content) == {"a": 1, "b.c": None, "b.d.e": [2, {"f": 3}]}
