#!/bin/sh
# Registers the devices of a CSV file as things on a profile, and writes the key of each to a new file.
# The columns name, type and external_key are what they say; all others go into the metadata.
#
#   THINGS_URL=http://127.0.0.1:8182 THINGS_TOKEN=ses_… examples/register.sh PROFILE_ID [CSV [KEYS]]
set -eu
umask 077
profile=${1:?"usage: THINGS_URL=… THINGS_TOKEN=… $0 PROFILE_ID [CSV [KEYS]]"} csv=${2:-examples/devices.csv} keys=${3:-keys.csv}
: "${THINGS_URL:?is not set}" "${THINGS_TOKEN:?is not set}"
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
printf 'Authorization: Bearer %s\nContent-Type: application/json\n' "$THINGS_TOKEN" >"$work/headers"

# One line of JSON for each 500 devices; a request takes at most 1,000 of them and 1 MiB.
jq -cnR 'def cells: [match("(?:^|,)(?:\"((?:[^\"]|\"\")*)\"|([^,]*))"; "g").captures
           | .[0].string as $quoted | if $quoted then $quoted | gsub("\"\""; "\"") else .[1].string end];
  ["name", "type", "external_key"] as $own | (input | ltrimstr("\ufeff") | rtrimstr("\r") | cells) as $head
  | [inputs | rtrimstr("\r") | select(. != "") | . as $line | cells
     | if length != ($head | length) then error("not \($head | length) cells: \($line)") else . end
     | [$head, .] | transpose | map(select(.[1] != "") | {key: .[0], value: .[1]})
     | (map(select(.key | IN($own[]))) | from_entries) + {metadata: (map(select(.key | IN($own[]) | not)) | from_entries)}]
  | range(0; length; 500) as $from | .[$from:$from + 500]' "$csv" >"$work/batches"

(set -C && echo external_key,id,key >"$keys") # keys are shown once: never write over a file that may hold some
done=0
while read -r batch; do
    # The same Idempotency-Key for each attempt: a batch that had to be sent twice is registered once.
    printf '%s' "$batch" | curl -sS --fail-with-body --retry 5 -H @"$work/headers" -H "Idempotency-Key: $$-$(date +%s)-$done" \
        --data-binary @- -o "$work/answer" "${THINGS_URL%/}/profiles/$profile/things" || { cat "$work/answer" >&2 2>/dev/null; exit 1; }
    jq -r '.things[] | [.external_key, .id, .key] | @csv' "$work/answer" >>"$keys"
    done=$((done + $(jq '.things | length' "$work/answer")))
    echo "$done registered"
done <"$work/batches"
echo "their keys are in $keys"
