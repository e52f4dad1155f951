#!/bin/sh
# Client for forecasts that needs only curl. Usage: sh client.sh [URL] [REQUEST.json]
url=${1:-http://127.0.0.1:8501/v1/models/@NAME@:predict}
request=${2:-$(dirname "$0")/request.json}
exec curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --data-binary "@$request" "$url"
