#!/bin/sh
# Make the secrets of infra/compose.yaml: one file each, in the directory `secrets` beside this script. Existing ones stay.
# The directory is for its owner alone. The files in it are readable, because the user of a container has another number.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p secrets
chmod 700 secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -e "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"; }
keep PGPASSWORD "$(random)"
keep PREFECT_SERVER_API_AUTH_STRING "nightloop:$(random)"
keep PREFECT_API_AUTH_STRING "$(cat secrets/PREFECT_SERVER_API_AUTH_STRING)"
keep NIGHTLOOP_SERVE_TOKEN "$(random)"
keep AWS_ACCESS_KEY_ID nightloop
keep AWS_SECRET_ACCESS_KEY "$(random)"
keep s3.json "{\"identities\": [{\"name\": \"nightloop\", \"credentials\": [{\"accessKey\": \"$(cat secrets/AWS_ACCESS_KEY_ID)\", \"secretKey\": \"$(cat secrets/AWS_SECRET_ACCESS_KEY)\"}], \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\"]}]}"
