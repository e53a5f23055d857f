#!/bin/sh
# Run a command with every secret in its environment: each file of /run/secrets whose name is that of a variable.
# A variable that is set already stays, so Kubernetes can set it from a Secret.
set -eu
for file in "${SECRETS:-/run/secrets}"/*; do
    name=${file##*/}
    case $name in *[!A-Z0-9_]* | "") continue ;; esac
    [ -f "$file" ] || continue
    eval "[ -n \"\${$name:-}\" ]" && continue
    export "$name=$(cat "$file")"
done
exec "$@"
