#!/bin/sh
# Makes what compose.yaml needs before its first start, in the folder `secrets` beside it; overwrites nothing.
# The folder is closed (0700); the files in it can be read by whichever user a container has.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || . ./.env
umask 077
mkdir -p secrets
cd secrets

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { # NAME: what comes on stdin, unless it is there
    if [ -e "$1" ]; then
        cat >/dev/null
    else
        cat >"$1"
        chmod 0444 "$1"
        echo "made secrets/$1"
    fi
}
certificate() { # CHAIN KEY HOST: signed by itself
    if [ ! -e "$1" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
            -keyout "$2" -out "$1" -subj "/CN=$3" -addext "subjectAltName=DNS:$3" 2>/dev/null
        chmod 0444 "$1" "$2"
        echo "made secrets/$1 and secrets/$2 for $3"
    fi
}

random | keep postgres_password
printf 'postgresql+asyncpg://tracker:%s@postgres/tracker' "$(cat postgres_password)" | keep database_url
random | keep grafana_password
# For recipients: put the certificate that browsers trust in its place, such as certbot's fullchain.pem and privkey.pem.
certificate tls_certificate tls_private_key "${PUBLIC_HOST:?see .env.example}"
# For the mail systems of the network `mail`, which are told to trust smtp_certificate.
certificate smtp_certificate smtp_private_key tracker
