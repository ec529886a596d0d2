#!/usr/bin/env bash
# Registries over TLS: what is trusted, by which file, and what is refused. In a network and a mount namespace of its own, since nothing
# of 127.0.0.0/8 is verified, and certificates are looked for in /etc.
if [ "${1:-}" != inside ]; then
  unshare --net --mount --propagation private true 2>/dev/null || { echo "SKIP: needs namespaces"; [ "${COMPOSE_REQUIRE_NS:-}" = 1 ] && exit 1; exit 0; }
  exec unshare --net --mount --propagation private "$(readlink -f "$0")" inside
fi
here=$(dirname "$(readlink -f "$0")")
source "$here/lib.sh"
for need in openssl python3; do command -v $need >/dev/null || skip "needs $need"; done
unset SSL_CERT_FILE SSL_CERT_DIR http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
server=
# Takes away what is mounted below, in this namespace alone.
leave() {
  local status=$?
  [ -z "$server" ] || kill "$server"
  [ "$(stat -f -c %T /etc)" != overlayfs ] || umount -l /etc
  umount -l "$work/etc" 2>/dev/null || true
  (exit $status)
  finish
}
trap leave EXIT

ip link set lo up
ip address add 10.77.0.1/32 dev lo
# /etc as it is, and nothing written to it: what follows goes into a layer of this namespace.
mkdir "$work/etc" && mount -t tmpfs tmpfs "$work/etc" && mkdir "$work/etc/"{upper,work}
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/etc/upper,workdir=$work/etc/work" /etc
rm -rf /etc/docker /etc/containers
mkdir -p /etc/ssl/certs
[ "$(stat -f -c %T /etc)" = overlayfs ] || fail "/etc is still the machine's"
echo '10.77.0.1 registry.test other.test' >>/etc/hosts

# certificate NAME SUBJECT-ALTERNATIVE-NAMES [openssl x509 arguments]: signed by our CA.
certificate() {
  local name=$1 san=$2; shift 2
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$name.key" -out "$work/$name.csr" -subj "/CN=$name" 2>/dev/null
  openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -out "$work/$name.crt" \
    -extfile <(echo "subjectAltName=$san") "$@" 2>/dev/null
}
for ca in ca stranger; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$ca.key" -out "$work/$ca.crt" -subj "/CN=$ca" -days 2 2>/dev/null
done
certificate good DNS:registry.test,IP:10.77.0.1 -days 2
certificate user DNS:somebody -days 2
# serve CERTIFICATE [arguments]: another server on the one port all names below use.
serve() {
  local cert=$1; shift
  if [ -n "$server" ]; then kill "$server"; wait "$server" 2>/dev/null || true; fi
  rm -f "$work/ready"
  python3 "$here/registry.py" "$work/ready" "$work/${cert%.crt}.key" "$work/$cert.crt" --address 10.77.0.1 --port 5000 "$@" >"$work/requests" &
  server=$!
  eventually 10 test -e "$work/ready"
}
host=registry.test:5000
trust() { mkdir -p "$1"; cp "$work/ca.crt" "$1/ca.crt"; }
distrust() { rm -rf /etc/docker /etc/containers; }
mkdir "$work/image" && echo content >"$work/image/file"
compose image import "$work/image" $host/app:1 >/dev/null

it "refuses a registry whose CA it does not know, says what to do, and sends nothing"
serve good
fails 1 compose image push $host/app:1
contains "$err" "SSL certificate problem: unable to get local issuer certificate"
contains "$err" "/etc/docker/certs.d/$host/ca.crt"
lacks "$(cat "$work/requests")" "/v2/"

it "does not send the writer of an ADD to a folder that only registries' certificates are read from"
mkdir "$work/add" && printf 'FROM scratch\nADD https://%s/v2/ /file\n' $host >"$work/add/Dockerfile"
echo "services: {a: {build: $work/add}}" >compose.yaml
fails 1 compose build
contains "$err" "SSL certificate problem"
lacks "$err" "certs.d"

it "trusts the CA that certs.d of either family names for this host and port"
for family in docker containers; do
  distrust; trust /etc/$family/certs.d/$host
  passes compose image push $host/app:1
  passes compose image pull $host/app:1
  mv /etc/$family/certs.d/$host /etc/$family/certs.d/registry.test:5001
  fails 1 compose image pull $host/app:1
  contains "$err" "SSL certificate problem"
done

it "trusts the CAs of the machine, and those SSL_CERT_FILE and SSL_CERT_DIR name instead"
distrust
cat "$work/ca.crt" >>/etc/ssl/certs/ca-certificates.crt
passes compose image pull $host/app:1
cp "$work/stranger.crt" /etc/ssl/certs/ca-certificates.crt
fails 1 compose image pull $host/app:1
SSL_CERT_FILE=$work/ca.crt passes compose image pull $host/app:1
mkdir "$work/cas" && cp "$work/ca.crt" "$work/cas/any-name.pem"
SSL_CERT_DIR=/nonexistent:$work/cas passes compose image pull $host/app:1
SSL_CERT_FILE=$work/stranger.crt fails 1 compose image pull $host/app:1

it "refuses a certificate of another name, and one that has expired"
trust /etc/docker/certs.d/other.test:5000
fails 1 compose image pull other.test:5000/app:1
contains "$err" "no alternative certificate subject name matches target host name 'other.test'"
trust /etc/docker/certs.d/10.77.0.1:5000
passes compose image pull 10.77.0.1:5000/app:1
certificate expired DNS:registry.test -days -1
trust /etc/docker/certs.d/$host
serve expired
fails 1 compose image pull $host/app:1
contains "$err" "certificate has expired"

it "verifies nothing of a registry that is listed as insecure"
distrust
mkdir -p /etc/docker && echo '{"insecure-registries":["registry.test:5000"]}' >/etc/docker/daemon.json
passes compose image push $host/app:1
fails 1 compose image pull 10.77.0.1:5000/app:1
echo '{"insecure-registries":["10.77.0.0/16"]}' >/etc/docker/daemon.json
passes compose image pull 10.77.0.1:5000/app:1
distrust
mkdir -p /etc/containers && printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$host" >/etc/containers/registries.conf
passes compose image pull $host/app:1
fails 1 compose image pull 10.77.0.1:5000/app:1

it "speaks no http to a registry that is not listed"
distrust
kill "$server"; wait "$server" 2>/dev/null || true
python3 -m http.server --bind 10.77.0.1 5000 >"$work/requests" 2>&1 &
server=$!
eventually 10 bash -c 'exec 3<>/dev/tcp/10.77.0.1/5000'
: >"$work/requests"
fails 1 compose image pull $host/app:1
lacks "$(tr -d '\0' <"$work/requests")" "/v2/"

it "shows its client certificate, and says which file is missing"
distrust
serve good --client-ca "$work/ca.crt" --user someone:secret
trust /etc/docker/certs.d/$host
fails 1 compose image pull $host/app:1
contains "$err" "/etc/docker/certs.d/$host/client.cert"
cp "$work/user.crt" /etc/docker/certs.d/$host/client.cert
fails 1 compose image pull $host/app:1
contains "$err" "client.key"
cp "$work/user.key" /etc/docker/certs.d/$host/client.key
fails 1 compose image push $host/app:1
contains "$err" "push access denied"
printf secret | passes compose login -u someone --password-stdin $host
passes compose image push $host/app:1
passes compose image pull $host/app:1
fails 1 sh -c "printf wrong | '$bin/compose' login -u someone --password-stdin $host"
