"""The step of scripts/test.sh that installs the browser, with stand-ins for the system's programs."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

SUDO = '#!/bin/bash\n[[ "$1" == -n ]] && shift && exec "$@"\n'
APT = '#!/bin/bash\necho "apt-get $*" >> "${LOG}"\n'


@pytest.fixture
def install(tmp_path):
    """Runs ``install_browser`` with the given programs on the path. Returns output, errors, and calls of apt-get."""

    def run(**programs):
        (tmp_path / "bin").mkdir()
        for name in ("env", "ls", "bash", "dirname"):
            (tmp_path / "bin" / name).symlink_to(shutil.which(name))
        stand_ins = {
            "sudo": '#!/bin/bash\n[[ "$1" == -n ]] && shift && exec "$@"\n',
            "true": "#!/bin/bash\n",
            **programs,
        }
        for name, text in stand_ins.items():
            (tmp_path / "bin" / name.replace("_", "-")).write_text(text)
            (tmp_path / "bin" / name.replace("_", "-")).chmod(0o755)
        script = f'set -euo pipefail; source "{ROOT}/scripts/common.sh"; install_browser'
        environment = {"PATH": str(tmp_path / "bin"), "LOG": str(tmp_path / "log"), "HOME": os.environ.get("HOME", "/")}
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        log = tmp_path / "log"
        return done.stdout, done.stderr, log.read_text().splitlines() if log.exists() else []

    return run


FONT = "#!/bin/bash\necho NotoSansCJK\n"
BROWSER = "#!/bin/bash\n"


def test_what_is_there_is_not_installed(install):
    assert install(chromium=BROWSER, fc_list=FONT, apt_get=APT) == ("", "", [])


def test_a_missing_browser_is_installed(install):
    out, err, calls = install(fc_list=FONT, apt_get=APT)
    assert out == "installing chromium\n" and err == ""
    assert calls == ["apt-get update -qq", "apt-get install -qq --no-install-recommends chromium"]


@pytest.mark.parametrize("programs", [{}, {"apt_get": "#!/bin/bash\nexit 1\n"}], ids=["no apt-get", "apt-get fails"])
def test_where_it_cannot_be_installed_that_is_said(install, programs):
    _, err, _ = install(fc_list=FONT, **programs)
    assert err.startswith("note: ") and "chromium" in err and "the tests that need them are skipped" in err
