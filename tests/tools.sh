#!/bin/sh
# Installs what the tests need beyond Python packages: on Debian as root by itself, elsewhere it says what is missing.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || missing="chromium"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $missing for the browser tests"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null
    apt-get -qq install --yes --no-install-recommends $missing >/dev/null
else
    echo "missing: $missing; the tests that need it are skipped (with CI=true they fail)" >&2
fi
