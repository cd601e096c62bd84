#!/bin/sh
# Installs what the tests need beyond Python packages: on Debian as root by itself, elsewhere it says what is missing.
set -eu
axe=4.14.1
oidc=9.13.3
nodemailer=10.6.1
dclint=3.1.0
updated=""
apt() {  # what apt-get is to do; it waits for others who install, and tries again when a mirror does not answer
    apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}
missing=""
command -v chromium >/dev/null 2>&1 || missing="chromium"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v postfix >/dev/null 2>&1 || [ -x /usr/sbin/postfix ] || missing="$missing postfix"
command -v opendkim >/dev/null 2>&1 || [ -x /usr/sbin/opendkim ] || missing="$missing opendkim"
command -v swaks >/dev/null 2>&1 || missing="$missing swaks"
perl -MNet::SSLeay -e 1 2>/dev/null || missing="$missing libnet-ssleay-perl"  # with which swaks speaks TLS
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
for library in libidn12 libgnutls-dane0 libnsl2; do  # of Exim, which is unpacked below
    dpkg-query --show --showformat='${db:Status-Status}' "$library" 2>/dev/null | grep -qx installed ||
        missing="$missing $library"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing $missing for the tests"
        export DEBIAN_FRONTEND=noninteractive
        apt update
        updated=yes
        # shellcheck disable=SC2086  # one word for each package
        apt install --yes --no-install-recommends $missing
    else
        echo "missing: $missing; the tests that need it are skipped (with CI=true they fail)" >&2
    fi
fi
# These are unpacked beside the tests and not installed: Exim would take Postfix's place, the others would start services;
# and wrk, with its library, which `make bench` drives servers with, then needs no root.
unpacked="exim4-base exim4-config exim4-daemon-light nginx nginx-common prometheus prometheus-alertmanager"
unpacked="$unpacked wrk libluajit-5.1-2"
debian=.venv/debian
if ! [ "$(cat "$debian/unpacked" 2>/dev/null)" = "$unpacked" ]; then
    if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
        echo "unpacking $unpacked for the tests"
        if [ "$(id -u)" = 0 ] && [ -z "$updated" ]; then
            apt update
        fi
        rm -rf "$debian"
        mkdir -p "$debian/packages"
        # shellcheck disable=SC2086  # one word for each package
        if (cd "$debian/packages" && apt download $unpacked 2>/dev/null); then
            for package in "$debian"/packages/*.deb; do
                dpkg-deb --extract "$package" "$debian"
            done
            rm -rf "$debian/packages"
            printf '%s' "$unpacked" >"$debian/unpacked"
        else
            echo "they could not be fetched; the tests that need them are skipped (with CI=true they fail)" >&2
        fi
    else
        echo "missing: $unpacked; the tests that need them are skipped (with CI=true they fail)" >&2
    fi
fi
if [ "$(id -u)" = 0 ] && ! getent passwd Debian-exim >/dev/null; then  # as whom Exim runs; its package would make it
    useradd --system --user-group --no-create-home --home-dir /var/spool/exim4 --shell /usr/sbin/nologin Debian-exim
fi
# Packages of the npm registry are fetched in one version each, for the tests alone; never part of a release.
fetch() {  # a package, its version, the folder for it, and what it is for
    if command -v npm >/dev/null 2>&1 && ! grep -qs "\"version\": \"$2\"" "$3/node_modules/$1/package.json"; then
        echo "fetching $1 $2 for $4"
        npm install --prefix "$3" --no-save --ignore-scripts --no-audit --no-fund --silent \
            --fetch-retries 5 --fetch-retry-factor 2 --fetch-retry-mintimeout 1000 --fetch-timeout 60000 "$1@$2" ||
            echo "$1 could not be fetched; the test that needs it is skipped (with CI=true it fails)" >&2
    fi
}
fetch axe-core "$axe" .venv/axe "the browser tests"  # checks the pages' accessibility, in the tests' browser alone
fetch oidc-provider "$oidc" .venv/oidc "the test of a company's sign-in"  # a certified OpenID Connect provider
fetch nodemailer "$nodemailer" .venv/nodemailer "the test of an application that mails with it"
# Checks the compose file of deploy/docker against the schema and for what is often done wrong.
fetch dclint "$dclint" .venv/dclint "the test of the compose file"
