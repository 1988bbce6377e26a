from mindvit.nested import dotted


def test_groups_within_groups_get_dotted_names():
    content = {"a": 1, "b": {"c": None, "d": {"e": [2, {"f": 3}]}}, "g": {}}
    assert dotted(content) == {"a": 1, "b.c": None, "b.d.e": [2, {"f": 3}]}
