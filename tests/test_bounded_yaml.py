import time

import pytest
import yaml

from mindvit.bounded_yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, RefusedYAML, check_yaml, load_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGED_LAUGHS = "a0: &a0 {k0: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimizer:\n  lr: 1\n  betas: [1, 2]\n  lr: 2\n", "^optimizer.lr is given twice, in lines 2 and 4; remove"),
        ("data:\n  path: a\ntrain: {}\ndata:\n  batch_size: 3\n", "^data is given twice, in lines 1 and 4"),
        ("{a: 1, 'a': 2}", "^a is given twice, in line 1"),
        ("rules:\n- {pattern: a}\n- {pattern: b, pattern: c}\n", "^rules.pattern is given twice, in line 3"),
        ("x: &x {k: 1}\ny: {<<: *x, k: 2, k: 3}", "^y.k is given twice"),
    ],
)
def test_a_duplicate_key_is_refused_with_its_name_and_lines(text, words):
    with pytest.raises(RefusedYAML, match=words):
        load_yaml(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "beyond the 100,000 values that are read, aliases expanded"),
        (MERGED_LAUGHS, "aliases expanded"),
        ("[" * 100_000, "line 1 has more than 20 levels of nesting"),
        ("{a: " * 5_000, "more than 20 levels"),
        ("".join(" " * i + "a:\n" for i in range(500)), "line 21 has more than 20 levels"),
        ("".join(f"a{i}: &a{i} [{'*a' + str(i - 1) if i else 'x'}]\n" for i in range(40)), "aliases expanded"),
        ("a: &a [1, *a]", r"the alias \*a in line 1 is inside the group that it stands for"),
        ("- &a\n  b: {c: *a}\n", r"the alias \*a in line 2 is inside"),
        ("x" * (MAX_BYTES + 1), "has 1,048,577 bytes; at most 1,048,576 are read"),
        ("é" * (MAX_BYTES // 2 + 1), "has 1,048,578 bytes"),
    ],
    ids=["laughs", "merges", "lists", "groups", "blocks", "chain", "cycle", "cycle of groups", "size", "bytes"],
)
def test_what_would_take_forever_is_refused_at_once(text, words):
    started = time.monotonic()
    with pytest.raises(RefusedYAML, match=words):
        load_yaml(text)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "text",
    [
        *("[1", "a: b: c", "*unknown", "!!int x", "!!int ''", "!!bool x", "!!float x", "9" * 5000),
        *("!!python/object/apply:os.getcwd []", "a\0b", "--- a\n--- b", "\udcff", "? {a: 1}\n: 2"),
    ],
)
def test_what_is_not_a_document_of_plain_values_is_a_yaml_error(text):
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


def test_documents_within_the_bounds_are_read_as_pyyaml_reads_them():
    text = """
    base: &base {lr: 1.0e-3, betas: [0.9, 0.99], name: &name adamw}
    other: &other {lr: 2}
    optimizer:
      <<: *base
      lr: 3
    merged: {<<: [*base, *other]}
    twice: {<<: *base, <<: *other}
    names: [*name, *name]
    empty:
    '<<': text
    """
    assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml(text)["optimizer"] == {"lr": 3, "betas": [0.9, 0.99], "name": "adamw"}
    for text in ("", "just words", "[1, true, null]"):
        assert load_yaml(text) == yaml.safe_load(text)


def test_dates_are_texts_also_if_no_calendar_has_them():
    assert load_yaml("[2026-11-30, 2026-11-31]") == ["2026-11-30", "2026-11-31"]


def test_the_bounds_themselves_are_allowed():
    check_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    names = [f"n{i}" for i in range(MAX_NODES - 1)]
    assert load_yaml(f"[{', '.join(names)}]") == names
    with pytest.raises(RefusedYAML, match="beyond"):
        load_yaml(f"[x, {', '.join(names)}]")
