#!/bin/sh
# The gateway's one process: nginx, and beside it a watcher that keeps nginx's list of API replicas true.
#
# Every second the watcher asks Docker's name server for the addresses of `api`. When the list has changed it rewrites
# upstream.conf and reloads nginx, which ends open requests in order. A new replica is listed once it says that it is
# ready; one that has gone is unlisted as soon as its name is. In between, nginx itself avoids a replica that does not
# answer. A name server that fails changes nothing: the last list stays.
#
# Why not nginx's own means: open nginx before 1.27.3 refuses `resolve` in an upstream, and a name in a variable of
# `proxy_pass` gives up kept connections. This way works with all of them.
set -u

NAME=api
PORT=8000
STATE=/tmp/gateway
NGINX="nginx -e stderr -c /gateway/nginx.conf"

say() {
  case ${AI_PLATFORM_LOG__FORMAT:-text} in
    json) printf '{"service":"gateway","event":"%s","level":"%s","timestamp":"%s"}\n' "$2" "$1" "$(date -u +%FT%TZ)" ;;
    *) printf '%s %s gateway %s\n' "$(date -u +%T)" "$1" "$2" ;;
  esac
}

addresses() {
  timeout 2 getent ahostsv4 "$NAME" 2>/dev/null | awk '$2 == "STREAM" { print $1 }' | sort -u
}

is_ready() {
  curl --silent --fail --output /dev/null --max-time 1 --header 'Host: localhost' "http://$1:$PORT/health/ready"
}

# Of the addresses that the name has, those that are listed already and those that are ready now.
serving() {
  for address in $(addresses); do
    case " $listed " in
      *" $address "*) echo "$address" ;;
      *) if is_ready "$address"; then echo "$address"; fi ;;
    esac
  done | tr '\n' ' ' | sed 's/ $//'
}

# An upstream needs a server: while there is none, one that is down, so that callers get 503 at once.
write_upstream() {
  {
    echo "upstream $NAME {"
    echo "  zone $NAME 128k;"
    echo "  least_conn;"
    for address in $1; do echo "  server $address:$PORT max_fails=1 fail_timeout=2s;"; done
    [ -n "$1" ] || echo "  server 127.0.0.1:9 down;"
    # The API closes idle connections after 75 s, and 5 s after it was told to end; we must be first, or a request
    # meets its end.
    echo "  keepalive 64;"
    echo "  keepalive_timeout 3s;"
    echo "  keepalive_requests 100000;"
    echo "}"
  } >"$STATE/upstream.new" && mv "$STATE/upstream.new" "$STATE/upstream.conf"
}

watch_once() {
  found=$(serving)
  if [ -z "$found" ] || [ "$found" = "$listed" ]; then return; fi
  if write_upstream "$found" && $NGINX -s reload; then
    listed=$found
    say INFO "replicas: $listed"
  else
    say ERROR "nginx could not be reloaded; trying again"
  fi
}

end() {
  trap '' TERM INT QUIT
  $NGINX -s quit
  wait "$nginx"
  exit 0
}

mkdir -p "$STATE"
case ${AI_PLATFORM_LOG__FORMAT:-text} in json) form=json ;; *) form=text ;; esac
# In blocks, at most a second late: a write for every request costs more than the request does here.
echo "access_log /dev/stdout $form buffer=64k flush=1s if=\$is_logged;" >"$STATE/log.conf"

limit=${AI_PLATFORM_LIMITS__BODY_BYTES:-1048576}
echo "client_max_body_size $limit; map '' \$body_limit { default $limit; }" >"$STATE/limits.conf"

# A reload closes the callers' idle connections at once, and whoever sends on one at that moment gets no answer. From
# 1.27.4 on, nginx can leave them open a while longer.
if nginx -v 2>&1 | awk -F '[/. ]+' '{ exit !($4 * 1000000 + $5 * 1000 + $6 >= 1027004) }'; then
  echo "keepalive_min_timeout 10s;" >>"$STATE/limits.conf"
fi

case ${AI_PLATFORM_AUTH:-off} in
  off) say INFO "authentication is off; this trial stack is published on loopback alone" ;;
  *) say INFO "authentication is on; published on ${AI_PLATFORM_BIND:-127.0.0.1}" ;;
esac

listed=""
listed=$(serving)
write_upstream "$listed"
say INFO "replicas: ${listed:-none yet}"
$NGINX -g 'daemon off;' &
nginx=$!
trap end TERM INT QUIT
# `sleep` in the background, as a signal is acted upon during `wait` and not during a command.
while kill -0 "$nginx" 2>/dev/null; do
  sleep 1 &
  wait $!
  watch_once
done
say ERROR "nginx has ended"
exit 1
