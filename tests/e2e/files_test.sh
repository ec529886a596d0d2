#!/usr/bin/env bash
# cp, export and commit: files between the machine and containers, links that must not lead out, images of what a container changed.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
cat >compose.yaml <<'YAML'
services:
  web:
    image: tiny
    command: sleep 1000
    user: "55:66"
    stop_grace_period: 0s
    environment: {GREETING: hello}
    volumes: [data:/data, {type: tmpfs, target: /scratch}]
  two: {image: tiny, command: sleep 1000, stop_grace_period: 0s, scale: 2}
  ro: {image: tiny, command: sleep 1000, stop_grace_period: 0s, read_only: true, volumes: [data:/v:ro]}
  never: {image: tiny, command: sleep 1000, volumes: [data:/fresh/data], profiles: [later]}
volumes: {data: {}}
YAML
mkdir -p src/sub; echo a >src/a; echo b >src/sub/b; ln -s a src/link; ln -s sub src/linked; mkfifo src/fifo; chown 1000:1001 src/a
chmod 4750 src/sub/b; touch -d @1000000000 src/a; ln src/a src/hard
passes compose up -d
inside() { compose exec -T -u 0 "$@"; }

it "copies a folder to a new name, into a folder, and a folder's contents, with owners, modes, times and links"
passes compose cp src web:/x
contains "$err" "$project-web-1 copy src to $project-web-1:/x Copied"
equals "$(inside web stat -c '%u:%g %a %Y %h' /x/a)" "1000:1001 644 1000000000 2"
equals "$(inside web stat -c '%a' /x/sub/b)" 4750
equals "$(inside web readlink /x/link)" a
passes compose cp src web:/x
equals "$(inside web cat /x/src/a)" a
passes compose cp src/. web:/y
equals "$(inside web cat /y/a)" a
passes compose cp src/a web:/x/sub/
passes compose cp src/a web:/data/in-volume
passes compose cp src/a web:/scratch/in-tmpfs
equals "$(inside web cat /data/in-volume /scratch/in-tmpfs /x/sub/a)" "a
a
a"

it "gives everything to the container's user with --archive"
passes compose cp -a src web:/owned
equals "$(inside web stat -c '%u:%g' /owned/a)" 55:66

it "follows a link only when told to or when the name ends in a slash"
passes compose cp src/link web:/l1
equals "$(inside web readlink /l1)" a
passes compose cp -L src/link web:/l2
equals "$(inside web cat /l2)" a
passes compose cp src/linked/ web:/l3
equals "$(inside web cat /l3/b)" b

it "copies out, as the caller's own, into folders and to new names"
passes compose cp web:/x out
equals "$(stat -c '%u:%g %Y' out/a)" "0:0 1000000000"
passes compose cp web:/x out
[ -e out/x/a ] || fail "an existing folder takes the copy inside"
passes compose cp web:/x/. flat
[ -e flat/a ] || fail "contents"
passes compose cp -L web:/x/link followed
equals "$(cat followed)" a
passes compose cp web:data/in-volume relative
equals "$(cat relative)" a

it "reads and writes archives"
equals "$(compose cp web:/x/sub - 2>/dev/null | tar t | sort | tr '\n' ' ')" "sub/ sub/a sub/b "
equals "$(compose cp web:/x/. - 2>/dev/null | tar t ./a)" ./a
tar c -C src a | compose cp - web:/y/sub 2>/dev/null
equals "$(inside web cat /y/sub/a)" a
fails 1 compose cp - web:/y/a </dev/null
contains "$err" ":/y/a\" must be a directory"

it "says what is wrong in Docker's words"
fails 1 compose cp src/none web:/; contains "$err" "lstat $PWD/src/none: no such file or directory"
fails 1 compose cp web:/none .; contains "$err" "Could not find the file /none in container"
fails 1 compose cp src/a web:/none/; contains "$err" "no such directory"
fails 1 compose cp src/a web:/none/a; contains "$err" "Could not find the file /none in container"
fails 1 compose cp web:/x none/x; contains "$err" "invalid output path: directory \"$PWD/none\" does not exist"
fails 1 compose cp src web:/x/a; contains "$err" "cannot copy directory"
fails 1 compose cp web:/x followed; contains "$err" "cannot copy directory"
fails 1 compose cp web:/x/a /dev/null; contains "$err" "invalid output path: \"/dev/null\" must be a directory or a regular file: got a device"
mkdir -p clash/a; fails 1 compose cp clash/. web:/x; contains "$err" "cannot overwrite non-directory 'a' with a directory"
fails 1 compose cp web:/x/a web:/b; contains "$err" "copying between services is not supported"
fails 1 compose cp a b; contains "$err" "unknown copy direction"
fails 1 compose cp none:/a .; contains "$err" "no container found for service \"none\""
fails 1 compose cp --index 7 web:/a .; contains "$err" "service \"web\" is not running container #7"
fails 1 compose cp src/a ro:/; contains "$err" "container rootfs is marked read-only"
fails 1 compose cp src/a ro:/v/; contains "$err" "mounted volume is marked read-only"

it "copies into every replica, out of one, and into one-off containers with --all"
passes compose cp src/a two:/copied
equals "$(inside --index 1 two cat /copied)$(inside --index 2 two cat /copied)" aa
passes compose run -d --name "$project-once" two sleep 1000
passes compose cp --all src/a two:/all
equals "$(contains "$err" "$project-once copy src/a to $project-once:/all Copied")" ""
passes compose cp --index 2 src/a two:/second
fails 1 inside --index 1 two cat /second

it "never follows a container's links out of it"
mkdir outside; echo secret >outside/secret
inside web sh -c "ln -s $PWD/outside /escape; ln -s ../../../../../../../..$PWD/outside /up; ln -s /proc/self/root$PWD/outside /magic; mkdir -p /trap; ln -s $PWD/outside /trap/src"
for name in escape up magic; do
  fails 1 compose cp "web:/$name/secret" stolen
  fails 1 compose cp src/a "web:/$name/planted"
  fails 1 compose cp -L "web:/$name" stolen
done
fails 1 compose cp src web:/trap
tar c -C src a --transform "s,^,../../../../../../$PWD/outside/," -P | fails 1 compose cp - web:/trap
[ ! -e stolen ] || fail "a link of the container led to a file of the machine"
equals "$(ls outside)" secret

it "copies from and to containers that are paused, stopped or were never started, volumes included"
passes compose pause web
passes compose cp src/a web:/paused
passes compose unpause web
passes compose stop web
passes compose cp src/a web:/data/while-stopped
passes compose cp src/a web:/while-stopped
passes compose cp web:/data/in-volume from-stopped
equals "$(cat from-stopped)" a
passes compose start web
equals "$(inside web cat /data/while-stopped /while-stopped /paused)" "a
a
a"
passes compose create never
passes compose cp src/a never:/fresh/data/created
passes compose cp never:/fresh/data/while-stopped from-created
equals "$(inside web cat /data/created)" a
lacks "$(cat /proc/self/mounts)" "$work/state"

it "exports the root without its volumes"
passes compose export -o root.tar web
equals "$(tar tf root.tar x/a image-marker)" "image-marker
x/a"
lacks "$(tar tf root.tar)" in-volume
contains "$(tar tf root.tar)" data/
equals "$(compose export web 2>/dev/null | tar xO image-marker)" inside
fails 1 compose export -o none/root.tar web
contains "$err" "failed to export container: invalid output path: directory \"none\" does not exist"
fails 1 compose export none
contains "$err" "service \"none\" is not running"

it "commits what a container changed as an image that runs"
inside web rm /image-marker
passes compose commit -a me -m 'a note' -c 'CMD ["cat", "/x/a"]' -c 'ENV MORE=1' web "$project-committed:1"
contains "$err" "$project-web-1 Commit $project-web-1 Committed as sha256:"
passes compose ps --format '{{.State}}' web
equals "$out" running
passes compose image inspect "$project-committed:1"
for wanted in '"author": "me"' '"comment": "a note"' '"MORE=1"' '"GREETING=hello"' '"User": "55:66"' '"com.docker.compose.service": "web"'; do contains "$out" "$wanted"; done
cat >committed.yaml <<YAML
services:
  again: {image: "$project-committed:1", pull_policy: never}
YAML
passes compose -f committed.yaml run --rm -T again
equals "$out" a
fails 1 compose -f committed.yaml run --rm -T again cat /image-marker
fails 1 compose -f committed.yaml run --rm -T again cat /data/in-volume
fails 1 compose commit web "$project/BAD"
fails 1 compose commit -c 'RUN true' web "$project-bad"
contains "$err" "RUN true"
fails 1 compose commit none "$project-bad"
contains "$err" "service \"none\" is not running"
passes compose ps --format '{{.State}}' web
equals "$out" running

it "does nothing in a dry run"
passes compose --dry-run cp src/a web:/dry
contains "$err" "DRY-RUN MODE"
fails 1 inside web cat /dry
passes compose --dry-run export -o dry.tar web
[ ! -e dry.tar ] || fail "a dry run wrote a file"
passes compose --dry-run commit web "$project-dry"
fails 1 compose image inspect "$project-dry"
compose -f committed.yaml -p "$project" image rm "$project-committed:1" >/dev/null
