#!/usr/bin/env bash
# Makes a machine ready: system packages (only those missing), .venv, the pinned requirements (only when they changed).
# Runs on a bare Debian 12 with nothing but bash; needs no terminal and no standard input.
#
#   dev/bootstrap.sh runtime    what `make run` needs
#   dev/bootstrap.sh tools      also what the tests and checks need
#   dev/bootstrap.sh extra      also what `make test-extra` needs
#   dev/bootstrap.sh bench      also what `make bench` needs
#
# Kafka is the one part that Holdfast can do without: when Java or Maven cannot be had, this says so and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose="${1:-runtime}"
more=''
case "$purpose" in extra|bench) more="$purpose" purpose=tools ;; esac
pip_version=26.3    # Debian's own (23.0) does not know dependency groups

say() { printf '==> %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

python_is_fit() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}
venv_is_good() {    # A venv remembers where it was made: one that was moved, or whose Python is gone, is made anew.
    [ "$(cat .venv/.made-in 2>/dev/null)" = "$PWD" ] && python_is_fit .venv/bin/python
}
find_python() {    # Debian's own first: it is built with profile-guided optimisation, which one built by hand rarely is.
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if python_is_fit "$candidate"; then echo "$candidate"; return; fi
    done
    return 1
}
postgres_bin() {    # the directory of the newest server's programs
    local newest
    newest="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
    if [ -n "$newest" ] && [ -x "$newest/initdb" ]; then echo "$newest"; return; fi
    if have initdb; then dirname "$(command -v initdb)"; return; fi
    return 1
}
postgres_major() { "$(postgres_bin)/postgres" --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }
has_plpgsql_check() {
    local share
    for share in "/usr/share/postgresql/$(postgres_major)" "$("$(postgres_bin)/pg_config" --sharedir 2>/dev/null)"; do
        if [ -e "$share/extension/plpgsql_check.control" ]; then return; fi
    done
    return 1
}
java_is_fit() {
    local major
    have java || return 1
    major="$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)"
    [ "${major:-0}" -ge 17 ]
}
has_kafka_jars() { ls "${XDG_CACHE_HOME:-$HOME/.cache}"/holdfast/kafka-*/.complete >/dev/null 2>&1; }
wants() {    # is an own server of this kind wanted? An address in the environment takes its place; tests use their own.
    [ "$purpose" = tools ] || [ -z "${!1:-}" ]
}

packages=() optional=() lines=()
need() { packages+=("$1"); lines+=("  $2"); }
would_like() { optional+=("$1"); lines+=("  $2"); }

list_missing() {
    venv_is_good || find_python >/dev/null || { need python3 "Python 3.11 or newer"; need python3-venv "Python's venv module with ensurepip"; }
    have curl || need curl "curl"
    have psql || need postgresql-client "psql, PostgreSQL's client"
    if wants DATABASE_URL && ! postgres_bin >/dev/null; then need postgresql "PostgreSQL 15 or newer (initdb and postgres on the PATH)"; fi
    if wants REDIS_URL && ! have redis-server; then need redis-server "Redis 7 or newer (redis-server)"; fi
    if [ "$purpose" = tools ] || [ -z "${KAFKA_BOOTSTRAP_SERVERS+set}" ]; then    # set but empty: without Kafka
        java_is_fit || would_like default-jre-headless "a Java 17 (or newer) runtime, for Kafka"
        has_kafka_jars || have mvn || would_like maven "Maven, which fetches Kafka"
    fi
    if [ "$purpose" = tools ]; then
        have luacheck || need lua-check "luacheck"
        have chromium-headless-shell || have chromium || need chromium-headless-shell "Chromium, headless"
        if ! has_plpgsql_check; then
            local major; major="$(postgres_major 2>/dev/null || true)"
            need "postgresql-${major:-15}-plpgsql-check" "plpgsql_check, an extension of PostgreSQL"
        fi
    fi
    if [ "$more" = bench ]; then
        have wrk || need wrk "wrk, a load generator"
        have redis-benchmark || need redis-tools "redis-benchmark"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif [ -t 0 ]; then sudo "$@"
    else sudo -n "$@"; fi
}
install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" </dev/null
}
forbid_services() {
    # Holdfast starts its own servers under .run/; Debian must not start system-wide ones while it installs them.
    [ -e /usr/sbin/policy-rc.d ] && return
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
    as_root chmod 755 /usr/sbin/policy-rc.d
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
}
system_packages() {
    list_missing
    [ ${#lines[@]} -gt 0 ] || return 0
    if [ ! -e /etc/debian_version ] || ! have apt-get; then
        echo "This machine is not Debian. Please install, then run make again:"
        printf '%s\n' "${lines[@]}"
        [ ${#packages[@]} -eq 0 ] || exit 1    # Java and Maven alone: it works without Kafka
        return 0
    fi
    if [ "$(id -u)" != 0 ] && ! have sudo; then
        echo "These Debian packages are missing, and there is no sudo to install them. As root:"
        echo "  apt-get install --no-install-recommends ${packages[*]} ${optional[*]}"
        [ ${#packages[@]} -eq 0 ] || exit 1
        return 0
    fi
    say "Installing Debian packages: ${packages[*]} ${optional[*]}"
    forbid_services
    as_root apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null
    if [ ${#packages[@]} -gt 0 ]; then install_packages "${packages[@]}"; fi
    if [ ${#optional[@]} -gt 0 ] && ! install_packages "${optional[@]}"; then
        say "Could not install ${optional[*]}: Holdfast will run without Kafka."
    fi
}

stripe_mock() {    # Stripe's own stand-in, which checks each call against Stripe's description of its API
    local version=v0.203.0 stamp=.run/bin/.stripe-mock
    [ "$(cat "$stamp" 2>/dev/null)" != "$version" ] || return 0
    if ! have go; then
        echo "Go 1.22 or newer is missing, which builds stripe-mock for make test-extra: see https://go.dev/doc/install"
        exit 1
    fi
    say "Building stripe-mock $version with $(go env GOVERSION)"
    GOBIN="$PWD/.run/bin" go install "github.com/stripe/stripe-mock@$version" </dev/null
    echo "$version" >"$stamp"
}
checksum() { cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d' ' -f1; }
pip() {    # pip's own report, one line a package
    .venv/bin/python -m pip --no-input --disable-pip-version-check "$@" </dev/null |
        sed -u -n -e 's/^Collecting \([^ ]*\).*/    \1/p' -e 's/^Successfully installed.*/    installed/p'
}
virtual_environment() {
    local python
    if ! venv_is_good; then
        python="$(find_python)" || { echo "No Python 3.11 or newer with venv and ensurepip was found."; exit 1; }
        say "Making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
        echo "$PWD" >.venv/.made-in
    fi
    install_once runtime "the runtime (requirements.txt)" requirements.txt -- -r requirements.txt
    if [ "$purpose" = tools ]; then
        install_once tools "the tools for tests and checks (pyproject.toml)" requirements.txt pyproject.toml -- \
            -r requirements.txt --group dev
    fi
    if [ -n "$more" ]; then
        install_once "$more" "the tools for make $more (pyproject.toml)" requirements.txt pyproject.toml -- \
            -r requirements.txt --group dev --group "$more"
    fi
}
install_once() {    # NAME WHAT FILES... -- PIP ARGUMENTS: installs when the files changed since it last did
    local name="$1" what="$2" files=() stamp sum
    shift 2
    while [ "$1" != -- ]; do files+=("$1"); shift; done
    shift
    stamp=".venv/.installed-$name"
    sum="$(checksum "${files[@]}")"
    [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || return 0
    say "Installing $what into .venv"
    pip install "pip==$pip_version"
    pip install "$@"
    echo "$sum" >"$stamp"
}

case "$purpose" in runtime|tools) ;; *) echo "usage: dev/bootstrap.sh runtime|tools|extra|bench" >&2; exit 2 ;; esac
mkdir -p .run
if have flock; then    # `make run` and `make test` may start at the same moment
    exec 9>.run/bootstrap.lock
    flock 9
fi
system_packages
virtual_environment
if [ "$more" = extra ]; then stripe_mock; fi
