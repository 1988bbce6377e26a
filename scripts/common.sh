# Sourced by the other scripts: changes to the folder of the project and selects the Python interpreter.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# By default the environment that quickstart.sh creates; an active environment or PYTHON=/path/to/python overrides it.
if [[ -z "${PYTHON:-}" ]]; then
    if [[ -z "${VIRTUAL_ENV:-}" && -x .venv/bin/python ]]; then
        PYTHON=.venv/bin/python
    else
        PYTHON=python3
    fi
fi

# Prints the path of a Python from 3.10 to 3.12.
find_python() {
    local candidate
    for candidate in "${PYTHON}" python3 python3.11 python3.12 python3.10; do
        if "${candidate}" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "${candidate}"
            return
        fi
    done
    echo "error: no Python from 3.10 to 3.12 found; install one, or give its path: PYTHON=/path/to/python bash $0" >&2
    return 1
}

# install FILE...: creates .venv if it does not exist, and installs the requirement files into it if they have changed.
install() {
    local stamp wanted file arguments=()
    if [[ ! -x .venv/bin/python ]]; then
        local base
        base=$(find_python) || return 1
        echo "creating .venv with $("${base}" --version)"
        "${base}" -m venv .venv || { echo "error: cannot create .venv (Debian, Ubuntu: apt-get install python3-venv)" >&2; return 1; }
    fi
    PYTHON=.venv/bin/python
    wanted=$(cat "$@" | cksum)
    stamp=.venv/installed-$(basename "$1")
    if [[ "$(cat "${stamp}" 2>/dev/null)" != "${wanted}" ]]; then
        for file in "$@"; do arguments+=(-r "${file}"); done
        echo "installing $*; MindSpore alone is 1 GB, so this takes a while"
        "${PYTHON}" -m pip install --quiet --disable-pip-version-check "${arguments[@]}" || return 1
        echo "${wanted}" > "${stamp}"
    fi
}

# take_config [CONFIG] [overrides…]: sets config (default: configs/digits.yaml) and the array overrides.
take_config() {
    config=configs/digits.yaml
    if [[ $# -gt 0 && "$1" != --* ]]; then
        config=$1
        shift
    fi
    overrides=("$@")
}

# take_checkpoint SCRIPT CKPT [options…]: sets ckpt and the array options; exits with an error if CKPT is missing.
take_checkpoint() {
    if [[ $# -lt 2 || "$2" == --* ]]; then
        echo "error: no checkpoint given: bash scripts/$1 CKPT [options of eval.py…]" >&2
        exit 2
    fi
    ckpt=$2
    options=("${@:3}")
}

# install_browser: installs Chromium and fonts for Chinese with apt-get if they are missing and this is possible. The tests
# of the page are skipped without them; with CI=true they fail.
install_browser() {
    local packages=() as_root=()
    command -v chromium chromium-browser google-chrome > /dev/null || packages+=(chromium)
    [[ -n "$(fc-list :lang=zh 2>/dev/null)" || -n "$(ls /usr/share/fonts/opentype/noto/NotoSansCJK* 2>/dev/null)" ]] ||
        packages+=(fonts-noto-cjk)
    if [[ ${#packages[@]} -eq 0 ]]; then
        return
    fi
    if [[ ${EUID} -ne 0 ]]; then
        as_root=(sudo -n)
    fi
    if ! command -v apt-get > /dev/null || ! "${as_root[@]}" true 2>/dev/null; then
        echo "note: ${packages[*]} missing, and cannot be installed here; the tests that need them are skipped" >&2
        return
    fi
    echo "installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq --no-install-recommends "${packages[@]}" > /dev/null ||
        echo "note: cannot install ${packages[*]}; the tests that need them are skipped" >&2
}
