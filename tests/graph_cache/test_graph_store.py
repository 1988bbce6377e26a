import os
import time

import pytest

from mindvit.graph_cache.graph_store import GraphStore


@pytest.fixture
def store(tmp_path):
    return GraphStore(tmp_path / "mindvit/graphs")


def test_a_graph_is_read_as_it_was_written(store):
    assert store.read("key") is None
    store.write("key", b"graph")
    assert store.read("key") == b"graph"
    assert store.read("another") is None
    store.delete("key")
    assert store.read("key") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + b"x", lambda content: b""])
def test_a_corrupt_graph_is_not_taken_but_deleted(store, damage):
    store.write("key", b"graph")
    (path,) = store.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert store.read("key") is None
    assert not path.exists()


def test_an_interrupted_write_leaves_no_graph(store, monkeypatch):
    def killed(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write("key", b"graph")
    assert list(store.folder.iterdir()) == []


def test_the_graphs_that_were_not_used_for_longest_make_room(tmp_path):
    store = GraphStore(tmp_path / "graphs", limit=3 * (32 + 100))
    for age, key in enumerate("abc"):
        store.write(key, bytes(100))
        os.utime(store.folder / f"{key}.graph", (1000 + age, 1000 + age))
    store.read("a")
    store.write("d", bytes(100))
    assert [key for key in "abcd" if store.read(key)] == ["a", "c", "d"]


def test_folders_of_killed_processes_are_removed_after_a_day(store):
    for name, age in (("process-1-old", 25 * 3600), ("process-2-new", 3600)):
        (store.folder / name).mkdir()
        os.utime(store.folder / name, (time.time() - age, time.time() - age))
    store.write("key", b"graph")
    assert sorted(path.name for path in store.folder.iterdir()) == ["key.graph", "process-2-new"]
