FROM --platform=linux/amd64 debian:12
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=bind,source=a,target=/b,rw echo a
RUN --network=none --security=sandbox   echo b
RUN --mount=type=secret,id=token,required=true --mount=type=tmpfs,dst=/t,size=64m ["echo", "c"]
RUN --mount="type=secret,id=a" --mount='type=ssh' echo d
RUN --network=host -- --not-a-flag
RUN -- echo
RUN - echo
RUN -x --network=none
COPY --from="build" --chown='a:b' x /y
HEALTHCHECK --interval=5m --timeout=3s --retries=3 CMD curl -f http://localhost/ || exit 1
RUN --network="de"fa'ult' echo quoted
RUN \
  --mount=type=bind,target=/x \
  # comment between flags
  --network=none \
  make
