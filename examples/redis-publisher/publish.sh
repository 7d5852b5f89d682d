#!/bin/sh
# Usage: publish.sh <user> <order>
set -eu
user=${1:?Usage: publish.sh <user> <order>}
order=${2:?Usage: publish.sh <user> <order>}
case $user$order in *[!A-Za-z0-9_.-]*) echo 'expected letters and digits' >&2 && exit 2 ;; esac

# -e: an error of Redis is a failure of the command.
redis() { redis-cli -e -u "${REDIS_URL:-redis://localhost:6379}" "$@"; }

# Pub/Sub: reaches a service that listens now. Redis answers with the number of listeners.
listeners=$(redis PUBLISH notification:channel:lobby '{
  "type": "channel", "target": "lobby",
  "event": { "event_type": "room.message", "payload": { "from": "sh", "text": "order '"$order"' is packed" } }
}')
[ "$listeners" -gt 0 ] || echo 'no service listens: the message is lost' >&2

# The stream: the service reads it later if it is away now. The key makes a repeat harmless.
redis XADD "${REDIS_STREAM:-notifications}" MAXLEN '~' 100000 '*' data '{
  "type": "user", "target": "'"$user"'", "idempotency_key": "order-'"$order"'-shipped",
  "event": { "event_type": "order.shipped", "payload": { "order": "'"$order"'" } }
}'
