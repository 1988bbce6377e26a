import pytest

from mindvit.clear_cache import ClearCacheSettings, clear_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mindvit"


def test_clearing_the_cache_tells_what_was_freed(cache, capsys):
    (cache / "graphs").mkdir(parents=True)
    for name in ("one", "two"):
        (cache / "graphs" / name).write_bytes(bytes(600_000))
    (cache / "single").write_bytes(bytes(300_000))
    clear_cache(ClearCacheSettings())
    assert list(cache.iterdir()) == []
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"deleted {cache / 'graphs'}: 2 files, 1.2 MB",
        f"deleted {cache / 'single'}: 1 file, 0.3 MB",
        "freed 1.5 MB",
    ]


def test_what_a_link_leads_to_is_not_deleted(cache, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("mine")
    (cache / "graphs").mkdir(parents=True)
    (cache / "graphs/link").symlink_to(tmp_path / "elsewhere")
    clear_cache(ClearCacheSettings())
    assert (tmp_path / "elsewhere/file").read_text() == "mine"
    assert not (cache / "graphs").exists()


def test_a_cache_that_does_not_exist_is_no_error(cache, capsys):
    clear_cache(ClearCacheSettings())
    assert capsys.readouterr().out == f"{cache} does not exist; nothing to delete\n"
