#!/bin/sh
# A client with curl, in the ways that it can ask.
#
#     sh predict.sh URL
set -eu
model=$1/v1/models/model
row='{"instances": [[1, 2, 3]]}'

ask() { # what the answer must hold, arguments of curl
    expected=$1
    shift
    answer=$(curl -sS --max-time 30 -w ' status %{http_code}' "$@")
    case $answer in
    *"$expected"*) ;;
    *)
        echo "Expected $expected from curl $*. Received: $answer" >&2
        exit 1
        ;;
    esac
}

for version in --http1.0 --http1.1 --http2; do
    ask '[2.0, 4.0, 6.0]' "$version" -d "$row" "$model:predict"
    ask 'status 200' "$version" "$model/metadata"
    ask 'status 404' "$version" "$1/v1/models/none"
done
ask '[2.0, 4.0, 6.0]' --http2 -H 'Transfer-Encoding: chunked' -d "$row" "$model:predict"
ask '[2.0, 4.0, 6.0]' --http2 -H 'Expect: 100-continue' -d "$row" "$model:predict"
printf '%s' "$row" | gzip | ask '[2.0, 4.0, 6.0]' -H 'Content-Encoding: gzip' --data-binary @- "$model:predict"
# Two on one connection, and a body that does not fit a packet or a buffer.
ask '[2.0, 4.0, 6.0]' --http2 -d "$row" "$model:predict" --next -sS -d "$row" "$model:predict"
{
    printf '{"instances": [[1, 2, 3]'
    yes ', [1, 2, 3]' | head -n 100000 | tr -d '\n'
    printf ']}'
} | ask 'status 200' --http2 --data-binary @- "$model:predict"
ask '"upper": "GR' -d '{"signature_name": "upper", "instances": [{"text": "gr\u00fcn"}]}' "$model:predict"
ask '"ready":true' "$1/v2/health/ready"
