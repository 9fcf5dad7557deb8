#!/bin/sh
# Send one image to a pipeline over HTTP, with KServe's binary tensor extension; prints JSON.
#
#     detect.sh IMAGE [PIPELINE] [http://HOST:PORT] [CONF]
set -eu

image=${1:?"usage: detect.sh IMAGE [PIPELINE] [http://HOST:PORT] [CONF]"}
pipeline=${2:-codes}
url=${3:-http://127.0.0.1:8000}
conf=${4:-0.25}

# A BYTES tensor is, for each element, its length as 4 little-endian bytes and then itself.
bytes=$(wc -c <"$image" | tr -d ' ')
tensor=$((bytes + 4))
length=$(printf '\\%03o\\%03o\\%03o\\%03o' $((bytes & 255)) $((bytes >> 8 & 255)) \
    $((bytes >> 16 & 255)) $((bytes >> 24 & 255)))

# The JSON comes first; the header says how long it is, the rest of the body is the tensor. Without
# binary_data in an output it comes back as JSON.
header="{\"parameters\": {\"conf\": \"$conf\"}, \"inputs\": [{\"name\": \"image\", \"shape\": [1, 1],
\"datatype\": \"BYTES\", \"parameters\": {\"binary_data_size\": $tensor}}], \"outputs\": [
{\"name\": \"num_dets\"}, {\"name\": \"det_boxes\"}, {\"name\": \"det_scores\"},
{\"name\": \"det_classes\"}, {\"name\": \"image_size\"}]}"

{
    printf '%s' "$header"
    # shellcheck disable=SC2059 # the format is the four bytes
    printf "$length"
    cat "$image"
} | curl --silent --show-error --fail-with-body \
    --header "Inference-Header-Content-Length: ${#header}" \
    --header "Content-Type: application/octet-stream" \
    --data-binary @- "$url/v2/models/$pipeline/infer"
