#!/usr/bin/env bash
# Images are built from Dockerfiles, from cache when nothing changed, and used by up.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
mkdir -p app
cat >app/Dockerfile <<'DOCKER'
# a stage to copy from, one that is never needed, and the result
FROM tiny AS made
ARG WHO=nobody
RUN cat /image-marker && echo "made for $WHO" >/made && mkdir /d && echo x >/d/x

FROM tiny AS unneeded
RUN exit 1

FROM scratch AS lone
COPY --from=made /made /made

FROM tiny
ARG WHO
LABEL who=$WHO
ENV A=1 B="two words"
WORKDIR /srv/app
COPY --from=made /made ./
COPY --from=made /d /d
COPY --chown=app:app . files/
ADD layer.tar.gz /unpacked/
USER app
EXPOSE 80
VOLUME /keep
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s CMD test -f /srv/app/made
ENTRYPOINT ["sh", "-c"]
CMD ["cat made; exec sleep 1000"]
DOCKER
printf '*.log\n!keep.log\nDockerfile\n' >app/.dockerignore
echo skip >app/skip.log; echo keep >app/keep.log; echo plain >app/plain
mkdir -p packed; echo packed >packed/p; tar czf app/layer.tar.gz -C packed p
cat >compose.yaml <<'YAML'
services:
  app: {build: {context: app, args: {WHO: "${WHO:-someone}"}}}
YAML

it "builds and runs"
passes compose up -d --wait
contains "$err" "Built"
contains "$(compose logs --no-log-prefix)" "made for someone"
in_app() { compose exec -T app "$@"; }
equals "$(in_app cat /d/x)" x
equals "$(in_app ls files | tr '\n' ' ')" "keep.log layer.tar.gz plain "
equals "$(in_app stat -c %U files/plain)" app
equals "$(in_app cat /unpacked/p)" packed
equals "$(in_app id -u)" 1000
equals "$(in_app sh -c 'echo $A $B; pwd' | tr '\n' ' ')" "1 two words /srv/app "
contains "$(compose ps)" "(healthy)"

it "enters a working directory as it is written, and makes what is on the way"
mkdir -p cleaned; printf 'FROM tiny\nWORKDIR /a//b/../c\nRUN cat /image-marker && pwd >/where && echo /a/* >/what\n' >cleaned/Dockerfile
printf 'services: {c: {build: cleaned}}\n' >cleaned.yaml
equals "$(compose -f cleaned.yaml run --rm -T --quiet-build --build c sh -c 'cat /where /what; pwd; echo /a/*' | tr '\n' ' ')" "/a/c /a/b /a/c /a/c /a/b /a/c "

it "does not build or recreate when nothing changed"
id=$(compose ps -q)
passes compose up -d --build
equals "$(compose ps -q)" "$id"

it "rebuilds what an argument or a file changes"
WHO=else passes compose up -d --build --wait
contains "$(compose logs --no-log-prefix)" "made for else"
export WHO=else
echo changed >app/plain
passes compose up -d --build --wait
equals "$(in_app cat files/plain)" changed

it "removes the image with --rmi local"
passes compose down --rmi local -t 0
lacks "$(compose image ls)" "$project-app"
