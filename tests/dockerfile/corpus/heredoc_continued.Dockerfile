FROM debian:12
RUN --mount=type=cache,target=/x \
    # a comment
    <<EOF \
    sh -x
echo a \
  b
EOF
COPY <<A \
  <<B \
  /x/
a
A
b
B
